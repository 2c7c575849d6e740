//! `stock import`: goods from a CSV file.
//!
//! The whole file is checked, and the item of every row is looked up, before anything is counted;
//! then the rows are published concurrently. An interrupted import can be repeated: a row that was
//! counted is recognised by its reference.

mod dry_run;
mod rows;
mod text;

use std::cell::Cell as Flag;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use comfy_table::Cell;
use futures_util::{StreamExt, stream};
use serde::Serialize;

use super::actor::{ActorArgs, SOURCE};
use super::output::Output;
use super::parse::parse_timeout;
use super::plural::{counted, word};
use super::table::write_facts;
use super::{ExitStatus, input, progress};
use crate::broker::Broker;
use crate::domain::{Identifier, Note, ReceiptId, Site, StockKey, causes};
use crate::requests::items::{self, Create, ItemError};
use crate::requests::receipts::{self, Amount, ReceiptError, ReceiptRequest};
use crate::requests::{AskError, Progress};
use crate::store::Store;
use rows::{Seen, is_new};

pub use rows::{Checked, Fault, Row, check};

/// The largest file, in bytes.
const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Rows that are published concurrently.
const CONCURRENCY: usize = 64;

/// The arguments of `stock import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The file; `-` is stdin.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Only show what each row would do.
    #[arg(long)]
    pub dry_run: bool,
    /// Create items and sites that do not exist; a new item needs its kind: `sku:S1`.
    #[arg(long)]
    pub create: bool,
    /// Why; recorded with every row.
    #[arg(long, value_name = "T", value_parser = Identifier::parse)]
    pub reason: Option<Identifier>,
    /// Who imports.
    #[command(flatten)]
    pub by: ActorArgs,
    /// How long to wait for a row to be counted before the others are only queued.
    #[arg(long, value_name = "D", default_value = "5s", value_parser = parse_timeout)]
    pub timeout: Duration,
}

/// Counts the rows of a file, or none if one of them is invalid.
pub(super) async fn run(
    broker: &dyn Broker,
    store: &dyn Store,
    args: &ImportArgs,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let content = input::read(&args.file, FILE_BYTES_MAX)?;
    let checked = check(&content);
    if !checked.faults.is_empty() {
        write_faults(&checked.faults, output)?;
        let rows = rows_of(checked.faults.len());
        bail!("{rows} cannot be read; nothing was counted");
    }
    let note = Note { reason: args.reason.clone(), actor: Some(args.by.name()) };
    let rows = checked.rows.len() + checked.repeated;
    let Resolved { requests, repeated, faults } =
        resolve(store, &checked.rows, Create::asked(args.create), &note).await?;
    if args.dry_run {
        let is_held = dry_run::run(store, &requests, output).await?;
        write_faults(&faults, output)?;
        let is_held = is_held && faults.is_empty();
        return Ok(if is_held { ExitStatus::Done } else { ExitStatus::NotHeld });
    }
    if !faults.is_empty() {
        write_faults(&faults, output)?;
        return Err(ItemsUnresolved(faults.len()).into());
    }
    let repeated = repeated + checked.repeated;
    let mut summary = Summary { rows, repeated, ..Summary::default() };
    let done = count(broker, store, &requests, args.timeout, &mut summary, output).await;
    output.show(&summary, Summary::write)?;
    done.context("the import broke off; run it again to go on")?;
    if summary.queued > 0 {
        output.say("some rows are queued, and not counted yet: is `storekeeper serve` running?")?;
    }
    let is_held = summary.applied + summary.repeated == summary.rows;
    Ok(if is_held { ExitStatus::Done } else { ExitStatus::NotHeld })
}

/// A well-formed file of which some rows match no item, or several.
#[derive(Debug, thiserror::Error)]
#[error("{} not name exactly one item; nothing was counted", rows_do(*.0))]
pub struct ItemsUnresolved(usize);

fn rows_of(count: usize) -> String {
    counted(count as u64, "row of the file", "rows of the file")
}

fn rows_do(count: usize) -> String {
    format!("{} {}", rows_of(count), word(count as u64, "does", "do"))
}

fn write_faults(faults: &[Fault], output: &mut Output<'_>) -> anyhow::Result<()> {
    for fault in faults {
        output.say(format_args!("line {}: {}", fault.line, fault.message))?;
    }
    Ok(())
}

/// The receipts that the rows stand for.
struct Resolved {
    /// Each with the line on which its row begins.
    requests: Vec<(u64, ReceiptRequest)>,
    /// Rows that repeat an earlier one under another name of the item.
    repeated: usize,
    faults: Vec<Fault>,
}

/// Looks up the item of each row.
async fn resolve(
    store: &dyn Store,
    rows: &[Row],
    create: Create,
    note: &Note,
) -> anyhow::Result<Resolved> {
    let named: BTreeSet<(&Site, &str)> =
        rows.iter().map(|row| (&row.site, row.key.as_str())).collect();
    let look = async |(site, key)| ((site, key), items::resolve(store, site, key, create).await);
    let mut looked_up = stream::iter(named).map(look).buffer_unordered(CONCURRENCY);
    let mut keys: BTreeMap<(&Site, &str), Result<StockKey, String>> = BTreeMap::new();
    while let Some((name, found)) = looked_up.next().await {
        let found = match found {
            Err(ItemError::Store(error)) => return Err(error.into()),
            found => found.map_err(|error| format!("key: {error}")),
        };
        keys.insert(name, found);
    }
    let mut resolved = Resolved { requests: Vec::new(), repeated: 0, faults: Vec::new() };
    let mut seen = Seen::new();
    for row in rows {
        let line = row.line;
        let key = match keys.get(&(&row.site, row.key.as_str())) {
            Some(Ok(key)) => key.clone(),
            Some(Err(message)) => {
                resolved.faults.push(Fault { line, message: message.clone() });
                continue;
            }
            None => continue,
        };
        let receipt = ReceiptId { key, reference: row.reference.clone() };
        match is_new(&mut seen, (&row.site, receipt.clone()), row) {
            Ok(true) => {
                let (site, amount) = (row.site.clone(), Amount::Received(row.quantity));
                let request = ReceiptRequest { site, receipt, amount, note: note.clone() };
                resolved.requests.push((line, request));
            }
            Ok(false) => resolved.repeated += 1,
            Err(fault) => resolved.faults.push(fault),
        }
    }
    Ok(resolved)
}

/// The outcomes of the rows.
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
    /// Became a dead letter.
    dead: usize,
}

impl Summary {
    fn write(&self, output: &mut Output<'_>) -> io::Result<()> {
        let facts = vec![
            ("rows", Cell::new(self.rows)),
            ("counted", Cell::new(self.applied)),
            ("counted before", Cell::new(self.repeated)),
            ("queued", Cell::new(self.queued)),
            ("reference taken", Cell::new(self.reused)),
            ("dead letters", Cell::new(self.dead)),
        ];
        write_facts(facts, output)
    }
}

/// Publishes every row; stops at the first failure that concerns more than its row.
async fn count(
    broker: &dyn Broker,
    store: &dyn Store,
    rows: &[(u64, ReceiptRequest)],
    timeout: Duration,
    summary: &mut Summary,
    output: &mut Output<'_>,
) -> Result<(), anyhow::Error> {
    let bar = progress::bar("rows");
    bar.set_length(u64::try_from(rows.len()).unwrap_or(u64::MAX));
    // Once a row times out, no worker is running: the rest is only queued.
    let is_behind = Flag::new(false);
    let ask = async |(line, request): &(u64, ReceiptRequest)| {
        let timeout = if is_behind.get() { Duration::ZERO } else { timeout };
        (*line, receipts::ask(broker, store, request, SOURCE, timeout).await)
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
            Err(error) => {
                match error {
                    ReceiptError::ReferenceReused { .. }
                    | ReceiptError::Voided(_)
                    | ReceiptError::NotTracked(_) => summary.reused += 1,
                    ReceiptError::Ask(AskError::DeadLetter { .. }) => summary.dead += 1,
                    ReceiptError::DifferenceTooLarge | ReceiptError::Ask(_) => {
                        return Err(error.into());
                    }
                }
                bar.suspend(|| output.say(format_args!("line {line}: {}", causes(&error))))?;
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}
