//! Keeps text from outside from steering a terminal, or from looking like other text there.

use std::fmt::Write;

/// Whether a character steers a terminal (C0, DEL and C1 controls), turns the direction in which
/// the text around it is shown, ends a line, or is not seen at all. Joiners stay: some scripts need
/// them.
fn steers(c: char) -> bool {
    c.is_control()
        || is_unseen(c)
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// Whether a character takes no room and has no meaning, so that texts with it look like others.
pub const fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// Returns a text with U+FFFD in place of what could steer a terminal; `is_block` keeps line ends
/// and tabs.
pub fn printable(text: &str, is_block: bool) -> String {
    let is_kept = |c: char| !steers(c) || (is_block && matches!(c, '\n' | '\t'));
    text.chars().map(|c| if is_kept(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

/// Returns the text of one or more JSON values, in which what could steer a terminal is escaped: it
/// is read as the same values.
pub fn printable_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        // JSON has line ends between its values only, and it escapes all other controls of C0.
        if steers(c) && c != '\n' {
            write!(text, "\\u{:04x}", u32::from(c)).expect("writing to a string cannot fail");
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Controls of C0 and C1, DEL, and everything that turns the direction of writing, ends a line or
    /// is not seen.
    const STEERING: &str = "\0\u{7}\u{8}\r\u{1b}\u{7f}\u{80}\u{9b}\u{9f}\u{61c}\u{200e}\u{200f}\
                            \u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}\
                            \u{ad}\u{200b}\u{2028}\u{2029}\u{2060}\u{2064}\u{feff}";

    #[test]
    fn text_from_outside_cannot_steer_the_terminal() {
        assert_eq!(
            printable("a\u{1b}[2Jb\r\n\tc", false),
            "a\u{fffd}[2Jb\u{fffd}\u{fffd}\u{fffd}c"
        );
        assert_eq!(printable("a\u{1b}[2Jb\n\tc", true), "a\u{fffd}[2Jb\n\tc");
        let count = STEERING.chars().count();
        assert_eq!(printable(STEERING, true), "\u{fffd}".repeat(count));
        let kept = "Grüße, 茶 ☕ ‰ שלום";
        assert_eq!(printable(kept, false), kept);
    }

    #[test]
    fn json_is_escaped_and_means_the_same() {
        let json = serde_json::to_string(STEERING).unwrap();
        let escaped = printable_json(&json);
        assert_eq!(printable(&escaped, false), escaped);
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), STEERING);
        assert_eq!(printable_json("{\"a\":\"ü\"}\n"), "{\"a\":\"ü\"}\n");
    }
}
