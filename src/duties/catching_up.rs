//! Keeps both files of the embedded backend together: what one lacks is replayed from the journal.
//!
//! A file may have been restored, lost or swapped alone. Then everything looks right, and counts
//! are wrong. So the Store notes which queue feeds it and up to where that was applied, and the queue
//! notes the number of that note ([`Pairing`]). At the start both are compared.
//!
//! It may die anywhere. What the Store notes was read from the queue before, so it is never ahead of
//! the truth; and it notes nothing while replayed bodies are in the queue.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Duty, DutyError, Next};
use crate::broker::JournalPosition;
use crate::broker::embedded::EmbeddedBroker;
use crate::domain::{Pairing, QueueNote, QueueState};
use crate::store::embedded::{EmbeddedStore, Gap};
use crate::store::{Fence, ReadStore};
use crate::upkeep::rebuild;

/// How often is noted how far everything is applied.
const NOTE_INTERVAL: Duration = Duration::from_secs(1);

/// Shown by readiness while a Store is not complete.
const CATCHING_UP: &str = "store.db and broker.db do not belong together; what store.db may lack is being applied again \
     from the journal";

/// Keeps the Store complete as far as the journal goes.
#[derive(Debug)]
pub(super) struct CatchingUp {
    broker: Arc<EmbeddedBroker>,
    store: Arc<EmbeddedStore>,
    /// Whether it was reported that the files do not belong together.
    is_reported: bool,
}

impl CatchingUp {
    pub(super) fn new(broker: Arc<EmbeddedBroker>, store: Arc<EmbeddedStore>) -> Self {
        Self { broker, store, is_reported: false }
    }

    /// Puts what the Store may lack into the queue; `false` if that is about to begin.
    async fn pair(
        &mut self,
        note: Option<&QueueNote>,
        queue: &QueueState,
    ) -> Result<bool, DutyError> {
        let (pairing, after) = Pairing::of(note, queue);
        if !pairing.is_covered(after, queue) {
            match self.store.gap().await? {
                // The person has replayed what there is.
                Some(Gap::Accepted) => return Ok(true),
                Some(Gap::Found) => {}
                None => self.store.record_gap().await?,
            }
            return Err(DutyError::Gap);
        }
        let is_new = pairing == Pairing::NewStore && queue.places.applied == 0;
        let is_expected = pairing == Pairing::Same || is_new;
        if !is_expected && !self.is_reported {
            self.report(pairing, note, queue).await?;
            self.is_reported = true;
            return Ok(false);
        }
        let replayed = match self.broker.settled_after(JournalPosition(after)).await? {
            Some((first, last)) => {
                rebuild::replay_range(&*self.broker, &*self.store, first, last, |_| {}).await?
            }
            None => 0,
        };
        match pairing {
            _ if replayed == 0 => {}
            Pairing::Same => tracing::info!(
                replayed,
                "webhooks of the last moments before the end are in the work queue again, to be sure"
            ),
            Pairing::NewStore | Pairing::OlderStore | Pairing::OlderQueue | Pairing::Strangers => {
                tracing::warn!(
                    replayed,
                    "webhooks that store.db may lack are in the work queue again"
                );
            }
        }
        Ok(true)
    }

    /// Says what was found, and makes the files fit.
    async fn report(
        &self,
        pairing: Pairing,
        note: Option<&QueueNote>,
        queue: &QueueState,
    ) -> Result<(), DutyError> {
        self.store.count_replaced();
        let fed_from = || note.map_or_else(|| queue.id.clone(), |note| note.queue.clone());
        match pairing {
            Pairing::Same => {}
            Pairing::NewStore => {
                tracing::warn!(
                    "store.db was missing; what broker.db was used for before is applied again from \
                     its journal"
                );
            }
            Pairing::OlderStore => {
                tracing::warn!(
                    "store.db is an older copy than broker.db was used with; what it lacks is \
                     applied again from the journal"
                );
                self.store.begin_epoch().await?;
            }
            Pairing::OlderQueue => {
                let last_received = self.broker.last_received().await?;
                tracing::error!(
                    last_received = last_received.map(tracing::field::display),
                    "broker.db is an older copy than store.db was used with; webhooks that came \
                     after its last one and were not applied yet are only in the newer broker.db: \
                     compare the orders of that time with the shop"
                );
                if queue.before.is_none() {
                    self.broker.take_over(fed_from(), queue.places.last, true).await?;
                }
            }
            Pairing::Strangers => {
                tracing::error!(
                    "broker.db is new, or store.db was used with another one; the journal of this \
                     one is applied, and webhooks that waited in the other one are only there"
                );
                self.store.begin_epoch().await?;
                self.broker.take_over(fed_from(), 0, false).await?;
            }
        }
        Ok(())
    }

    /// Notes how far everything is applied, if that has moved; the Store first.
    async fn note(&self, note: Option<QueueNote>, queue: QueueState) -> Result<(), DutyError> {
        let note = note.filter(|note| note.queue == queue.id);
        let number = note.as_ref().map_or(0, |note| note.number);
        if note.is_none_or(|note| note.places != queue.places) {
            let number = number.max(queue.number) + 1;
            let note = QueueNote { queue: queue.id, number, places: queue.places };
            self.store.note_queue(note).await?;
            self.broker.confirm_note(number).await?;
        } else if number > queue.number {
            self.broker.confirm_note(number).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Duty for CatchingUp {
    async fn turn(&mut self, _: Fence) -> Result<Next, DutyError> {
        let note = self.store.queue_note().await?;
        let (queue, has_replayed) = self.broker.state().await?;
        if !self.broker.is_paired() {
            if !self.pair(note.as_ref(), &queue).await? {
                return Ok(Next::Postponed(Duration::ZERO, CATCHING_UP));
            }
            self.broker.mark_paired();
        } else if !has_replayed {
            self.note(note, queue).await?;
        }
        Ok(Next::After(NOTE_INTERVAL))
    }
}

/// Notes that a new Store lacks nothing of a queue of which nothing was ever settled. Before anything
/// is consumed: later nobody could tell the new Store from one that was lost.
pub async fn pair_new(broker: &EmbeddedBroker, store: &EmbeddedStore) -> Result<(), DutyError> {
    let is_new = store.queue_note().await?.is_none() && store.sites().await?.is_empty();
    if is_new && broker.is_untouched().await? {
        let (QueueState { id, number, places, .. }, _) = broker.state().await?;
        store.note_queue(QueueNote { queue: id, number, places }).await?;
    }
    Ok(())
}
