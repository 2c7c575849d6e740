//! Recovery: when Redis turns out to hold data of another history, the events that it may have lost
//! are replayed from the journal.
//!
//! A promoted replica, a restored backup and a server that lost its last writes look right and are
//! not. Stored with the data is a time: everything received before it is applied. It went back with
//! the data, so the journal from that time on contains what is missing. A restarted server has
//! another history too; then nothing is missing, and replaying changes nothing.
//!
//! It may die anywhere: the new history is recorded last, so the next leader starts again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Duty, DutyError, Next};
use crate::broker::rabbitmq::RabbitBroker;
use crate::broker::{Broker, JournalPosition};
use crate::domain::Timestamp;
use crate::store::redis::{KnownHistory, RedisStore};
use crate::store::{Fence, ReadStore};
use crate::upkeep::rebuild::{self, Selection};

/// The poll interval.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Keeps Redis complete as far as the journal goes.
#[derive(Debug)]
pub(super) struct Recovery {
    broker: Arc<RabbitBroker>,
    store: Arc<RedisStore>,
    /// `journal.overlap`
    overlap: Duration,
    /// Whether this leader had a turn before. In the first seconds, missing queues are still being
    /// declared in RabbitMQ.
    has_begun: bool,
}

impl Recovery {
    pub(super) fn new(
        broker: Arc<RabbitBroker>,
        store: Arc<RedisStore>,
        overlap: Duration,
    ) -> Self {
        Self { broker, store, overlap, has_begun: false }
    }

    /// Records up to when everything is applied, if that has moved.
    async fn renew(
        &self,
        mut known: KnownHistory,
        settled_before: Option<Timestamp>,
        fence: Fence,
    ) -> Result<(), DutyError> {
        if let Some(settled_before) = settled_before
            && settled_before > known.settled_before
        {
            known.settled_before = settled_before;
            self.record(&known, fence).await?;
        }
        Ok(())
    }

    /// Replays what may be missing. Feeds begin a new epoch first, as numbers of lost changes are
    /// assigned again.
    async fn recover(
        &self,
        present: BTreeSet<String>,
        lost_at: u64,
        known: Option<KnownHistory>,
        fence: Fence,
    ) -> Result<(), DutyError> {
        let settled_before =
            known.as_ref().map_or(Timestamp::from_micros(0), |known| known.settled_before);
        let now_known = KnownHistory { names: present, settled_before, lost_at };
        let since = match known {
            None if lost_at == 0 && self.is_new().await? => {
                return self.record(&now_known, fence).await;
            }
            // The Store is empty: all of the journal is missing.
            None => None,
            // A rebuild has recorded that everything is there.
            Some(known) if known.names.is_empty() && known.lost_at == lost_at => {
                return self.record(&now_known, fence).await;
            }
            Some(_) => {
                self.store.begin_epoch().await?;
                let overlap = i64::try_from(self.overlap.as_micros()).unwrap_or(i64::MAX);
                Some(settled_before.plus_micros(-overlap))
            }
        };
        let selection = Selection { since, partial: false };
        let replay = rebuild::replay(&*self.broker, &*self.store, selection, |_| {}).await?;
        if replay > 0 && since.is_none() {
            tracing::warn!(
                replay,
                "the store is new or was emptied; the webhooks of the journal are in the work queue \
                 again"
            );
        } else if replay > 0 {
            tracing::warn!(
                replay,
                since = since.map(tracing::field::display),
                "redis has data of another history; webhooks that it may have lost are in the \
                 work queue again"
            );
        }
        self.record(&now_known, fence).await
    }

    /// Whether the Store has its policy, the first that is written, for longer than there is a journal:
    /// then nothing of it was ever lost. An emptied Store gets its policy anew.
    async fn is_new(&self) -> Result<bool, DutyError> {
        let extent = self.broker.journal_extent(None).await?;
        let first = extent.first.filter(|_| extent.is_complete);
        let (Some(first), Some(policy)) = (first, self.store.policy_origin().await?) else {
            return Ok(false);
        };
        let before = JournalPosition(first.0.saturating_sub(1));
        let first = self.broker.journal(Some(before), 1).await?;
        Ok(first.first().is_some_and(|first| first.envelope.received_at >= policy.at))
    }

    async fn record(&self, known: &KnownHistory, fence: Fence) -> Result<(), DutyError> {
        let is_recorded = self.store.record_history(known, fence).await?;
        is_recorded.then_some(()).ok_or(DutyError::Superseded)
    }
}

#[async_trait]
impl Duty for Recovery {
    async fn turn(&mut self, fence: Fence) -> Result<Next, DutyError> {
        if !std::mem::replace(&mut self.has_begun, true) {
            return Ok(Next::Postponed(POLL_INTERVAL, "this process has just begun to lead"));
        }
        // Without `INFO` there are no names; then only the leader's count says that data is gone.
        let (present, lost_at) = (self.store.histories().await?, self.store.data_lost_at());
        // Read first: what is committed later is not covered.
        let settled_before = self.broker.settled_before().await?;
        match self.store.known_history().await? {
            Some(known) if present.is_subset(&known.names) && known.lost_at == lost_at => {
                self.renew(known, settled_before, fence).await?;
            }
            known => self.recover(present, lost_at, known, fence).await?,
        }
        Ok(Next::After(POLL_INTERVAL))
    }
}
