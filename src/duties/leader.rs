//! The process that leads, or waits to: acquires the lease, renews it, and runs the duties meanwhile.
//!
//! Dies anywhere: the lease runs out, and another process begins every duty anew.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Duty;
use super::audits::Audits;
use super::closing::Closing;
use super::lease::{LASTS, LeaderLease};
use super::recovery::Recovery;
use super::relay::Relay;
use super::replays::Replays;
use super::supervise::supervise;
use super::sweep::Sweep;
use crate::broker::Broker;
use crate::broker::embedded::EmbeddedBroker;
use crate::broker::rabbitmq::RabbitBroker;
use crate::config::Settings;
use crate::domain::Timestamp;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::store::redis::RedisStore;
use crate::store::{Fence, Store, StoreError};

/// How often the lease is renewed, and how long one attempt may take.
const RENEW_EVERY: Duration = Duration::from_secs(2);
/// A lease that was not renewed for so long is taken for lost: somewhat before it is.
const DOUBTED_AFTER: Duration = Duration::from_secs(7);
/// How often a process that does not lead tries to.
const TRY_EVERY: Duration = Duration::from_secs(1);
/// How long giving the lease back may take.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);
const _: () = assert!(DOUBTED_AFTER.as_secs() + RENEW_EVERY.as_secs() < LASTS.as_secs());

/// What the leader does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    SweepJournal,
    SweepDeadLetters,
    SweepChanges,
    Closing,
    Audit,
    Relay,
    Recovery,
    Replays,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::SweepJournal,
        Self::SweepDeadLetters,
        Self::SweepChanges,
        Self::Closing,
        Self::Audit,
        Self::Relay,
        Self::Recovery,
        Self::Replays,
    ];

    /// Its public name, in metrics, logs and readiness.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::SweepJournal => "sweep_journal",
            Self::SweepDeadLetters => "sweep_dead_letters",
            Self::SweepChanges => "sweep_changes",
            Self::Closing => "close_orders",
            Self::Audit => "audit",
            Self::Relay => "relay",
            Self::Recovery => "recover",
            Self::Replays => "replay",
        }
    }
}

/// What the duties work with.
#[derive(Debug)]
pub struct Means {
    /// How long what is kept.
    pub settings: Settings,
    /// The queue.
    pub broker: Arc<dyn Broker>,
    /// The Store; not the connection by which workers commit.
    pub store: Arc<dyn Store>,
    /// The broker whose journal does not shorten itself.
    pub journal: Option<Arc<EmbeddedBroker>>,
    /// Both servers, where processes share some.
    pub servers: Option<(Arc<RabbitBroker>, Arc<RedisStore>)>,
    /// Where success is recorded.
    pub metrics: Arc<Metrics>,
    /// Where readiness finds how duties get on.
    pub health: Arc<Health>,
}

impl Means {
    /// A duty that knows nothing yet; `None` where this installation has no such duty.
    pub(super) fn duty(&self, kind: Kind) -> Option<Box<dyn Duty>> {
        let (store, broker) = (|| Arc::clone(&self.store), || Arc::clone(&self.broker));
        let settings = &self.settings;
        Some(match kind {
            Kind::SweepJournal => {
                Box::new(Sweep::journal(self.journal.clone()?, settings.journal.retention))
            }
            Kind::SweepDeadLetters => {
                let kept = settings.dead_letters.retention;
                Box::new(Sweep::dead_letters(store(), kept, Arc::clone(&self.metrics)))
            }
            Kind::SweepChanges => Box::new(Sweep::changes(store(), settings.changes.retention)),
            Kind::Closing => Box::new(Closing::new(broker(), store(), settings.orders.retention?)),
            Kind::Audit => Box::new(Audits::new(store(), Arc::clone(&self.metrics))),
            Kind::Relay => {
                let (broker, store) = self.servers.clone().filter(|_| settings.changes.announce)?;
                Box::new(Relay::new(broker, store))
            }
            Kind::Recovery => {
                let (broker, store) = self.servers.clone()?;
                Box::new(Recovery::new(broker, store, settings.journal.overlap))
            }
            Kind::Replays => Box::new(Replays::new(broker(), store())),
        })
    }

    pub(super) fn report_success(&self, kind: Kind, now: Timestamp) {
        self.metrics.record_duty(kind.name(), now);
        self.health.report_duty(kind.name(), Some(now), None);
    }

    pub(super) fn report_postponed(&self, kind: Kind, why: &str) {
        self.health.report_duty(kind.name(), None, Some(format!("postponed: {why}")));
    }

    pub(super) fn report_failure(&self, kind: Kind, why: &str) {
        self.metrics.count_duty_failure(kind.name());
        self.health.report_duty(kind.name(), None, Some(why.to_owned()));
    }

    /// Shows whether this process leads; the duties of one that does not are another's.
    fn report_leading(&self, leads: bool) {
        let duties = Kind::ALL.into_iter().filter(|kind| leads && self.duty(*kind).is_some());
        let duties: Vec<_> = duties.map(Kind::name).collect();
        self.metrics.set_leading(leads, &duties);
        self.health.report_leading(leads, &duties);
    }
}

/// A process that leads, or waits to.
#[derive(Debug)]
pub struct Leader {
    lease: LeaderLease,
    means: Arc<Means>,
}

impl Leader {
    /// One that does not lead yet.
    pub fn new(lease: LeaderLease, means: Means) -> Self {
        Self { lease, means: Arc::new(means) }
    }

    /// Leads whenever it may, until `stop`; then it lets another lead at once.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            self.means.report_leading(false);
            let Some(fence) = stop.run_until_cancelled(self.acquired()).await else { return };
            tracing::info!(fence = fence.0, "this process leads");
            self.means.report_leading(true);
            let mut duties = JoinSet::new();
            for kind in Kind::ALL {
                duties.spawn(supervise(Arc::clone(&self.means), kind, fence));
            }
            let lost = stop.run_until_cancelled(self.keep(fence)).await;
            // All of them have stopped before anything is given back.
            duties.shutdown().await;
            let Some(why) = lost else {
                timeout(RELEASE_TIMEOUT, self.lease.release()).await.ok();
                self.means.report_leading(false);
                return;
            };
            tracing::warn!(why, "this process leads no longer");
        }
    }

    /// Waits until this process may lead.
    async fn acquired(&self) -> Fence {
        let mut failing = false;
        loop {
            match timeout(RENEW_EVERY, self.lease.acquire()).await.unwrap_or_else(|_| Err(late())) {
                Ok(Some(fence)) => return fence,
                Ok(None) => failing = false,
                Err(error) => {
                    // Once an outage: readiness says how long it lasts.
                    if !failing {
                        tracing::warn!(%error, "cannot acquire the leader's lease; trying again");
                    }
                    failing = true;
                }
            }
            sleep(TRY_EVERY).await;
        }
    }

    /// Renews the lease until that is no longer certain; answers why.
    async fn keep(&self, fence: Fence) -> String {
        // The lease lasts from when the server decided, which is later than this.
        let mut renewed = Instant::now();
        loop {
            sleep(RENEW_EVERY).await;
            let asked = Instant::now();
            let answer = timeout(RENEW_EVERY, self.lease.acquire()).await;
            match answer.unwrap_or_else(|_| Err(late())) {
                Ok(Some(same)) if same == fence => renewed = asked,
                Ok(_) => return "another process acquired the lease".to_owned(),
                Err(error) if renewed.elapsed() >= DOUBTED_AFTER => {
                    return format!("the lease could not be renewed in time: {error}");
                }
                Err(error) => tracing::debug!(%error, "cannot renew the lease; trying again"),
            }
        }
    }
}

fn late() -> StoreError {
    StoreError::Unavailable { source: "no answer in time".into() }
}
