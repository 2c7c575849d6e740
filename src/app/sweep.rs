//! What has outlived its retention goes, from time to time: raw bodies hold personal data.
//!
//! One worker at a time does it, beside its consuming; each step is bounded and may be broken off.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::broker::embedded::EmbeddedBroker;
use crate::clock;
use crate::domain::Timestamp;
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};
use crate::worker::closing::close_settled;

/// How often it is looked.
const SWEEP_EVERY: Duration = Duration::from_hours(1);

/// What is swept, and how long it is kept.
pub(super) struct Sweeper {
    /// `None` where the journal shortens itself.
    pub(super) broker: Option<Arc<EmbeddedBroker>>,
    pub(super) store: Arc<dyn Store>,
    /// `journal.retention`
    pub(super) journal: Duration,
    /// `changes.retention`
    pub(super) changes: Duration,
    /// `dead_letters.retention`
    pub(super) letters: Duration,
    pub(super) metrics: Arc<Metrics>,
    /// `orders.retention`; `None` for ever.
    pub(super) orders: Option<Duration>,
}

impl Sweeper {
    /// Sweeps at once and every hour, until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut turns = tokio::time::interval(SWEEP_EVERY);
        while stop.run_until_cancelled(turns.tick()).await.is_some() {
            if stop.run_until_cancelled(self.turn()).await.is_none() {
                return;
            }
        }
    }

    async fn turn(&self) {
        if let Some(broker) = &self.broker {
            report("journal entries", broker.sweep(before(self.journal)).await);
        }
        report("dead letters", self.expire_letters().await);
        report("changes", self.store.trim_changes(before(self.changes)).await);
        if let Some(orders) = self.orders {
            report("orders", close_settled(&*self.store, before(orders)).await);
        }
    }
}

impl Sweeper {
    /// Expired is an outcome like any other: it is counted with the reason that the letter had.
    async fn expire_letters(&self) -> Result<u64, StoreError> {
        let mut expired = 0;
        loop {
            let gone = self.store.expire_letters(before(self.letters), clock::now()).await?;
            if gone.is_empty() {
                return Ok(expired);
            }
            for (code, count) in gone {
                self.metrics.count_expired(code, count);
                expired += count;
            }
        }
    }
}

/// Says what went, or why nothing did; the next turn tries again.
fn report<E: std::error::Error>(what: &str, swept: Result<u64, E>) {
    match swept {
        Ok(0) => {}
        Ok(swept) => tracing::info!(swept, "{what} outlived their retention"),
        Err(error) => tracing::warn!(%error, "cannot sweep {what}; trying again later"),
    }
}

/// The time at which began what is to be kept.
fn before(retention: Duration) -> Timestamp {
    let retention = i64::try_from(retention.as_micros()).unwrap_or(i64::MAX);
    clock::now().plus_micros(-retention)
}
