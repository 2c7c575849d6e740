//! Parses the rows of a file, and finds what is wrong with them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use csv::{ByteRecord, ReaderBuilder};

use crate::cli::formula;
use crate::domain::{Identifier, Quantity, Site};

/// The most rows of a file.
const ROWS_MAX: usize = 500_000;
/// The columns of the first line.
const HEADER: [&str; 4] = ["site", "key", "quantity", "reference"];

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
    let message = format!("line {first} has another quantity for this reference");
    Err(Fault { line: row.line, message })
}

/// Parses every row and finds everything that is malformed.
pub fn check(content: &[u8]) -> Checked {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(content);
    let mut checked = Checked::default();
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
            if !record.iter().eq(HEADER.map(str::as_bytes)) {
                checked.faults.push(fault(format!("the header must be {}", HEADER.join(","))));
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
        let message = format!("the header must be {}", HEADER.join(","));
        checked.faults.push(Fault { line: 1, message });
    }
    checked
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
        .map(|field| str::from_utf8(field).map_err(|_| "it is not UTF-8".to_owned()))
        .collect::<Result<_, _>>()?;
    let [site, key, quantity, reference] = fields[..] else {
        return Err(format!("it has {} columns, not {}", fields.len(), HEADER.len()));
    };
    let [site, key, reference] = [site, key, reference].map(formula::restored);
    let key = key.trim();
    if key.is_empty() {
        return Err("key: is empty".to_owned());
    }
    Ok(Row {
        line,
        site: Site::parse(site).map_err(|error| format!("site: {error}"))?,
        key: key.to_owned(),
        quantity: Quantity::exact(quantity).map_err(|error| format!("quantity: {error}"))?,
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
                       shop,sku:c,1e2,\"two\nlines\"\n";
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
                        shop,sku:a,1.0,R\nshop,sku:a,2,R\nshop,sku:b,2,R\n";
        faults(
            content,
            &[
                (2, "site: is empty"),
                (3, "key: is empty"),
                (4, "quantity: is negative"),
                (5, "reference: is empty"),
                (6, "it has 3 columns, not 4"),
                (7, "it is not UTF-8"),
                (10, "line 8 has another quantity for this reference"),
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
    fn a_file_without_its_header_is_refused() {
        let expected = (1, "the header must be site,key,quantity,reference");
        faults(b"", &[expected]);
        faults(b"shop,sku:a,1,R\n", &[expected]);
        faults(b"key,site,quantity,reference\n", &[expected]);
        faults(b"site,key,quantity,reference\n", &[]);
    }
}
