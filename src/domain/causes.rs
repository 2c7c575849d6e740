//! Formats an error and its causes for a log line.

use std::error::Error;

/// Returns an error with all of its causes, in one line and each word once.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        add(&mut text, &error.to_string());
        cause = error.source();
    }
    text
}

/// Adds a cause. Some errors already include the text of their cause, or begin with words that the
/// one before them ends with.
fn add(text: &mut String, cause: &str) {
    if text.contains(cause) {
        return;
    }
    let ends =
        text.match_indices(": ").filter_map(|(place, colon)| text.get(place + colon.len()..));
    let said = std::iter::once(text.as_str()).chain(ends).find(|end| cause.starts_with(end));
    let new = said.and_then(|said| cause.strip_prefix(said)).map(str::to_owned);
    match new {
        Some(new) => text.push_str(&new),
        None => *text = format!("{text}: {cause}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Chain(&'static [&'static str], Option<Box<Self>>);

    impl Chain {
        fn of(texts: &'static [&'static str]) -> Option<Box<Self>> {
            let (_, rest) = texts.split_first()?;
            Some(Box::new(Self(texts, Self::of(rest))))
        }
    }

    impl std::fmt::Display for Chain {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0[0])
        }
    }

    impl Error for Chain {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as &(dyn Error + 'static))
        }
    }

    #[test]
    fn every_cause_is_said_and_its_words_once() {
        for (texts, expected) in [
            (&["a"] as &[_], "a"),
            (&["no queue", "refused", "bad login"], "no queue: refused: bad login"),
            (&["x", "x", "y"], "x: y"),
            (&["cannot read: gone", "gone"], "cannot read: gone"),
            (&["cannot read: gone (2)", "gone", "why"], "cannot read: gone (2): why"),
            (&["no queue: refused", "refused: bad login"], "no queue: refused: bad login"),
            (&["refused", "refused: bad login", "bad login"], "refused: bad login"),
        ] {
            assert_eq!(causes(Chain::of(texts).unwrap().as_ref()), expected);
        }
    }
}
