//! What has outlived its retention goes, from time to time: raw bodies hold personal data.
//!
//! One worker at a time does it, beside its consuming; each step is bounded and may be broken off.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::lease::Lease;
use crate::broker::Broker;
use crate::broker::embedded::EmbeddedBroker;
use crate::clock;
use crate::config::Settings;
use crate::domain::Timestamp;
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};
use crate::worker::closing::close_settled;

/// How often it is looked.
pub(super) const SWEEP_EVERY: Duration = Duration::from_hours(1);

/// How soon it is looked again whether orders may be closed.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// What is swept, and how long it is kept.
pub(super) struct Sweeper {
    /// `None` where the journal shortens itself.
    journal: Option<Arc<EmbeddedBroker>>,
    /// The queue, ahead of whose backlog no order is closed.
    queue: Arc<dyn Broker>,
    store: Arc<dyn Store>,
    lease: Lease,
    metrics: Arc<Metrics>,
    /// `journal.retention`
    journal_kept: Duration,
    /// `changes.retention`
    changes_kept: Duration,
    /// `dead_letters.retention`
    letters_kept: Duration,
    /// `orders.retention`; `None` for ever.
    orders_kept: Option<Duration>,
}

impl Sweeper {
    /// A sweeper that keeps all for as long as the settings say.
    pub(super) fn new(
        settings: &Settings,
        journal: Option<Arc<EmbeddedBroker>>,
        queue: Arc<dyn Broker>,
        (store, lease): (Arc<dyn Store>, Lease),
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            journal,
            queue,
            store,
            lease,
            metrics,
            journal_kept: settings.journal.retention,
            changes_kept: settings.changes.retention,
            letters_kept: settings.dead_letters.retention,
            orders_kept: settings.orders.retention,
        }
    }

    /// Sweeps at once and every hour, until `stop`. What waits in queues postpones the closing of
    /// orders, and nothing else.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut turns = tokio::time::interval(SWEEP_EVERY);
        let mut postponed = tokio::time::interval(LOOK_AGAIN);
        let mut is_postponed = false;
        loop {
            let is_turn = tokio::select! {
                () = stop.cancelled() => return,
                _ = turns.tick() => true,
                _ = postponed.tick(), if is_postponed => false,
            };
            match stop.run_until_cancelled(self.lease.hold()).await {
                None => return,
                Some(Ok(None)) => continue,
                Some(Ok(Some(_))) => {}
                Some(Err(error)) => {
                    tracing::warn!(%error, "cannot sweep; trying again later");
                    continue;
                }
            }
            let work = async {
                if is_turn {
                    self.turn().await;
                }
                self.close_orders().await
            };
            match stop.run_until_cancelled(work).await {
                None => return,
                Some(is_done) => is_postponed = !is_done,
            }
            postponed.reset();
        }
    }

    async fn turn(&self) {
        if let Some(journal) = &self.journal {
            report("journal entries", journal.sweep(before(self.journal_kept)).await);
        }
        report("dead letters", self.expire_letters().await);
        report("changes", self.store.trim_changes(before(self.changes_kept)).await);
    }

    /// Closes orders, once it can be told before which time everything is settled; whether it could.
    /// What still waits may be news of an order that seems untouched for long: if the order were
    /// closed ahead of it, it would be taken for known.
    async fn close_orders(&self) -> bool {
        let Some(kept) = self.orders_kept else { return true };
        match self.queue.settled_before().await {
            Ok(Some(settled)) => {
                let before = before(kept).min(settled);
                report("orders", close_settled(&*self.store, before).await);
                true
            }
            Ok(None) => {
                tracing::debug!("there is a backlog; orders are closed after it");
                false
            }
            Err(error) => {
                tracing::warn!(%error, "cannot close orders; trying again later");
                false
            }
        }
    }

    /// Expired is an outcome like any other: it is counted with the reason that the letter had.
    async fn expire_letters(&self) -> Result<u64, StoreError> {
        let mut expired = 0;
        loop {
            let gone = self.store.expire_letters(before(self.letters_kept), clock::now()).await?;
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
