//! Whether anything may be removed for its age now: by a clock that fits what was recorded, and from
//! files that belong together.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Duty, DutyError, Next};
use crate::broker::embedded::EmbeddedBroker;
use crate::clock;
use crate::domain::LeaderClock;
use crate::store::{Fence, Store};

/// How often the leader's time is recorded.
const RECORD_INTERVAL: Duration = Duration::from_mins(1);
/// How often is looked whether something may be removed, while nothing may.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(1);

const CLOCK_DOUBTED: &str = "this machine's clock is before the time that the leader recorded last, or more than 7 days \
     after it: check the clock; if it is right, run `storekeeper journal trust-clock`, or wait 24 \
     hours";
const NOT_PAIRED: &str = "store.db may lack something that is in the journal";

/// What the removing duties ask first.
#[derive(Debug, Clone)]
pub(super) struct Retention {
    store: Arc<dyn Store>,
    /// The queue in a file that the Store must have kept up with.
    queue: Option<Arc<EmbeddedBroker>>,
}

impl Retention {
    pub(super) fn new(store: Arc<dyn Store>, queue: Option<Arc<EmbeddedBroker>>) -> Self {
        Self { store, queue }
    }

    /// Why nothing may be removed now.
    pub(super) async fn waits(&self) -> Result<Option<&'static str>, DutyError> {
        if self.queue.as_ref().is_some_and(|queue| !queue.is_paired()) {
            return Ok(Some(NOT_PAIRED));
        }
        let clock = LeaderClock::at(clock::now(), self.store.leader_clock().await?);
        Ok(clock.doubted.map(|_| CLOCK_DOUBTED))
    }
}

/// Records the leader's time.
#[derive(Debug)]
pub(super) struct RecordTime {
    store: Arc<dyn Store>,
}

impl RecordTime {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Duty for RecordTime {
    async fn turn(&mut self, fence: Fence) -> Result<Next, DutyError> {
        let before = self.store.leader_clock().await?;
        let now = clock::now();
        let clock = LeaderClock::at(now, before);
        if Some(clock) != before && !self.store.record_leader_clock(clock, Some(fence)).await? {
            return Err(DutyError::Superseded);
        }
        let was_doubted = before.is_some_and(|before| before.doubted.is_some());
        match clock.doubted {
            None if was_doubted => tracing::warn!(%now, "the clock is trusted again"),
            None => {}
            Some(_) => {
                if clock.doubted != before.and_then(|before| before.doubted) {
                    let recorded = clock.trusted;
                    tracing::error!(%now, %recorded, "nothing is removed for its age: {CLOCK_DOUBTED}");
                }
                return Ok(Next::Postponed(LOOK_AGAIN, CLOCK_DOUBTED));
            }
        }
        Ok(Next::After(RECORD_INTERVAL))
    }
}
