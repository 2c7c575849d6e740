//! Texts in CSV that a spreadsheet would take for a formula: written with an apostrophe before
//! them, which a spreadsheet does not show, and read without it.

use crate::domain::is_unseen;

/// What a formula can begin with; spreadsheets in some languages take the wide forms too.
const STARTS: [char; 10] = ['=', '+', '-', '@', '＝', '＋', '－', '＠', '\t', '\r'];

/// Returns a text as no spreadsheet takes it for a formula.
pub(super) fn neutralised(text: String) -> String {
    if needs_apostrophe(&text) { format!("'{text}") } else { text }
}

/// Returns the text that was neutralised, or any other as it is.
pub(super) fn restored(text: &str) -> &str {
    text.strip_prefix('\'').filter(|rest| needs_apostrophe(rest)).unwrap_or(text)
}

/// Texts that begin with apostrophes of their own need another one, or they would lose one when
/// they are read. What is not seen may be dropped by whoever reads the file, as a byte order mark is.
fn needs_apostrophe(text: &str) -> bool {
    text.trim_start_matches(|c| c == '\'' || is_unseen(c)).starts_with(STARTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_a_formula_is_neutralised_and_read_back() {
        for (text, written) in [
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(1)", "'@SUM(1)"),
            ("\tx", "'\tx"),
            ("\rx", "'\rx"),
            ("'=1", "''=1"),
            ("''-1", "'''-1"),
            ("＝1", "'＝1"),
            ("＋1", "'＋1"),
            ("－1", "'－1"),
            ("＠SUM(1)", "'＠SUM(1)"),
            ("\u{feff}=1", "'\u{feff}=1"),
            ("\u{200b}'\u{feff}=1", "'\u{200b}'\u{feff}=1"),
            ("\u{feff}1", "\u{feff}1"),
            ("sku:=1", "sku:=1"),
            ("'t Koffiehuis", "'t Koffiehuis"),
            ("'", "'"),
            ("", ""),
        ] {
            assert_eq!(neutralised(text.to_owned()), written);
            assert_eq!(restored(written), text);
        }
    }
}
