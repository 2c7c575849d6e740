//! `queues`, `queues pause` and `queues resume`

use std::io;

use anyhow::Context;
use clap::{Args, Subcommand};
use comfy_table::Cell;

use super::ExitStatus;
use super::actor::ActorArgs;
use super::output::Output;
use super::table::{text, write_facts, write_warning};
use crate::broker::Broker;
use crate::clock;
use crate::console::views::{PauseView, QueuesView};
use crate::domain::{Identifier, Pause};
use crate::store::Store;

/// The arguments of `queues`.
#[derive(Debug, Args)]
pub struct QueuesArgs {
    /// What to do with the queues; by default, they are shown.
    #[command(subcommand)]
    pub command: Option<QueuesCommand>,
}

/// The commands of `queues`.
#[derive(Debug, Subcommand)]
pub enum QueuesCommand {
    /// Show how much is in each queue, and whether the work queue is paused.
    Show,
    /// Pause the work queue: workers take nothing from it until it is resumed.
    ///
    /// Webhooks are still received, and what workers have taken is finished. Dead letters are still
    /// parked. A queue that is paused stays paused as it was.
    Pause(ReasonArgs),
    /// Resume the work queue: workers take from it again within seconds.
    Resume(ReasonArgs),
}

/// Who acts, and why.
#[derive(Debug, Args)]
pub struct ReasonArgs {
    /// Why; it is recorded and shown.
    #[arg(long, value_name = "T", value_parser = Identifier::parse)]
    pub reason: Option<Identifier>,
    /// Who acts.
    #[command(flatten)]
    pub by: ActorArgs,
}

/// Pauses or resumes the work queue.
pub(super) async fn change(
    store: &dyn Store,
    command: &QueuesCommand,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    match command {
        QueuesCommand::Show => {}
        QueuesCommand::Pause(ReasonArgs { reason, by }) => {
            let pause = Pause { actor: by.name(), at: clock::now(), reason: reason.clone() };
            let paused = store.pause(&pause).await.context("cannot pause the queue")?;
            let sentence = if paused == pause {
                "the work queue is paused: webhooks are still received; `storekeeper queues \
                 resume` ends the pause"
                    .to_owned()
            } else {
                format!("the work queue is paused already: {paused}")
            };
            output.verdict(sentence, &PauseView::from(&paused))?;
        }
        QueuesCommand::Resume(_) => {
            let ended = store.resume().await.context("cannot resume the queue")?;
            let sentence = match &ended {
                Some(pause) => format!("the work queue is resumed; it was {pause}"),
                None => "the work queue was not paused".to_owned(),
            };
            output.verdict(sentence, &ended.as_ref().map(PauseView::from))?;
        }
    }
    Ok(ExitStatus::Done)
}

/// Shows the queues.
pub(super) async fn show(
    broker: &dyn Broker,
    store: &dyn Store,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let depth = broker.depth().await.context("cannot count what is in the queues")?;
    let parked = store.dead_letter_totals().await.context("cannot count the dead letters")?;
    let parked = parked.letters.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
    let paused = store.paused().await.context("cannot read whether the queue is paused")?;
    let view = QueuesView::new(&depth, parked, paused.as_ref(), clock::now());
    output.show(&view, write)?;
    Ok(ExitStatus::Done)
}

fn write(view: &QueuesView, output: &mut Output<'_>) -> io::Result<()> {
    let oldest = view.work.oldest_age_seconds.map(age);
    let facts = vec![
        ("work, ready", Cell::new(view.work.ready)),
        ("work, in flight", Cell::new(view.work.in_flight)),
        ("work, oldest", text(oldest.as_deref().unwrap_or("-"))),
        ("retry", Cell::new(view.retry.ready)),
        ("dead letters, not parked yet", Cell::new(view.dead.intake)),
        ("dead letters, parked", Cell::new(view.dead.parked)),
    ];
    write_facts(facts, output)?;
    if let Some(PauseView { by, at, reason }) = &view.paused {
        let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        write_warning(&format!("the work queue is paused by {by} since {at}{reason}"), output)?;
    }
    Ok(())
}

/// An age in its two largest units.
pub(super) fn age(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}
