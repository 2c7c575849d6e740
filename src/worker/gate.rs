//! The gate that closes while the Store is away.
//!
//! The first batch that finds the Store away closes it and probes with growing delays; all others
//! wait for it to open. Nothing is settled meanwhile: an outage is no attempt.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backoff::Delays;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::store::{EntityId, Store, StoreError};

/// The shortest delay before a probe.
const FIRST: Duration = Duration::from_millis(100);
/// The longest delay before a probe.
const LONGEST: Duration = Duration::from_secs(10);

/// Whether the Store is there, and who finds out.
#[derive(Debug)]
pub(super) struct Gate {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    closed: watch::Sender<bool>,
    delays: Mutex<Delays>,
}

impl Gate {
    pub(super) fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>, health: Arc<Health>) -> Self {
        let delays = Mutex::new(Delays::new(FIRST, LONGEST));
        Self { store, metrics, health, closed: watch::Sender::new(false), delays }
    }

    /// Waits while the gate is closed.
    pub(super) async fn opened(&self) {
        // The sender is a field of the same struct: it cannot be gone.
        self.closed.subscribe().wait_for(|closed| !closed).await.ok();
    }

    /// Waits until the Store answers again. Of several callers one probes, the others wait for it.
    pub(super) async fn wait_out(&self, error: &StoreError) {
        let Some(closed) = self.close("the store is away", error) else {
            self.opened().await;
            return;
        };
        loop {
            let delay = self.delays.lock().unwrap_or_else(PoisonError::into_inner).next();
            let since = Instant::now();
            tokio::time::sleep(delay).await;
            let answer = self.store.check().await;
            self.health.count_turn();
            self.metrics.store_away_seconds.inc_by(since.elapsed().as_secs_f64());
            match answer {
                Ok(()) => break,
                Err(error) => tracing::warn!(reason = describe(&error), "the store is still away"),
            }
        }
        drop(closed);
    }

    /// Waits until an entity that a newer release wrote can be read, or until `stop`. Nothing is
    /// consumed meanwhile: what follows may be of the newer release's kind too.
    pub(super) async fn wait_for_release(
        &self,
        entity: &EntityId,
        error: &StoreError,
        stop: &CancellationToken,
    ) {
        let Some(_closed) = self.close("the store is of a newer release", error) else {
            stop.run_until_cancelled(self.opened()).await;
            return;
        };
        let mut delays = Delays::new(FIRST, LONGEST);
        while stop.run_until_cancelled(tokio::time::sleep(delays.next())).await.is_some() {
            self.health.count_turn();
            let loaded = self.store.load(std::slice::from_ref(entity)).await;
            if !matches!(loaded, Err(StoreError::Newer { .. })) {
                return;
            }
        }
    }

    /// Closes the gate until what is answered is dropped; `None` if it was closed already.
    fn close(&self, why: &str, error: &StoreError) -> Option<Closed<'_>> {
        if self.closed.send_replace(true) {
            return None;
        }
        let reason = describe(error);
        tracing::error!(reason, "{why}: consumption is paused");
        self.health.pause_worker(reason);
        Some(Closed(self))
    }

    /// Notes that the Store did its work, so that the next outage starts with short delays.
    pub(super) fn succeeded(&self) {
        self.delays.lock().unwrap_or_else(PoisonError::into_inner).reset();
    }
}

/// Opens the gate when it is dropped, also because its caller was cancelled.
struct Closed<'a>(&'a Gate);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.health.resume_worker();
        self.0.closed.send_replace(false);
        tracing::info!("consumption goes on");
    }
}

/// An error and what it is due to, in one line.
fn describe(error: &StoreError) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
