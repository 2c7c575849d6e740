//! The gate that closes while the Store is away.
//!
//! Whoever finds the Store away closes it, one task [asks](Gate::probe) with growing delays, and
//! all wait for it to open. Nothing is settled meanwhile: an outage is no attempt.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::backoff::Delays;
use crate::domain::Names;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::store::orders::OrderReadings;
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
    state: watch::Sender<State>,
    delays: Mutex<Delays>,
}

#[derive(Debug, Default)]
struct State {
    /// `None` while it is open.
    closed: Option<Why>,
    /// Since when the Store has done nothing; what is held is at least as old.
    since: Option<Instant>,
}

/// Why the gate is closed.
#[derive(Debug, Clone)]
enum Why {
    /// The Store does not answer.
    Away,
    /// A newer release wrote this.
    Newer(EntityId, Option<Names>),
}

impl Gate {
    pub(super) fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>, health: Arc<Health>) -> Self {
        let delays = Mutex::new(Delays::new(FIRST, LONGEST));
        Self { store, metrics, health, state: watch::Sender::default(), delays }
    }

    /// Waits while the gate is closed.
    pub(super) async fn opened(&self) {
        // The sender is a field of the same struct: it cannot be gone.
        self.state.subscribe().wait_for(|state| state.closed.is_none()).await.ok();
    }

    /// Waits until the Store answers again.
    pub(super) async fn wait_out(&self, error: &StoreError) {
        self.close(Why::Away, "the store is away", error);
        self.opened().await;
    }

    /// Closes the gate until an entity that a newer release wrote can be read. Nothing is consumed
    /// meanwhile: what follows may be of the newer release's kind too.
    pub(super) fn close_for_release(
        &self,
        (entity, names): (EntityId, Option<Names>),
        error: &StoreError,
    ) {
        self.close(Why::Newer(entity, names), "the store is of a newer release", error);
    }

    fn close(&self, why: Why, text: &str, error: &StoreError) {
        let closes = self.state.send_if_modified(|state| {
            let closes = state.closed.is_none();
            if closes {
                state.closed = Some(why);
                state.since.get_or_insert_with(Instant::now);
            }
            closes
        });
        if closes {
            let reason = describe(error);
            tracing::error!(reason, "{text}: consumption is paused");
            self.health.pause_worker(reason);
        }
    }

    /// Asks, while the gate is closed, whether it may open; never ends.
    pub(super) async fn probe(&self) {
        let mut states = self.state.subscribe();
        loop {
            let why = match states.wait_for(|state| state.closed.is_some()).await {
                Ok(state) => state.closed.clone(),
                Err(_) => None,
            };
            let Some(why) = why else { return };
            let asked_at = Instant::now();
            sleep(self.delay()).await;
            let may_open = self.may_open(&why).await;
            self.health.count_turn();
            if matches!(why, Why::Away) {
                self.metrics.store_away_seconds.inc_by(asked_at.elapsed().as_secs_f64());
            }
            if may_open {
                self.health.resume_worker();
                self.state.send_modify(|state| state.closed = None);
                tracing::info!("consumption goes on");
            }
        }
    }

    fn delay(&self) -> Duration {
        self.delays.lock().unwrap_or_else(PoisonError::into_inner).next()
    }

    async fn may_open(&self, why: &Why) -> bool {
        let error = match why {
            Why::Newer(entity, names) => {
                // What was written by a newer release may be any record of the order.
                let names = names.iter().map(|names| (&entity.site, names)).collect::<Vec<_>>();
                let others = if names.is_empty() { vec![entity.clone()] } else { Vec::new() };
                let read = OrderReadings::default().fill(&*self.store, &names, others).await;
                return !matches!(read, Err(StoreError::Newer { .. }));
            }
            Why::Away => self.store.check().await.err(),
        };
        if let Some(error) = &error {
            tracing::warn!(reason = describe(error), "the store is still away");
        }
        error.is_none()
    }

    /// Waits until it is closed and nothing was done for so long. One that opens only to be closed
    /// again has stayed closed.
    pub(super) async fn closed_for(&self, hold_max: Duration) {
        let mut states = self.state.subscribe();
        loop {
            let since = {
                let state = states.borrow_and_update();
                state.closed.as_ref().and(state.since)
            };
            let passed = async {
                match since {
                    Some(since) => sleep_until(since + hold_max).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = passed => return,
                // The sender is a field of the same struct: it cannot be gone.
                _ = states.changed() => {}
            }
        }
    }

    /// Notes that nothing is held any more.
    pub(super) fn hold_nothing(&self) {
        self.state.send_modify(|state| state.since = None);
    }

    /// Notes that the Store did its work, so that the next outage starts with short delays.
    pub(super) fn succeeded(&self) {
        self.delays.lock().unwrap_or_else(PoisonError::into_inner).reset();
        self.state.send_if_modified(|state| state.since.take().is_some());
    }
}

/// An error and what it is due to, in one line.
fn describe(error: &StoreError) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
