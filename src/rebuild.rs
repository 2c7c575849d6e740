//! The rebuild: the journal is put into the work queue again, for workers to apply.
//!
//! `storekeeper journal replay` replaces a Store that was lost, or brings a restored one up to
//! date. Nothing is applied here, and nothing is journalled again. What comes to the journal
//! meanwhile is in the queue anyway: reading stops at the position that was last at the start.
//!
//! Dies anywhere: some of the journal is in the queue, and it is run again from its beginning.
//! What was applied before changes nothing.
//!
//! # Invariants
//! - An empty Store is not filled with a part of the journal, unless that was asked for: its
//!   counts would look right and be wrong.

use crate::broker::{Broker, BrokerError, JournalPosition, JournalRecord};
use crate::domain::Timestamp;
use crate::store::{DeadLetter, Store, StoreError};

/// Envelopes that are read, and put back, at a time.
const PAGE: usize = 64;

/// What is put back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Selection {
    /// What was received from then on; `None` for all.
    pub since: Option<Timestamp>,
    /// Whether a part is fine for an empty Store too.
    pub partial: bool,
}

/// Why the journal was not put back.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The queue did not do what was asked.
    #[error("cannot read the journal or put it back")]
    Broker(#[from] BrokerError),
    /// The Store did not do what was asked.
    #[error("cannot read the store")]
    Store(#[from] StoreError),
    /// The Store is empty, and the journal is not whole, or not all of it was asked for.
    #[error(
        "the store is empty, and {0}: counts would be wrong; restore a backup of the store first, \
         or give --partial"
    )]
    InPart(&'static str),
}

/// How far it has come, in places of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Places that are done.
    pub done: u64,
    /// All places.
    pub all: u64,
}

/// Puts what was selected into the work queue; answers with how many envelopes those were.
pub async fn replay(
    broker: &dyn Broker,
    store: &dyn Store,
    selection: Selection,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<u64, RebuildError> {
    let extent = broker.journal_extent(selection.since).await?;
    if !selection.partial && store.sites().await?.is_empty() {
        if !extent.is_whole {
            return Err(RebuildError::InPart("the journal no longer has its beginning"));
        }
        if extent.begins_later {
            return Err(RebuildError::InPart("only a part of the journal was asked for"));
        }
    }
    let (Some(first), Some(last)) = (extent.first, extent.last) else { return Ok(0) };
    let all = last.0.saturating_sub(first.0) + 1;
    let mut after = JournalPosition(first.0.saturating_sub(1));
    let mut count = 0;
    loop {
        let mut records = broker.journal(Some(after), PAGE).await?;
        records.retain(|record| record.position <= last);
        let Some(end) = records.last().map(|record| record.position) else { break };
        count += u64::try_from(records.len()).unwrap_or(u64::MAX);
        // What was put aside on receipt was never work: it is a dead letter again.
        let (work, letters): (Vec<_>, Vec<_>) =
            records.into_iter().partition(|record| record.rejection.is_none());
        store.park(letters.into_iter().filter_map(dead_letter).collect()).await?;
        broker.put_back(work.into_iter().map(|record| record.envelope).collect()).await?;
        after = end;
        progress(Progress { done: end.0.saturating_sub(first.0) + 1, all });
    }
    Ok(count)
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
