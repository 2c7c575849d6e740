//! `orders release`, `orders hold` and `orders ship`: a person corrects an order.
//!
//! They publish envelopes as the API does, beside a running `serve`, and wait for its worker.

use std::io;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::show::write_holds;
use crate::broker::Broker;
use crate::cli::ExitStatus;
use crate::cli::actor::{ActorArgs, SOURCE};
use crate::cli::output::Output;
use crate::cli::parse::parse_timeout;
use crate::cli::table::{text, write_facts};
use crate::console::lookup;
use crate::console::views::CorrectionAnswerView;
use crate::domain::{Action, Identifier, Note, Shown, Site};
use crate::requests::Progress;
use crate::requests::corrections::{self, CorrectionRequest};
use crate::store::Store;

/// The commands of `orders` that correct an order.
#[derive(Debug, Subcommand)]
pub enum CorrectionCommand {
    /// Release an order: it holds nothing.
    ///
    /// In force until the content of the order changes. Exits 1 if the order has changed since it
    /// was shown, if the reference is taken, or if no worker applied the correction in time; then
    /// it stays queued.
    Release(CorrectionArgs),
    /// Make an order hold what its latest snapshot says, even if it is deleted or cancelled.
    ///
    /// In force until the content of the order changes.
    Hold(CorrectionArgs),
    /// Mark an order as shipped: its goods have left.
    ///
    /// An order that is released, or of mode TEST, still holds nothing: run `orders hold` first.
    Ship(CorrectionArgs),
}

/// The arguments of a correction.
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
    /// Why; recorded with the correction and shown.
    #[arg(long, value_name = "T", value_parser = Identifier::parse)]
    pub reason: Identifier,
    /// Who corrects it.
    #[command(flatten)]
    pub by: ActorArgs,
    /// The state of the order that you saw: `shown` of `orders show --format json`. By default, its
    /// current state.
    #[arg(long, value_name = "TOKEN", value_parser = Shown::parse)]
    pub shown: Option<Shown>,
    /// How long to wait for a worker to apply it.
    #[arg(long, value_name = "D", default_value = "5s", value_parser = parse_timeout)]
    pub timeout: Duration,
}

/// Corrects an order, and shows what it holds then.
pub async fn run(
    broker: &dyn Broker,
    store: &dyn Store,
    command: &CorrectionCommand,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let (action, args) = match command {
        CorrectionCommand::Release(args) => (Action::Release, args),
        CorrectionCommand::Hold(args) => (Action::Hold, args),
        CorrectionCommand::Ship(args) => (Action::Ship, args),
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
