//! The rebuild: sends the journal through the work queue again, for workers to apply.
//!
//! `storekeeper journal replay` replaces a lost Store, or brings a restored one up to date. Nothing
//! is applied here, and nothing is journalled again. Bodies that are journalled meanwhile are in
//! the queue anyway, so reading stops at the position that was last at the start.
//!
//! Bodies that were rejected on receipt are parked again, never applied. If a person replayed one,
//! the journal has it once more, as work, and that ends the dead letter as the replay did.
//!
//! The rebuild stays ahead of the worker by a bounded number of envelopes and bytes, because
//! replayed bodies take room that webhooks need, and come before them in the queue.
//!
//! If it dies anywhere, a part of the journal is in the queue, and the rebuild is run again from
//! the start. Bodies that were applied before change nothing.
//!
//! A discarded dead letter is not replayed. It was not applied, perhaps for a reason that no longer
//! exists (its order was closed, a worker failed), so it would be applied now. A discard comes
//! later than the message that it discards, so the journal is scanned for discards beforehand.
//!
//! # Invariants
//! - An empty Store is not filled with a part of the journal, unless that was requested: its counts
//!   would look right and be wrong.

use std::collections::{BTreeMap, VecDeque};
use std::iter::Peekable;
use std::time::Duration;

use crate::broker::{Broker, BrokerError, Envelope, EnvelopeKind, JournalPosition, JournalRecord};
use crate::domain::{MessageId, Timestamp};
use crate::store::{DeadLetter, DeadLetterName, Store, StoreError};

/// How many envelopes are read, and at most replayed, at a time.
const PAGE: usize = 64;
/// Once this many envelopes are in the work queue, no more are added.
pub const AHEAD_MAX: u64 = 1024;
/// Once the replayed bodies that may not be done total this many bytes, no more are added. It is
/// also the most that is replayed at a time, unless one body is larger.
const AHEAD_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How often the progress of the worker is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The part of the journal to replay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Selection {
    /// Replays only bodies received from then on; `None` for all.
    pub since: Option<Timestamp>,
    /// Whether a part is acceptable even for an empty Store.
    pub partial: bool,
}

/// Why the journal was not replayed.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// A queue operation failed.
    #[error("cannot read or replay the journal")]
    Broker(#[from] BrokerError),
    /// A Store operation failed.
    #[error("cannot read the store")]
    Store(#[from] StoreError),
    /// The Store is not complete, and the journal is incomplete or was requested only in part.
    #[error(
        "the store is not complete, and {0}: counts would be wrong; restore a backup of the store first, \
         or give --partial"
    )]
    InPart(&'static str),
}

/// The progress of a replay, in journal positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayProgress {
    /// Positions that are done.
    pub done: u64,
    /// All positions.
    pub all: u64,
    /// Whether the replay is waiting for the worker.
    pub is_waiting: bool,
}

/// Replays the selection into the work queue, and returns how many envelopes it contained.
pub async fn replay(
    broker: &dyn Broker,
    store: &dyn Store,
    selection: Selection,
    progress: impl FnMut(ReplayProgress),
) -> Result<u64, RebuildError> {
    let extent = broker.journal_extent(selection.since).await?;
    if !selection.partial && !store.is_complete().await? {
        if !extent.is_complete {
            return Err(RebuildError::InPart("the journal no longer has its beginning"));
        }
        if extent.begins_later {
            return Err(RebuildError::InPart("only a part of the journal was asked for"));
        }
    }
    let count = match (extent.first, extent.last) {
        (Some(first), Some(last)) => replay_range(broker, store, first, last, progress).await?,
        _ => 0,
    };
    store.record_complete().await?;
    Ok(count)
}

/// Replays what is between two positions, both included. What is in a queue still comes anyway.
pub async fn replay_range(
    broker: &dyn Broker,
    store: &dyn Store,
    first: JournalPosition,
    last: JournalPosition,
    mut progress: impl FnMut(ReplayProgress),
) -> Result<u64, RebuildError> {
    let all = last.0.saturating_sub(first.0) + 1;
    let mut done = 0;
    let mut ahead = Ahead::default();
    let mut after = JournalPosition(first.0.saturating_sub(1));
    let discarded = discarded(broker, after, last).await?;
    let mut count = 0;
    loop {
        let mut records = broker.journal(Some(after), PAGE).await?;
        records.retain(|record| record.position <= last);
        let Some(end) = records.last().map(|record| record.position) else { break };
        records.retain(|record| {
            let discard = discarded.get(&record.envelope.message_id);
            !record.is_waiting && discard.is_none_or(|discard| *discard < record.position)
        });
        // A body that was rejected on receipt was never work: it becomes a dead letter again.
        let (work, letters): (Vec<_>, Vec<_>) =
            records.into_iter().partition(|record| record.rejection.is_none());
        count += u64::try_from(letters.len()).unwrap_or(u64::MAX);
        store.park(letters.into_iter().filter_map(dead_letter).collect()).await?;
        let mut work = work.into_iter().map(|record| record.envelope).peekable();
        while work.peek().is_some() {
            while !ahead.has_room(broker).await? {
                progress(ReplayProgress { done, all, is_waiting: true });
                tokio::time::sleep(POLL_INTERVAL).await;
            }
            let mut next = ahead.take(&mut work);
            // A person may discard while this goes on.
            let ids: Vec<_> = next.iter().map(|envelope| envelope.message_id).collect();
            let ended = store.discarded(&ids).await?;
            next.retain(|envelope| !ended.contains(&envelope.message_id));
            count += u64::try_from(next.len()).unwrap_or(u64::MAX);
            broker.replay(next).await?;
        }
        after = end;
        done = end.0.saturating_sub(first.0) + 1;
        progress(ReplayProgress { done, all, is_waiting: false });
    }
    Ok(count)
}

/// The replayed bodies that may not be done, oldest first.
#[derive(Debug, Default)]
struct Ahead {
    sizes: VecDeque<usize>,
    bytes: usize,
}

impl Ahead {
    /// Returns whether more may be replayed. The queue is processed in order, so the replayed
    /// bodies that are not done are at most the last ones, and no more than the queue has.
    async fn has_room(&mut self, broker: &dyn Broker) -> Result<bool, BrokerError> {
        let depth = broker.depth().await?;
        let waiting = depth.work_ready + depth.work_in_flight;
        let most = usize::try_from(waiting).unwrap_or(usize::MAX);
        for done in self.sizes.drain(..self.sizes.len().saturating_sub(most)) {
            self.bytes -= done;
        }
        Ok(waiting < AHEAD_MAX && self.bytes < AHEAD_BYTES_MAX)
    }

    /// Takes some envelopes, at least one if there is any.
    fn take(&mut self, work: &mut Peekable<impl Iterator<Item = Envelope>>) -> Vec<Envelope> {
        let (mut taken, mut bytes) = (Vec::new(), 0_usize);
        let fits = |bytes: usize, next: &Envelope| bytes + next.body.len() <= AHEAD_BYTES_MAX;
        while let Some(next) = work.next_if(|next| taken.is_empty() || fits(bytes, next)) {
            bytes += next.body.len();
            self.sizes.push_back(next.body.len());
            taken.push(next);
        }
        self.bytes += bytes;
        taken
    }
}

/// Returns the messages that were discarded between two positions, with the position of the last
/// discard of each.
async fn discarded(
    broker: &dyn Broker,
    mut after: JournalPosition,
    last: JournalPosition,
) -> Result<BTreeMap<MessageId, JournalPosition>, BrokerError> {
    let mut discarded = BTreeMap::new();
    loop {
        let mut records = broker.journal(Some(after), PAGE).await?;
        records.retain(|record| record.position <= last);
        let Some(end) = records.last().map(|record| record.position) else { return Ok(discarded) };
        for JournalRecord { position, envelope, .. } in records {
            if envelope.kind == EnvelopeKind::Discard
                && let Some(letter) = DeadLetterName::parse_discard(&envelope.body)
            {
                discarded.insert(letter.message_id, position);
            }
        }
        after = end;
    }
}

fn dead_letter(record: JournalRecord) -> Option<DeadLetter> {
    Some(DeadLetter {
        rejection: record.rejection?,
        failed_at: record.envelope.received_at,
        attempts: 0,
        envelope: record.envelope,
        original: None,
    })
}
