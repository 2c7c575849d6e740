//! What a token may look like: of the path of webhooks, and of the operator API.
//!
//! Whoever guesses a token is let in, so one must be long. Length alone does not make it random,
//! which nothing here can check.

/// The fewest characters: as hexadecimal digits they are 64 random bits.
const LENGTH_MIN: usize = 16;
const LENGTH_MAX: usize = 256;

/// What [`is_path_token`] accepts, in words.
pub(super) const PATH_TOKEN_FORM: &str = "16 to 256 letters, digits or -._~, long and random";
/// What [`is_bearer_token`] accepts, in words.
pub(super) const BEARER_TOKEN_FORM: &str = "16 to 256 letters, digits or -._~+/, long and random,";

/// Only characters that mean themselves in a path, so that there is one way to write the URL.
pub(super) fn is_path_token(text: &str) -> bool {
    is_long(text) && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c))
}

/// The token that RFC 6750 allows in an `Authorization` header.
pub(super) fn is_bearer_token(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
    let start = text.trim_end_matches('=');
    is_long(text) && !start.is_empty() && start.chars().all(allowed)
}

fn is_long(text: &str) -> bool {
    (LENGTH_MIN..=LENGTH_MAX).contains(&text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_and_of_plain_characters() {
        for (token, of_path, bearer) in [
            ("0123456789abcde", false, false),
            ("0123456789abcdef", true, true),
            ("0123456789abc-._~", true, true),
            ("0123456789abcdef+/==", false, true),
            ("0123456789abcdef=0", false, false),
            ("0123456789abcdef g", false, false),
            ("0123456789abcd\u{e9}f", false, false),
            ("================", false, false),
            ("", false, false),
        ] {
            assert_eq!(
                (is_path_token(token), is_bearer_token(token)),
                (of_path, bearer),
                "{token}"
            );
        }
        for (length, fits) in [(256, true), (257, false)] {
            let token = "x".repeat(length);
            assert_eq!((is_path_token(&token), is_bearer_token(&token)), (fits, fits));
        }
    }
}
