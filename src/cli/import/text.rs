//! The text of a file, as spreadsheets export it: UTF-8 or UTF-16, with commas, semicolons or tabs.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// What may stand between two columns.
const SEPARATORS: [u8; 3] = [b',', b';', b'\t'];

/// Returns the file as UTF-8 without a byte-order mark. Bytes that are no UTF-8 are left for the rows
/// that have them to be named; a broken UTF-16 file has no rows.
pub(super) fn decoded(content: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    let (encoding, mark) = Encoding::for_bom(content).unwrap_or_else(|| (guessed(content), 0));
    let content = content.get(mark..).unwrap_or_default();
    if encoding == UTF_8 {
        return Ok(Cow::Borrowed(content));
    }
    let decoded = encoding.decode_without_bom_handling_and_without_replacement(content);
    let text = decoded.ok_or_else(|| {
        format!("the file is {} and broken: save it as CSV in UTF-8", encoding.name())
    })?;
    Ok(Cow::Owned(text.into_owned().into_bytes()))
}

/// The encoding of a file without a byte-order mark: one that begins with a letter shows by its
/// first zero byte whether it is UTF-16.
fn guessed(content: &[u8]) -> &'static Encoding {
    match content {
        [0, low, ..] if *low != 0 => UTF_16BE,
        [high, 0, ..] if *high != 0 => UTF_16LE,
        _ => UTF_8,
    }
}

/// Returns the separator of the columns: the one that the first line has most of.
pub(super) fn separator(content: &[u8]) -> u8 {
    let first = content.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let count = |separator: u8| first.split(|byte| *byte == separator).count();
    // Of equal counts, `max_by_key` would take the last.
    SEPARATORS.into_iter().rev().max_by_key(|separator| count(*separator)).unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf_16_is_decoded_with_and_without_its_mark() {
        let text = "site,key\nkaffé,sku:ü\n";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let marked = |mark: [u8; 2], bytes: &[u8]| [&mark[..], bytes].concat();
        for content in [
            text.as_bytes().to_vec(),
            ["\u{feff}", text].concat().into_bytes(),
            marked([0xff, 0xfe], &little),
            marked([0xfe, 0xff], &big),
            little.clone(),
            big,
        ] {
            assert_eq!(decoded(&content).unwrap(), text.as_bytes());
        }
        let broken = marked([0xff, 0xfe], &[b's', 0, 0, 0xd8]);
        let said = decoded(&broken).unwrap_err();
        assert!(said.starts_with("the file is UTF-16LE and broken"), "{said}");
        assert_eq!(decoded(b"\xe9").unwrap(), &b"\xe9"[..], "a row has this fault");
    }

    #[test]
    fn the_separator_is_what_the_first_line_has_most_of() {
        for (line, expected) in [
            ("site,key,quantity,reference\na;b;c;d;e;f", b','),
            ("site;key;quantity;reference", b';'),
            ("site\tkey\tquantity\treference\r\n", b'\t'),
            ("site", b','),
            ("", b','),
        ] {
            assert_eq!(separator(line.as_bytes()), expected, "{line}");
        }
    }
}
