//! The circuit breaker that is open while the Store is away.
//!
//! Whoever finds the Store away opens it, one task [probes](CircuitBreaker::probe) with growing
//! delays, and all wait until it is closed. Nothing is settled meanwhile: an outage is no attempt.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::clock::Delays;
use crate::domain::{Names, Site, causes};
use crate::health::Health;
use crate::metrics::Metrics;
use crate::store::orders::OrderReadings;
use crate::store::{EntityId, Store, StoreError};

/// The shortest delay before a probe.
const FIRST: Duration = Duration::from_millis(100);
/// The longest delay before a probe.
const LONGEST: Duration = Duration::from_secs(10);

/// For so long a check is not repeated for data that cannot be used.
const CHECKED_FOR: Duration = Duration::from_secs(1);

/// Whether the Store is there, and who finds out.
#[derive(Debug)]
pub(super) struct CircuitBreaker {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    state: watch::Sender<BreakerState>,
    delays: Mutex<Delays>,
    /// When the Store was last found well after it had refused something.
    well_at: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct BreakerState {
    /// Why it is open; `None` while it is closed.
    open: Option<Why>,
    /// Since when the Store has done nothing; what is unsettled is at least as old.
    since: Option<Instant>,
}

/// Why the circuit breaker is open.
#[derive(Debug, Clone)]
enum Why {
    /// The Store does not answer, or not for what is of these sites.
    Away(BTreeSet<Site>),
    /// A newer release wrote this.
    Newer(EntityId, Option<Names>),
}

impl CircuitBreaker {
    pub(super) fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>, health: Arc<Health>) -> Self {
        let delays = Mutex::new(Delays::new(FIRST, LONGEST));
        Self {
            store,
            metrics,
            health,
            state: watch::Sender::default(),
            delays,
            well_at: Mutex::default(),
        }
    }

    /// Waits while it is open.
    pub(super) async fn closed(&self) {
        // The sender is a field of the same struct: it cannot be gone.
        self.state.subscribe().wait_for(|state| state.open.is_none()).await.ok();
    }

    /// Waits until the Store answers again; returns `false` at once if the error is about the call
    /// alone. Of one that may be either, what a commit for these sites needs is tried: if that fails
    /// too, nothing is wrong with the message.
    pub(super) async fn waited_out(&self, error: &StoreError, sites: BTreeSet<Site>) -> bool {
        if error.is_transient() {
            self.open(Why::Away(sites), "the store is away", error);
        } else if matches!(error, StoreError::Rejected { .. } | StoreError::Corrupt { .. }) {
            let is_of_data = matches!(error, StoreError::Corrupt { .. });
            if is_of_data && self.was_checked() {
                return false;
            }
            let Err(reason) = self.check(&sites).await else {
                *self.well_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                return false;
            };
            tracing::warn!(error = causes(error), "the store refused a call");
            self.open(Why::Away(sites), "the store commits nothing", &reason);
        } else {
            return false;
        }
        self.closed().await;
        true
    }

    /// Opens it until an entity that a newer release wrote can be read. Nothing is consumed
    /// meanwhile: what follows may be of the newer release's kind too.
    pub(super) fn open_for_release(
        &self,
        (entity, names): (EntityId, Option<Names>),
        error: &StoreError,
    ) {
        self.open(Why::Newer(entity, names), "the store is of a newer release", error);
    }

    fn open(&self, why: Why, text: &str, error: &StoreError) {
        let opens = self.state.send_if_modified(|state| {
            let opens = state.open.is_none();
            if opens {
                state.open = Some(why);
                state.since.get_or_insert_with(Instant::now);
            }
            opens
        });
        if opens {
            let reason = causes(error);
            tracing::error!(reason, "{text}: consumption is paused");
            self.health.pause_worker(reason);
        }
    }

    /// Probes, while it is open, whether it may close; never ends.
    pub(super) async fn probe(&self) {
        let mut states = self.state.subscribe();
        loop {
            let why = match states.wait_for(|state| state.open.is_some()).await {
                Ok(state) => state.open.clone(),
                Err(_) => None,
            };
            let Some(why) = why else { return };
            let asked_at = Instant::now();
            sleep(self.delay()).await;
            let may_close = self.may_close(&why).await;
            self.health.count_turn();
            if matches!(why, Why::Away(_)) {
                self.metrics.store_away_seconds.inc_by(asked_at.elapsed().as_secs_f64());
            }
            if may_close {
                self.health.resume_worker();
                self.state.send_modify(|state| state.open = None);
                tracing::info!("consumption goes on");
            }
        }
    }

    fn delay(&self) -> Duration {
        self.delays.lock().unwrap_or_else(PoisonError::into_inner).next()
    }

    async fn may_close(&self, why: &Why) -> bool {
        let error = match why {
            Why::Newer(entity, names) => {
                // What was written by a newer release may be any record of the order.
                let names = names.iter().map(|names| (&entity.site, names)).collect::<Vec<_>>();
                let others = if names.is_empty() { vec![entity.clone()] } else { Vec::new() };
                let read = OrderReadings::default().fill(&*self.store, &names, others).await;
                return !matches!(read, Err(StoreError::Newer { .. }));
            }
            Why::Away(sites) => self.check(sites).await.err(),
        };
        if let Some(error) = &error {
            tracing::warn!(reason = causes(error), "the store is still away");
        }
        error.is_none()
    }

    /// Whether the Store was found well just now: a record that cannot be used is met again and again.
    fn was_checked(&self) -> bool {
        let well_at = *self.well_at.lock().unwrap_or_else(PoisonError::into_inner);
        well_at.is_some_and(|at| at.elapsed() < CHECKED_FOR)
    }

    async fn check(&self, sites: &BTreeSet<Site>) -> Result<(), StoreError> {
        self.store.check().await?;
        for site in sites {
            match self.store.check_site(site).await {
                // Data of one site that cannot be used is in the way of no other site.
                Ok(()) | Err(StoreError::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until it is open and the Store has done nothing for so long. A breaker that closes and
    /// opens again at once has stayed open.
    pub(super) async fn open_for(&self, unacked_max_age: Duration) {
        let mut states = self.state.subscribe();
        loop {
            let since = {
                let state = states.borrow_and_update();
                state.open.as_ref().and(state.since)
            };
            let passed = async {
                match since {
                    Some(since) => sleep_until(since + unacked_max_age).await,
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

    /// Records that nothing is unsettled any more.
    pub(super) fn nothing_unacked(&self) {
        self.state.send_modify(|state| state.since = None);
    }

    /// Records that the Store did its work, so that the next outage starts with short delays.
    pub(super) fn succeeded(&self) {
        self.delays.lock().unwrap_or_else(PoisonError::into_inner).reset();
        self.state.send_if_modified(|state| state.since.take().is_some());
    }
}
