//! Removes what has outlived its retention: raw bodies hold personal data.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::retention::{LOOK_AGAIN, Retention};
use super::{Duty, DutyError, HOURLY, Next};
use crate::broker::embedded::{EmbeddedBroker, SweepPlace};
use crate::clock;
use crate::domain::Timestamp;
use crate::metrics::Metrics;
use crate::store::{Fence, Store};

/// Removes what is older than its retention.
#[derive(Debug)]
pub(super) struct Sweep {
    what: What,
    kept: Duration,
    retention: Retention,
    removed: u64,
}

#[derive(Debug)]
enum What {
    /// The place is how far it has come.
    Journal(Arc<EmbeddedBroker>, Option<SweepPlace>),
    DeadLetters(Arc<dyn Store>, Arc<Metrics>),
    Changes(Arc<dyn Store>),
}

impl Sweep {
    /// Sweeps the journal, where it is not trimmed by itself.
    pub(super) fn journal(
        journal: Arc<EmbeddedBroker>,
        kept: Duration,
        retention: Retention,
    ) -> Self {
        Self { what: What::Journal(journal, None), kept, retention, removed: 0 }
    }

    /// Sweeps dead letters.
    pub(super) fn dead_letters(
        store: Arc<dyn Store>,
        kept: Duration,
        retention: Retention,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { what: What::DeadLetters(store, metrics), kept, retention, removed: 0 }
    }

    /// Sweeps the change feed.
    pub(super) fn changes(store: Arc<dyn Store>, kept: Duration, retention: Retention) -> Self {
        Self { what: What::Changes(store), kept, retention, removed: 0 }
    }

    /// Removes some; returns how many, and whether there may be more.
    async fn remove(&mut self) -> Result<(u64, bool), DutyError> {
        let before = time_before(self.kept);
        let removed = match &mut self.what {
            What::Journal(journal, place) => {
                let (removed, next) = journal.sweep_some(*place, before).await?;
                *place = next;
                return Ok((removed, next.is_some()));
            }
            What::Changes(store) => store.trim_changes(before).await?,
            What::DeadLetters(store, metrics) => {
                let expired = store.expire_dead_letters(before, clock::now()).await?;
                // Expiry is an outcome like any other: it is counted under the dead letter's
                // reason.
                for (code, count) in &expired {
                    metrics.count_expired(*code, *count);
                }
                expired.iter().map(|(_, count)| count).sum()
            }
        };
        Ok((removed, removed > 0))
    }

    const fn items(&self) -> &'static str {
        match self.what {
            What::Journal(..) => "journal entries",
            What::DeadLetters(..) => "dead letters",
            What::Changes(_) => "changes",
        }
    }
}

#[async_trait]
impl Duty for Sweep {
    async fn turn(&mut self, _: Fence) -> Result<Next, DutyError> {
        // Each time anew: what one turn removes is little, and the clock may have been set meanwhile.
        if let Some(why) = self.retention.waits().await? {
            return Ok(Next::Postponed(LOOK_AGAIN, why));
        }
        let (removed, has_more) = self.remove().await?;
        self.removed += removed;
        if has_more {
            return Ok(Next::After(Duration::ZERO));
        }
        if self.removed > 0 {
            tracing::info!(removed = self.removed, "{} outlived their retention", self.items());
            self.removed = 0;
        }
        Ok(Next::After(HOURLY))
    }
}

/// The earliest time that is still within a retention.
pub(super) fn time_before(retention: Duration) -> Timestamp {
    let retention = i64::try_from(retention.as_micros()).unwrap_or(i64::MAX);
    clock::now().plus_micros(-retention)
}
