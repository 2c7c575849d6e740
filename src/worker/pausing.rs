//! Whether a person has paused the work queue: the pool looks once a second.

use std::time::Duration;

use tokio::sync::watch;

use crate::domain::Pause;
use crate::health::Health;
use crate::store::Store;

/// How often the pool looks whether the queue is paused.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// What the pool knows of a pause.
#[derive(Debug, Default)]
pub(super) struct Pausing(watch::Sender<Option<Pause>>);

impl Pausing {
    /// Looks once a second; never ends. While the Store does not say, nothing changes: its absence
    /// is the circuit breaker's business.
    pub(super) async fn watch(&self, store: &dyn Store, health: &Health) {
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            self.look(store, health).await;
        }
    }

    /// Looks now, and logs what has changed.
    pub(super) async fn look(&self, store: &dyn Store, health: &Health) {
        let Ok(found) = store.paused().await else { return };
        if *self.0.borrow() == found {
            return;
        }
        if let Some(pause) = &found {
            tracing::warn!(
                actor = %pause.actor,
                reason = pause.reason.as_ref().map(tracing::field::display),
                "the queue is paused: nothing is taken from it until `storekeeper queues resume`"
            );
        } else {
            tracing::info!("the queue is resumed");
        }
        health.pause_queue(found.as_ref().map(ToString::to_string));
        self.0.send_replace(found);
    }

    /// Whether the queue is paused, as far as the pool knows.
    pub(super) fn is_paused(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Waits until the queue is paused, or is not. Cancel safe.
    pub(super) async fn becomes(&self, is_paused: bool) {
        // The sender is a field of the same struct: it cannot be gone.
        self.0.subscribe().wait_for(|pause| pause.is_some() == is_paused).await.ok();
    }
}
