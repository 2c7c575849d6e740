//! Parses the rows of a file, and finds what is wrong with them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use csv::{ByteRecord, ReaderBuilder};

use super::text;
use crate::cli::formula;
use crate::domain::{Identifier, Quantity, Site};

/// The most rows of a file.
const ROWS_MAX: usize = 500_000;
/// The columns of the first line.
const HEADER: [&str; 4] = ["site", "key", "quantity", "reference"];

/// How much of a wrong header is shown, in characters.
const HEADER_SHOWN_MAX: usize = 80;
/// What is wrong with a row of another encoding.
const NOT_UTF_8: &str = "it is not UTF-8: save the file as CSV in UTF-8";

/// A parsed file.
#[derive(Debug, Default)]
pub struct Checked {
    /// The rows that are well formed, in their order.
    pub rows: Vec<Row>,
    /// Rows that repeat an earlier one.
    pub repeated: usize,
    /// Everything that is wrong; if anything is, nothing is counted.
    pub faults: Vec<Fault>,
}

/// A row that is well formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The line on which it begins.
    pub line: u64,
    /// The shop.
    pub site: Site,
    /// Any name of the item.
    pub key: String,
    /// Units that were received.
    pub quantity: Quantity,
    /// The name under which they are counted once.
    pub reference: Identifier,
}

/// A row that cannot be counted.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line on which it begins.
    pub line: u64,
    /// What is wrong with it.
    pub message: String,
}

/// The receipts of the rows so far, each with its line and quantity.
pub(super) type Seen<K> = HashMap<K, (u64, Quantity)>;

/// Whether no earlier row stands for the same receipt.
pub(super) fn is_new<K: Hash + Eq>(
    seen: &mut Seen<K>,
    receipt: K,
    row: &Row,
) -> Result<bool, Fault> {
    let (first, quantity) = *match seen.entry(receipt) {
        Entry::Vacant(entry) => {
            entry.insert((row.line, row.quantity));
            return Ok(true);
        }
        Entry::Occupied(entry) => entry.into_mut(),
    };
    if quantity == row.quantity {
        return Ok(false);
    }
    let message = format!(
        "line {first} has another quantity for this reference: {quantity}, this one {}",
        row.quantity
    );
    Err(Fault { line: row.line, message })
}

/// Parses every row and finds everything that is malformed.
pub fn check(content: &[u8]) -> Checked {
    let mut checked = Checked::default();
    let content = match text::decoded(content) {
        Ok(content) => content,
        Err(message) => {
            checked.faults.push(Fault { line: 1, message });
            return checked;
        }
    };
    let content = &*content;
    let mut reader = ReaderBuilder::new();
    reader.has_headers(false).flexible(true).delimiter(text::separator(content));
    let mut reader = reader.from_reader(content);
    let mut seen = Seen::new();
    let mut record = ByteRecord::new();
    let mut lines = Lines { content, place: 0, line: 1 };
    let mut is_header = true;
    // Reading bytes from memory, with any number of columns, cannot fail.
    while reader.read_byte_record(&mut record).unwrap_or(false) {
        let start = record.position().map_or(0, csv::Position::byte);
        let line = lines.line_of(start);
        let fault = |message| Fault { line, message };
        if is_header {
            is_header = false;
            if !is_header_of(&record) {
                checked.faults.push(fault(wrong_header(&record)));
                return checked;
            }
            continue;
        }
        if checked.rows.len() == ROWS_MAX {
            checked.faults.push(fault(format!("a file has at most {ROWS_MAX} rows")));
            return checked;
        }
        let read = parse(line, &record).map_err(fault).and_then(|row| {
            let receipt = (row.site.clone(), row.key.clone(), row.reference.clone());
            Ok((is_new(&mut seen, receipt, &row)?, row))
        });
        match read {
            Ok((true, row)) => checked.rows.push(row),
            Ok((false, _)) => checked.repeated += 1,
            Err(fault) => checked.faults.push(fault),
        }
    }
    if is_header {
        checked.faults.push(Fault { line: 1, message: "the file is empty".to_owned() });
    } else if checked.rows.is_empty() && checked.faults.is_empty() {
        let message = "the file has a header and no rows".to_owned();
        checked.faults.push(Fault { line: 1, message });
    }
    checked
}

/// Whether a first line names the columns. Case and space around a heading are ignored.
fn is_header_of(record: &ByteRecord) -> bool {
    record.len() == HEADER.len()
        && record
            .iter()
            .zip(HEADER)
            .all(|(found, heading)| found.trim_ascii().eq_ignore_ascii_case(heading.as_bytes()))
}

/// Says what a first line should be, and is.
fn wrong_header(record: &ByteRecord) -> String {
    let found: Vec<_> = record.iter().map(String::from_utf8_lossy).collect();
    let expected = HEADER.join(",");
    let found: String = found.join(",").chars().take(HEADER_SHOWN_MAX).collect();
    format!("the header must be {expected}; it is {found}")
}

/// Counts lines as an editor shows them. The reader's own count is taken before the second half of
/// a line's end and before empty lines.
struct Lines<'a> {
    content: &'a [u8],
    /// The bytes that were read so far.
    place: u64,
    line: u64,
}

impl Lines<'_> {
    /// The line of the first character of the record after this place; places only grow.
    fn line_of(&mut self, start: u64) -> u64 {
        while let Some((first, rest)) = self.content.split_first() {
            let is_end = *first == b'\n' || (*first == b'\r' && rest.first() != Some(&b'\n'));
            if self.place >= start && !is_end && *first != b'\r' {
                break;
            }
            self.line += u64::from(is_end);
            self.place += 1;
            self.content = rest;
        }
        self.line
    }
}

fn parse(line: u64, record: &ByteRecord) -> Result<Row, String> {
    let fields: Vec<&str> = record
        .iter()
        .map(|field| str::from_utf8(field).map_err(|_| NOT_UTF_8.to_owned()))
        .collect::<Result<_, _>>()?;
    let [site, key, quantity, reference] = fields[..] else {
        return Err(format!("it has {} columns, not {}", fields.len(), HEADER.len()));
    };
    let [site, key, reference] = [site, key, reference].map(formula::restored).map(str::trim);
    if key.is_empty() {
        return Err("key: is empty".to_owned());
    }
    Ok(Row {
        line,
        site: Site::parse(site).map_err(|error| format!("site: {error}"))?,
        key: key.to_owned(),
        quantity: Quantity::written_some(quantity.trim())
            .map_err(|error| format!("quantity: {error}"))?,
        reference: Identifier::parse(reference).map_err(|error| format!("reference: {error}"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn faults(content: &[u8], expected: &[(u64, &str)]) {
        let checked = check(content);
        let found = checked.faults.iter().map(|fault| (fault.line, fault.message.as_str()));
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn rows_are_read_with_their_lines() {
        let content = "\u{feff}site,key,quantity,reference\r\nshop,\"sku:a,\"\"b\"\"\",1.5,R\r\n\r\n\
                       shop,sku:c,100,\"two\nlines\"\n";
        // A reference has no line end, so the last row is wrong, and said to be on its first line.
        faults(content.as_bytes(), &[(4, "reference: has a control character")]);
        let unix = content.replace("\r\n", "\n");
        faults(unix.as_bytes(), &[(4, "reference: has a control character")]);
        let checked = check(content.as_bytes());
        assert_eq!(checked.rows[0].line, 2);
        assert_eq!(checked.rows[0].key, "sku:a,\"b\"");
        assert_eq!(checked.rows[0].quantity, Quantity::from_millionths(1_500_000));
    }

    #[test]
    fn every_fault_is_found_with_its_line() {
        let content = b"site,key,quantity,reference\n,sku:a,1,R\nshop, ,1,R\nshop,sku:a,-1,R\n\
                        shop,sku:a,1,\nshop,sku:a,1\nshop,sku:\xff,1,R\nshop,sku:a,1,R\n\
                        shop,sku:a,1.0,R\nshop,sku:a,2,R\nshop,sku:b,2,R\n\
                        shop,sku:d,0,R\nshop,sku:d,1e3,R\nshop,sku:d,\"1,5\",R\n";
        faults(
            content,
            &[
                (2, "site: is empty"),
                (3, "key: is empty"),
                (4, "quantity: is negative"),
                (5, "reference: is empty"),
                (6, "it has 3 columns, not 4"),
                (7, NOT_UTF_8),
                (10, "line 8 has another quantity for this reference: 1, this one 2"),
                (12, "quantity: is zero: nothing would change"),
                (13, "quantity: has an exponent: write all digits, as in 1000"),
                (
                    14,
                    "quantity: has a comma: write a point, as in 1.5, and nothing between thousands",
                ),
            ],
        );
        let checked = check(content);
        assert_eq!((checked.rows.len(), checked.repeated), (2, 1));
    }

    #[test]
    fn what_the_export_neutralised_is_read_back() {
        let content = b"site,key,quantity,reference\n'@shop,'=a,1,'+R\nshop,sku:'b,2,''-R\n";
        let checked = check(content);
        let read = checked
            .rows
            .iter()
            .map(|row| (row.site.as_str(), row.key.as_str(), row.reference.as_str()));
        let expected = [("@shop", "=a", "+R"), ("shop", "sku:'b", "'-R")];
        assert_eq!(read.collect::<Vec<_>>(), expected, "{:?}", checked.faults);
    }

    #[test]
    fn a_file_without_its_header_or_rows_is_refused() {
        let header = "the header must be site,key,quantity,reference; it is ";
        faults(b"", &[(1, "the file is empty")]);
        faults(b"site,key,quantity,reference\n", &[(1, "the file has a header and no rows")]);
        faults(b"shop,sku:a,1,R\n", &[(1, &format!("{header}shop,sku:a,1,R"))]);
        let swapped = "key,site,quantity,reference";
        faults(format!("{swapped}\n").as_bytes(), &[(1, &format!("{header}{swapped}"))]);
    }

    #[test]
    fn what_spreadsheets_export_is_read_whatever_its_encoding_and_separator() {
        let rows = "Site;KEY; Quantity ;reference\r\ncafé; sku:a ;1.5; R,1 \r\n";
        let utf_16 = || rows.replace(';', "\t").encode_utf16().collect::<Vec<_>>();
        let mut little = vec![0xff, 0xfe];
        little.extend(utf_16().into_iter().flat_map(u16::to_le_bytes));
        let mut big = vec![0xfe, 0xff];
        big.extend(utf_16().into_iter().flat_map(u16::to_be_bytes));
        for content in [rows.as_bytes().to_vec(), little, big] {
            let checked = check(&content);
            assert_eq!(checked.faults, []);
            let row = &checked.rows[0];
            assert_eq!((row.line, row.site.as_str(), row.key.as_str()), (2, "café", "sku:a"));
            assert_eq!(row.reference.as_str(), "R,1");
        }
    }
}
