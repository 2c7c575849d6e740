//! `journal replay`: puts the journal into the work queue again.

use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;
use serde::Serialize;
use tokio::time::Instant;

use super::output::Output;
use super::{ExitStatus, progress};
use crate::broker::Broker;
use crate::clock::PastTime;
use crate::domain::Timestamp;
use crate::store::Store;
use crate::upkeep::rebuild::{self, RebuildError, ReplayProgress, Selection};

/// What `journal` can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum JournalCommand {
    /// Puts what the journal holds into the work queue again, for a store that was lost or restored.
    ///
    /// What was applied before changes nothing, so it may be repeated. Start from an empty store by
    /// moving `store.db` away while the service is stopped, and start it again: this goes only a
    /// little ahead of the worker.
    Replay {
        /// Only what was received since: RFC 3339, or so long ago as `2h`. Goes back
        /// `journal.overlap` further.
        #[arg(long, value_name = "T", value_parser = PastTime::parse)]
        since: Option<PastTime>,
        /// Fills an empty store although the journal is not whole.
        #[arg(long)]
        partial: bool,
    },
}

/// What was done, in JSON.
#[derive(Serialize)]
struct View {
    /// Envelopes that were put into the work queue.
    replayed: u64,
}

/// How long the worker may stand still before the person is told.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether nothing goes on, and the person does not know yet.
#[derive(Default)]
struct Waiting {
    since: Option<Instant>,
    is_told: bool,
}

impl Waiting {
    fn is_news(&mut self, progress: &ReplayProgress) -> bool {
        if !progress.is_waiting {
            *self = Self::default();
            return false;
        }
        let is_long = self.since.get_or_insert_with(Instant::now).elapsed() > PATIENCE;
        is_long && !std::mem::replace(&mut self.is_told, is_long)
    }
}

/// Does what `journal` was told to; `--since` goes back `overlap` further.
pub async fn run(
    broker: &dyn Broker,
    store: &dyn Store,
    command: JournalCommand,
    overlap: Duration,
    now: Timestamp,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let JournalCommand::Replay { since, partial } = command;
    let overlap = i64::try_from(overlap.as_micros()).unwrap_or(i64::MAX);
    let since = since.map(|since| since.resolve(now).plus_micros(-overlap));
    let bar = progress::bar("the journal");
    let mut waiting = Waiting::default();
    let replayed = rebuild::replay(broker, store, Selection { since, partial }, |progress| {
        bar.set_length(progress.all);
        bar.set_position(progress.done);
        if waiting.is_news(&progress) {
            let sentence = "the queue is full enough; waiting for a worker: does one run?";
            // Should stderr be gone, there is nobody to tell.
            bar.suspend(|| output.say(sentence)).ok();
        }
    });
    let replayed = replayed.await;
    bar.finish_and_clear();
    let replayed = match replayed {
        Err(error @ RebuildError::InPart(_)) => {
            output.say(error)?;
            return Ok(ExitStatus::NotHeld);
        }
        replayed => replayed.context("run `storekeeper journal replay` again")?,
    };
    let sentence = format_args!("{replayed} envelopes are in the work queue again");
    output.verdict(sentence, &View { replayed })?;
    Ok(ExitStatus::Done)
}
