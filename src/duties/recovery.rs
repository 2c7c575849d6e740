//! Catching up: when Redis turns out to have data of another history, what it may have lost is put
//! through the workers again, from the journal.
//!
//! A replica that was promoted, a backup that was restored and a server that lost its last writes
//! look right and are not. Beside the data stands a time before which everything that was received
//! is in it; it went back with the data, so the journal from that time on has what is missing. A
//! server that only was started again has another history too: then nothing is missing, and what is
//! applied again changes nothing.
//!
//! It may die anywhere: the new history is noted last, so the next leader begins again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Duty, DutyError, Next};
use crate::broker::Broker;
use crate::broker::rabbitmq::RabbitBroker;
use crate::domain::Timestamp;
use crate::rebuild::{self, Selection};
use crate::store::Fence;
use crate::store::redis::{KnownHistory, RedisStore};

/// How often it is looked.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Sees to it that Redis has what the journal has.
#[derive(Debug)]
pub(super) struct Recovery {
    broker: Arc<RabbitBroker>,
    store: Arc<RedisStore>,
    /// `journal.overlap`
    overlap: Duration,
    /// Whether this leader has looked before. At first, what is missing in RabbitMQ is declared.
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

    /// Notes that all is well, if there is news of that.
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
            self.note(&known, fence).await?;
        }
        Ok(())
    }

    /// Puts back what may be missing. Feeds begin a new epoch before: numbers of changes that were
    /// lost are given out again.
    async fn recover(
        &self,
        present: BTreeSet<String>,
        known: Option<KnownHistory>,
        fence: Fence,
    ) -> Result<(), DutyError> {
        let settled_before =
            known.as_ref().map_or(Timestamp::from_micros(0), |known| known.settled_before);
        let now_known = KnownHistory { names: present, settled_before };
        let since = match known {
            // Nothing at all is there: what the journal has is missing.
            None => None,
            // All is there, as a rebuild has noted.
            Some(known) if known.names.is_empty() => {
                return self.note(&now_known, fence).await;
            }
            Some(_) => {
                self.store.begin_epoch().await?;
                let overlap = i64::try_from(self.overlap.as_micros()).unwrap_or(i64::MAX);
                Some(settled_before.plus_micros(-overlap))
            }
        };
        let selection = Selection { since, partial: false };
        let put_back = rebuild::replay(&*self.broker, &*self.store, selection, |_| {}).await?;
        if put_back > 0 {
            tracing::warn!(
                put_back,
                since = since.map(tracing::field::display),
                "redis has data of another history; webhooks that it may have lost are in the \
                 work queue again"
            );
        }
        self.note(&now_known, fence).await
    }

    async fn note(&self, known: &KnownHistory, fence: Fence) -> Result<(), DutyError> {
        let is_noted = self.store.record_history(known, fence).await?;
        is_noted.then_some(()).ok_or(DutyError::Superseded)
    }
}

#[async_trait]
impl Duty for Recovery {
    async fn turn(&mut self, fence: Fence) -> Result<Next, DutyError> {
        if !std::mem::replace(&mut self.has_begun, true) {
            return Ok(Next::Postponed(LOOK_AGAIN, "this process has just begun to lead"));
        }
        let present = self.store.histories().await?;
        if !present.is_empty() {
            // Asked before: what is committed later is not what this is about.
            let settled_before = self.broker.settled_before().await?;
            match self.store.known_history().await? {
                Some(known) if present.is_subset(&known.names) => {
                    self.renew(known, settled_before, fence).await?;
                }
                known => self.recover(present, known, fence).await?,
            }
        }
        Ok(Next::After(LOOK_AGAIN))
    }
}
