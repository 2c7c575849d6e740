//! `stock receive`, `stock count` and `stock import`: what changes stock without an order.
//!
//! They publish as the API does, beside a running `serve`, and wait until its worker has counted.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::args::{parse_key, parse_timeout};
use super::output::Output;
use super::table::{optional, quantity, text, write_facts};
use super::{ExitStatus, Format, import};
use crate::broker::Broker;
use crate::console::views::ReceiptView;
use crate::domain::{Identifier, Quantity, ReceiptId, Site, StockKey};
use crate::receipts::{self, Amount, Progress, ReceiptRequest};
use crate::store::Store;

/// The source that the envelopes name.
pub(super) const SOURCE: &str = "cli";

/// What `stock` can do that changes stock.
#[derive(Debug, Subcommand)]
pub enum ReceiptCommand {
    /// Counts goods that came in.
    ///
    /// Once for each item and reference: running it again counts nothing. Exits 1 when the
    /// reference is taken, or when no `serve` has counted the goods in time; they stay queued.
    Receive {
        /// What is received, of what.
        #[command(flatten)]
        args: ReceiptArgs,
    },
    /// Sets what is on the shelf to what a count found.
    ///
    /// The difference to what is known is computed once, when the count is first asked for.
    Count {
        /// What was found, of what.
        #[command(flatten)]
        args: ReceiptArgs,
    },
    /// Counts goods from a CSV file with the columns `site,key,quantity,reference`.
    ///
    /// The first line names the columns. Nothing is counted unless every row is right. Rows that
    /// were counted before are not counted again, so an import that broke off is run again whole.
    Import {
        /// The file; `-` is stdin.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// How long a row may take to be counted before the others are only queued.
        #[arg(long, value_name = "D", default_value = "5s", value_parser = parse_timeout)]
        timeout: Duration,
    },
}

/// What a receipt takes.
#[derive(Debug, Args)]
pub struct ReceiptArgs {
    /// The shop, as Duda names it in `site_name`.
    #[arg(value_name = "SITE", value_parser = Site::parse)]
    pub site: Site,
    /// The item, as `stock list` prints it: `variation:V1`, `product:P1`, `sku:S1`, ...
    #[arg(value_name = "KEY", value_parser = parse_key)]
    pub key: StockKey,
    /// How many units, with at most six decimals.
    // A negative one is no option: it is refused with a reason.
    #[arg(value_name = "QTY", allow_negative_numbers = true, value_parser = Quantity::parse)]
    pub quantity: Quantity,
    /// The name under which this is counted once, as of a delivery note.
    #[arg(long, value_name = "R", value_parser = Identifier::parse)]
    pub reference: Identifier,
    /// How long to wait for it to be counted.
    #[arg(long, value_name = "D", default_value = "5s", value_parser = parse_timeout)]
    pub timeout: Duration,
}

/// Does what `stock` was told to change.
pub async fn run(
    broker: &dyn Broker,
    store: &dyn Store,
    command: &ReceiptCommand,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    match command {
        ReceiptCommand::Receive { args } => {
            ask(broker, store, args, Amount::Received(args.quantity), output).await
        }
        ReceiptCommand::Count { args } => {
            ask(broker, store, args, Amount::OnHand(args.quantity), output).await
        }
        ReceiptCommand::Import { file, timeout } => {
            import::run(broker, store, file, *timeout, output).await
        }
    }
}

async fn ask(
    broker: &dyn Broker,
    store: &dyn Store,
    args: &ReceiptArgs,
    amount: Amount,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let receipt = ReceiptId { key: args.key.clone(), reference: args.reference.clone() };
    let request = ReceiptRequest { site: args.site.clone(), receipt, amount };
    let answer = receipts::ask(broker, store, &request, SOURCE, args.timeout).await?;
    let view = ReceiptView::new(&request, &answer);
    match output.format {
        Format::Table => write_receipt(&view, output)?,
        Format::Json => output.json(&view)?,
    }
    Ok(match answer.progress {
        Progress::Applied => ExitStatus::Done,
        Progress::Repeated => {
            output.say("counted before; nothing was added")?;
            ExitStatus::Done
        }
        Progress::Queued => {
            output.say("queued, and not counted yet: is `storekeeper serve` running?")?;
            ExitStatus::NotHeld
        }
    })
}

fn write_receipt(view: &ReceiptView, output: &mut Output<'_>) -> anyhow::Result<()> {
    let amount =
        |amount: &Option<String>| amount.as_deref().map_or_else(|| optional(None), quantity);
    let mut facts = vec![
        ("site", text(&view.site)),
        ("key", text(&view.key)),
        ("reference", text(&view.reference)),
        ("state", text(view.state)),
    ];
    if view.received.is_some() {
        facts.push(("received", amount(&view.received)));
    } else {
        facts.push(("on hand", amount(&view.on_hand)));
        facts.push(("difference", amount(&view.difference)));
    }
    if let Some(pending) = &view.pending {
        let events = format!("{} queued, {} retrying", pending.queued, pending.retrying);
        facts.push(("events not counted then", text(&events)));
    }
    facts.push(("message", text(&view.message_id)));
    Ok(write_facts(output.out, output.width, facts)?)
}
