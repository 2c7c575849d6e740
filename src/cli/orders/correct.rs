//! `orders release`, `orders hold` and `orders ship`: what a person says of an order.
//!
//! They publish as the API does, beside a running `serve`, and wait until its worker has done it.

use std::io;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::show::write_holds;
use crate::asking::Progress;
use crate::broker::Broker;
use crate::cli::ExitStatus;
use crate::cli::actor::{ActorArgs, SOURCE};
use crate::cli::output::Output;
use crate::cli::parse::parse_timeout;
use crate::cli::table::{text, write_facts};
use crate::console::lookup;
use crate::console::views::CorrectionAnswerView;
use crate::corrections::{self, CorrectionRequest};
use crate::domain::{Action, Identifier, Note, Shown, Site};
use crate::store::Store;

/// What `orders` can do that changes what orders hold.
#[derive(Debug, Subcommand)]
pub enum CorrectionCommand {
    /// Makes an order hold nothing.
    ///
    /// It decides until the order says something else than it does now. Exits 1 when the order has
    /// changed since it was shown, when the reference is taken, or when no `serve` has done it in
    /// time; then it stays queued.
    Release {
        /// Which order, and why.
        #[command(flatten)]
        args: CorrectionArgs,
    },
    /// Makes an order hold what its latest snapshot says, also if it is deleted or cancelled.
    ///
    /// It decides until the order says something else than it does now.
    Hold {
        /// Which order, and why.
        #[command(flatten)]
        args: CorrectionArgs,
    },
    /// Says that the goods of an order have left.
    ///
    /// A released order, or one of mode TEST, holds nothing all the same: `orders hold` it first.
    Ship {
        /// Which order, and why.
        #[command(flatten)]
        args: CorrectionArgs,
    },
}

/// What a correction takes.
#[derive(Debug, Args)]
pub struct CorrectionArgs {
    /// The shop, as Duda names it in `site_name`.
    #[arg(value_name = "SITE", value_parser = Site::parse)]
    pub site: Site,
    /// Any name of the order: its id, external id or invoice number, bare or as `id:1234`.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The name under which the correction counts once for this order.
    #[arg(long, value_name = "R", value_parser = Identifier::parse)]
    pub reference: Identifier,
    /// Why; kept with the correction, and shown.
    #[arg(long, value_name = "T", value_parser = Identifier::parse)]
    pub reason: Identifier,
    /// Who.
    #[command(flatten)]
    pub by: ActorArgs,
    /// What was seen of the order: `shown` of `orders show --format json`. Without it, what the
    /// order says now.
    #[arg(long, value_name = "TOKEN", value_parser = Shown::parse)]
    pub shown: Option<Shown>,
    /// How long to wait until a worker has done it.
    #[arg(long, value_name = "D", default_value = "5s", value_parser = parse_timeout)]
    pub timeout: Duration,
}

/// Corrects an order, and writes what it holds then.
pub async fn run(
    broker: &dyn Broker,
    store: &dyn Store,
    command: &CorrectionCommand,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let (action, args) = match command {
        CorrectionCommand::Release { args } => (Action::Release, args),
        CorrectionCommand::Hold { args } => (Action::Hold, args),
        CorrectionCommand::Ship { args } => (Action::Ship, args),
    };
    let order = lookup::find(store, &args.site, &args.name).await?;
    let request = CorrectionRequest {
        site: order.site,
        order: order.order,
        action,
        shown: args.shown,
        reference: args.reference.clone(),
        note: Note { reason: Some(args.reason.clone()), actor: Some(args.by.name()) },
    };
    let answer = corrections::ask(broker, store, &request, SOURCE, args.timeout).await?;
    output.show(&CorrectionAnswerView::new(&request, &answer), write_answer)?;
    match answer.progress {
        Progress::Applied => {}
        Progress::Repeated => output.say("corrected before; nothing was done")?,
        Progress::Queued => {
            let reason = "queued, and not in effect yet: is `storekeeper serve` running?";
            return output.not_held(reason);
        }
    }
    Ok(ExitStatus::Done)
}

fn write_answer(view: &CorrectionAnswerView, output: &mut Output<'_>) -> io::Result<()> {
    let facts = vec![
        ("site", text(&view.site)),
        ("order", text(&view.order)),
        ("action", text(view.action)),
        ("reference", text(&view.reference)),
        ("state", text(view.state)),
        ("message", text(&view.message_id)),
    ];
    write_facts(facts, output)?;
    write_holds("Held before", &view.before, output)?;
    match &view.after {
        Some(after) => write_holds("Holds now", after, output),
        None => Ok(()),
    }
}
