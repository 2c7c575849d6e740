//! `journal replay`: puts the bodies of the journal back into the work queue.

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

/// The commands of `journal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum JournalCommand {
    /// Replay the journal into the work queue, after the Store was lost or restored.
    ///
    /// It is safe to repeat: what was applied before changes nothing. To start from an empty Store,
    /// stop the service, move `store.db` away and start the service again. A worker must run: the
    /// replay stays only a little ahead of it.
    Replay {
        /// Only bodies received since: a time in RFC 3339, or an age such as `2h`. Goes back
        /// `journal.overlap` further.
        #[arg(long, value_name = "T", value_parser = PastTime::parse)]
        since: Option<PastTime>,
        /// Fill an empty Store although the journal is incomplete.
        #[arg(long)]
        partial: bool,
    },
    /// Trust the leader's clock, which waits to remove anything for its age.
    ///
    /// Retention waits when the clock of the machine is before the time that the leader recorded
    /// last, or more than 7 days after it. Check the clock first: what is removed is lost. Without
    /// this, a clock that goes on is trusted after 24 hours.
    TrustClock,
}

/// The result in JSON.
#[derive(Serialize)]
struct View {
    /// Envelopes that were put into the work queue.
    replayed: u64,
}

/// How long the replay may wait for a worker before it says so.
const STALL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the replay has been waiting, and whether that was reported.
#[derive(Default)]
struct Waiting {
    since: Option<Instant>,
    is_reported: bool,
}

impl Waiting {
    fn should_report(&mut self, progress: &ReplayProgress) -> bool {
        if !progress.is_waiting {
            *self = Self::default();
            return false;
        }
        let is_long = self.since.get_or_insert_with(Instant::now).elapsed() > STALL_TIMEOUT;
        is_long && !std::mem::replace(&mut self.is_reported, is_long)
    }
}

/// Runs a `journal` command; `--since` goes back `overlap` further.
pub async fn run(
    broker: &dyn Broker,
    store: &dyn Store,
    command: JournalCommand,
    overlap: Duration,
    now: Timestamp,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let JournalCommand::Replay { since, partial } = command else {
        return trust_clock(store, output).await;
    };
    let overlap = i64::try_from(overlap.as_micros()).unwrap_or(i64::MAX);
    let since = since.map(|since| since.resolve(now).plus_micros(-overlap));
    let bar = progress::bar("the journal");
    let mut waiting = Waiting::default();
    let replayed = rebuild::replay(broker, store, Selection { since, partial }, |progress| {
        bar.set_length(progress.all);
        bar.set_position(progress.done);
        if waiting.should_report(&progress) {
            let sentence = "the queue is full enough; waiting for a worker: does one run?";
            // If stderr is closed, nobody can read the message.
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

/// The result of `trust-clock` in JSON.
#[derive(Serialize)]
struct Trusted {
    /// The time that is trusted; absent if none was doubted.
    trusted: Option<String>,
}

async fn trust_clock(store: &dyn Store, output: &mut Output<'_>) -> anyhow::Result<ExitStatus> {
    let clock = store.leader_clock().await?;
    let Some((clock, doubted)) = clock.and_then(|clock| Some((clock, clock.doubted?))) else {
        output.verdict("nothing waits: no clock is doubted", &Trusted { trusted: None })?;
        return Ok(ExitStatus::Done);
    };
    store.record_leader_clock(clock.confirmed(), None).await?;
    let sentence = format!(
        "the leader's clock said {doubted} after it had said {}; it is trusted from now on",
        clock.trusted
    );
    output.verdict(sentence, &Trusted { trusted: Some(doubted.to_string()) })?;
    Ok(ExitStatus::Done)
}
