//! `stock import`: goods from a CSV file.
//!
//! The file is read and checked whole, then its rows are asked for side by side. What breaks off
//! is run again: a row that was counted is found by its reference.

use std::cell::Cell as Flag;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use comfy_table::Cell;
use csv::{ByteRecord, ReaderBuilder};
use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::output::Output;
use super::receipts::SOURCE;
use super::table::write_facts;
use super::{ExitStatus, Format, input};
use crate::broker::Broker;
use crate::domain::{Identifier, Quantity, ReceiptId, Site, StockKey};
use crate::receipts::{self, Amount, Progress, ReceiptError, ReceiptRequest};
use crate::store::Store;

/// The largest file, in bytes.
const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The most rows of a file.
const ROWS_MAX: usize = 500_000;
/// Rows that are asked for at a time.
const CONCURRENCY: usize = 64;
/// What the first line says.
const HEADER: [&str; 4] = ["site", "key", "quantity", "reference"];

/// Counts the rows of a file, or none if one of them is wrong.
pub(super) async fn run(
    broker: &dyn Broker,
    store: &dyn Store,
    file: &Path,
    timeout: Duration,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let content = input::read(file, FILE_BYTES_MAX)?;
    let Checked { rows, repeated, faults } = check(&content);
    if !faults.is_empty() {
        for fault in &faults {
            output.say(format_args!("line {}: {}", fault.line, fault.message))?;
        }
        bail!("{} of the file's rows cannot be read; nothing was counted", faults.len());
    }
    let mut summary = Summary { rows: rows.len() + repeated, repeated, ..Summary::default() };
    let done = count(broker, store, &rows, timeout, &mut summary, output).await;
    match output.format {
        Format::Table => summary.write(output)?,
        Format::Json => output.json(&summary)?,
    }
    done.context("the import broke off; run it again to go on")?;
    if summary.queued > 0 {
        output.say("some are queued, and not counted yet: is `storekeeper serve` running?")?;
    }
    let is_held = summary.applied + summary.repeated == summary.rows;
    Ok(if is_held { ExitStatus::Done } else { ExitStatus::NotHeld })
}

/// What became of the rows.
#[derive(Debug, Default, Serialize)]
struct Summary {
    rows: usize,
    /// Counted now.
    applied: usize,
    /// Counted before, or named twice.
    repeated: usize,
    /// Durable, and not counted yet.
    queued: usize,
    /// Not counted, because their reference is taken.
    reused: usize,
    /// Put aside by the worker.
    dead: usize,
}

impl Summary {
    fn write(&self, output: &mut Output<'_>) -> anyhow::Result<()> {
        let facts = vec![
            ("rows", Cell::new(self.rows)),
            ("counted", Cell::new(self.applied)),
            ("counted before", Cell::new(self.repeated)),
            ("queued", Cell::new(self.queued)),
            ("reference taken", Cell::new(self.reused)),
            ("dead letters", Cell::new(self.dead)),
        ];
        Ok(write_facts(output.out, output.width, facts)?)
    }
}

/// Asks for every row; stops at the first failure that is not of one row only.
async fn count(
    broker: &dyn Broker,
    store: &dyn Store,
    rows: &[Row],
    timeout: Duration,
    summary: &mut Summary,
    output: &mut Output<'_>,
) -> Result<(), anyhow::Error> {
    let bar = bar(rows.len());
    // Nobody counts: the rows that follow are only queued.
    let is_behind = Flag::new(false);
    let ask = async |row: &Row| {
        let patience = if is_behind.get() { Duration::ZERO } else { timeout };
        (row.line, receipts::ask(broker, store, &row.request, SOURCE, patience).await)
    };
    let mut asked = stream::iter(rows).map(ask).buffer_unordered(CONCURRENCY);
    while let Some((line, asked)) = asked.next().await {
        match asked {
            Ok(answer) => match answer.progress {
                Progress::Applied => summary.applied += 1,
                Progress::Repeated => summary.repeated += 1,
                Progress::Queued => {
                    is_behind.set(true);
                    summary.queued += 1;
                }
            },
            Err(error @ ReceiptError::ReferenceReused(_)) => {
                summary.reused += 1;
                bar.suspend(|| output.say(format_args!("line {line}: {error}")))?;
            }
            Err(error @ ReceiptError::DeadLetter { .. }) => {
                summary.dead += 1;
                bar.suspend(|| output.say(format_args!("line {line}: {error}")))?;
            }
            Err(
                error @ (ReceiptError::DifferenceTooLarge
                | ReceiptError::Unconfirmed
                | ReceiptError::Broker(_)
                | ReceiptError::Store(_)),
            ) => return Err(error.into()),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// A bar on stderr; it hides itself when that is no terminal.
fn bar(rows: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} rows, {eta} left")
        .expect("the template is of its form");
    let length = u64::try_from(rows).unwrap_or(u64::MAX);
    ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr()).with_style(style)
}

/// A file that was read.
#[derive(Debug, Default)]
pub struct Checked {
    /// The rows that can be asked for, in their order.
    pub rows: Vec<Row>,
    /// Rows that say what an earlier one said.
    pub repeated: usize,
    /// Everything that is wrong; if anything is, nothing is counted.
    pub faults: Vec<Fault>,
}

/// A row that can be asked for.
#[derive(Debug)]
pub struct Row {
    /// The line on which it begins.
    pub line: u64,
    /// What it says.
    pub request: ReceiptRequest,
}

/// A row that cannot.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line on which it begins.
    pub line: u64,
    /// What is wrong with it.
    pub message: String,
}

/// Reads every row and finds everything that is wrong.
pub fn check(content: &[u8]) -> Checked {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(content);
    let mut checked = Checked::default();
    let mut seen: HashMap<(Site, ReceiptId), (u64, Amount)> = HashMap::new();
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
        let request = match parse(&record) {
            Ok(request) => request,
            Err(message) => {
                checked.faults.push(fault(message));
                continue;
            }
        };
        match seen.entry((request.site.clone(), request.receipt.clone())) {
            Entry::Vacant(entry) => {
                entry.insert((line, request.amount));
                checked.rows.push(Row { line, request });
            }
            Entry::Occupied(entry) if entry.get().1 == request.amount => checked.repeated += 1,
            Entry::Occupied(entry) => {
                let message =
                    format!("line {} has another quantity for this reference", entry.get().0);
                checked.faults.push(fault(message));
            }
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
    /// The bytes that were looked at.
    place: u64,
    line: u64,
}

impl Lines<'_> {
    /// The line of the first character of a record that is read from this place on; places grow.
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

fn parse(record: &ByteRecord) -> Result<ReceiptRequest, String> {
    let fields: Vec<&str> = record
        .iter()
        .map(|field| str::from_utf8(field).map_err(|_| "it is not UTF-8".to_owned()))
        .collect::<Result<_, _>>()?;
    let [site, key, quantity, reference] = fields[..] else {
        return Err(format!("it has {} columns, not {}", fields.len(), HEADER.len()));
    };
    let receipt = ReceiptId {
        key: StockKey::parse(key).map_err(|error| format!("key: {error}"))?,
        reference: Identifier::parse(reference).map_err(|error| format!("reference: {error}"))?,
    };
    Ok(ReceiptRequest {
        site: Site::parse(site).map_err(|error| format!("site: {error}"))?,
        receipt,
        amount: Amount::Received(
            Quantity::parse(quantity).map_err(|error| format!("quantity: {error}"))?,
        ),
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
        assert_eq!(checked.rows[0].request.receipt.key.to_string(), "sku:a,\"b\"");
        let units = Quantity::from_millionths(1_500_000);
        assert_eq!(checked.rows[0].request.amount, Amount::Received(units));
    }

    #[test]
    fn every_fault_is_found_with_its_line() {
        let content = b"site,key,quantity,reference\n,sku:a,1,R\nshop,a,1,R\nshop,sku:a,-1,R\n\
                        shop,sku:a,1,\nshop,sku:a,1\nshop,sku:\xff,1,R\nshop,sku:a,1,R\n\
                        shop,sku:a,1.0,R\nshop,sku:a,2,R\nshop,sku:b,2,R\n";
        faults(
            content,
            &[
                (2, "site: is empty"),
                (3, "key: is not of the form kind:identifier"),
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
    fn a_file_without_its_header_is_refused() {
        let expected = (1, "the header must be site,key,quantity,reference");
        faults(b"", &[expected]);
        faults(b"shop,sku:a,1,R\n", &[expected]);
        faults(b"key,site,quantity,reference\n", &[expected]);
        faults(b"site,key,quantity,reference\n", &[]);
    }
}
