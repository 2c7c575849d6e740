//! `stock receive`, `adjust`, `count`, `void` and `import`: changes that no order causes.
//!
//! They publish envelopes as the API does, beside a running `serve`, and wait for its worker.

use std::io;
use std::iter;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::actor::{ActorArgs, SOURCE};
use super::output::Output;
use super::parse::parse_timeout;
use super::table::{Column, quantity, spare, text, write_facts, write_table};
use super::{ExitStatus, import};
use crate::broker::Broker;
use crate::console::views::{CountsView, ReceiptView};
use crate::domain::{Identifier, Note, Quantity, ReceiptId, Site};
use crate::requests::Progress;
use crate::requests::items::{self, Create};
use crate::requests::receipts::{self, Amount, ReceiptRequest};
use crate::store::Store;

/// The commands of `stock` that change stock.
#[derive(Debug, Subcommand)]
pub enum ReceiptCommand {
    /// Count received goods.
    ///
    /// Once for each item and reference: running it again adds nothing. Exits 1 if the reference is
    /// taken, if the item does not exist and `--create` is not given, or if no worker counted the
    /// goods in time; then they stay queued.
    Receive(ReceiveArgs),
    /// Adjust the received quantity up or down, for a reason such as damage.
    ///
    /// Once for each item and reference, like `stock receive`.
    Adjust(AdjustArgs),
    /// Set the quantity on hand to the result of a count.
    ///
    /// The difference from the known quantity is computed once, when the count is first recorded.
    Count(CountArgs),
    /// Void a receipt, an adjustment or a count by its reference.
    ///
    /// For good, and also if the receipt itself is counted later.
    Void(VoidArgs),
    /// Count received goods from a CSV file with the columns `site,key,quantity,reference`.
    ///
    /// The first line names the columns. Nothing is counted unless every row is valid. Rows that
    /// were counted before are not counted again, so an interrupted import can simply be repeated.
    Import(import::ImportArgs),
}

/// An item and a reference.
#[derive(Debug, Args)]
pub struct ItemArgs {
    /// The shop, as Duda names it in `site_name`.
    #[arg(value_name = "SITE", value_parser = Site::parse)]
    pub site: Site,
    /// The item, by any of its names: `variation:V1`, `sku:S1`, or just `S1`.
    #[arg(value_name = "KEY")]
    pub key: String,
    /// The name under which this is counted once, such as the number of a delivery note.
    #[arg(long, value_name = "R", value_parser = Identifier::parse)]
    pub reference: Identifier,
    /// Who records it.
    #[command(flatten)]
    pub by: ActorArgs,
    /// How long to wait for a worker to count it.
    #[arg(long, value_name = "D", default_value = "5s", value_parser = parse_timeout)]
    pub timeout: Duration,
}

/// The arguments of a receipt.
#[derive(Debug, Args)]
pub struct ReceiveArgs {
    /// Which item.
    #[command(flatten)]
    pub item: ItemArgs,
    /// How many units, with at most six decimals.
    // A negative quantity is not an option: it is refused with a reason.
    #[arg(value_name = "QTY", allow_negative_numbers = true, value_parser = Quantity::written_some)]
    pub quantity: Quantity,
    /// Why; recorded with the change.
    #[arg(long, value_name = "T", value_parser = Identifier::parse)]
    pub reason: Option<Identifier>,
    /// Create the item or site if it does not exist; a new item needs its kind: `sku:S1`.
    #[arg(long)]
    pub create: bool,
}

/// The arguments of a count.
#[derive(Debug, Args)]
pub struct CountArgs {
    /// Which item.
    #[command(flatten)]
    pub item: ItemArgs,
    /// How many units are on hand, with at most six decimals; 0 if there are none.
    #[arg(value_name = "QTY", allow_negative_numbers = true, value_parser = Quantity::written)]
    pub on_hand: Quantity,
    /// Why; recorded with the change.
    #[arg(long, value_name = "T", value_parser = Identifier::parse)]
    pub reason: Option<Identifier>,
    /// Create the item or site if it does not exist; a new item needs its kind: `sku:S1`.
    #[arg(long)]
    pub create: bool,
}

/// The arguments of an adjustment.
#[derive(Debug, Args)]
pub struct AdjustArgs {
    /// Which item.
    #[command(flatten)]
    pub item: ItemArgs,
    /// How many units to add or remove: `+2` or `-2`, with at most six decimals.
    #[arg(value_name = "±QTY", allow_negative_numbers = true, value_parser = Quantity::written_difference)]
    pub quantity: Quantity,
    /// Why; recorded with the change.
    #[arg(long, value_name = "T", value_parser = Identifier::parse)]
    pub reason: Identifier,
    /// Create the item or site if it does not exist; a new item needs its kind: `sku:S1`.
    #[arg(long)]
    pub create: bool,
}

/// The arguments of a void.
#[derive(Debug, Args)]
pub struct VoidArgs {
    /// Which item, and which reference of it.
    #[command(flatten)]
    pub item: ItemArgs,
    /// Why; recorded with the change.
    #[arg(long, value_name = "T", value_parser = Identifier::parse)]
    pub reason: Option<Identifier>,
}

/// Runs a `stock` command that changes stock.
pub async fn run(
    broker: &dyn Broker,
    store: &dyn Store,
    command: &ReceiptCommand,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let (item, amount, reason, create) = match command {
        ReceiptCommand::Receive(args) => (
            &args.item,
            Amount::Received(args.quantity),
            args.reason.as_ref(),
            Create::asked(args.create),
        ),
        ReceiptCommand::Adjust(args) => {
            let create = Create::asked(args.create);
            (&args.item, Amount::Received(args.quantity), Some(&args.reason), create)
        }
        ReceiptCommand::Count(args) => (
            &args.item,
            Amount::OnHand(args.on_hand),
            args.reason.as_ref(),
            Create::asked(args.create),
        ),
        ReceiptCommand::Void(args) => {
            (&args.item, Amount::Void, args.reason.as_ref(), Create::Never)
        }
        ReceiptCommand::Import(args) => return import::run(broker, store, args, output).await,
    };
    let key = items::resolve(store, &item.site, &item.key, create).await?;
    let request = ReceiptRequest {
        site: item.site.clone(),
        receipt: ReceiptId { key, reference: item.reference.clone() },
        amount,
        note: Note { reason: reason.cloned(), actor: Some(item.by.name()) },
    };
    ask(broker, store, &request, item.timeout, output).await
}

async fn ask(
    broker: &dyn Broker,
    store: &dyn Store,
    request: &ReceiptRequest,
    timeout: Duration,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let answer = receipts::ask(broker, store, request, SOURCE, timeout).await?;
    output.show(&ReceiptView::new(request, &answer), write_receipt)?;
    match answer.progress {
        Progress::Applied => {}
        Progress::Repeated => output.say("counted before; nothing was added")?,
        Progress::Queued => {
            let reason = "queued, and not counted yet: is `storekeeper serve` running?";
            return output.not_held(reason);
        }
    }
    Ok(ExitStatus::Done)
}

fn write_receipt(view: &ReceiptView, output: &mut Output<'_>) -> io::Result<()> {
    let mut facts = vec![
        ("site", text(&view.site)),
        ("key", text(&view.key)),
        ("reference", text(&view.reference)),
        ("state", text(view.state)),
    ];
    if view.void.is_some() {
        facts.push(("void", text("yes")));
    }
    let amounts = [
        ("received", &view.received),
        ("on hand", &view.on_hand),
        ("difference", &view.difference),
    ];
    for (name, amount) in amounts {
        facts.extend(amount.as_deref().map(|amount| (name, quantity(amount))));
    }
    if let Some(pending) = &view.pending {
        let events = format!("{} queued, {} retrying", pending.queued, pending.retrying);
        facts.push(("events not counted then", text(&events)));
    }
    facts.push(("message", text(&view.message_id)));
    write_facts(facts, output)?;
    writeln!(output.out)?;
    let after = view.after.as_ref().map(|counts| ("after", counts));
    let rows: Vec<_> = iter::once(("before", &view.before)).chain(after).collect();
    write_table(&counts_columns(), &rows, output)
}

fn counts_columns<'a>() -> [Column<(&'static str, &'a CountsView)>; 6] {
    [
        Column::name("COUNTS", |(when, _)| text(when)),
        spare(1, Column::number("RECEIVED", |(_, counts)| quantity(&counts.received))),
        Column::number("COMMITTED", |(_, counts)| quantity(&counts.committed)),
        Column::number("FULFILLED", |(_, counts)| quantity(&counts.fulfilled)),
        Column::number("ON HAND", |(_, counts)| quantity(&counts.on_hand)),
        Column::number("AVAILABLE", |(_, counts)| quantity(&counts.available)),
    ]
}
