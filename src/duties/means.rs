//! The leader's duties and what they work with.

use std::sync::Arc;

use super::Duty;
use super::audits::Audits;
use super::catching_up::CatchingUp;
use super::closing::Closing;
use super::recovery::Recovery;
use super::relay::Relay;
use super::retention::{RecordTime, Retention};
use super::sweep::Sweep;
use crate::broker::Broker;
use crate::broker::embedded::EmbeddedBroker;
use crate::broker::rabbitmq::RabbitBroker;
use crate::config::Settings;
use crate::dead_letters::Replayer;
use crate::domain::Timestamp;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::embedded::EmbeddedStore;
use crate::store::redis::RedisStore;

/// A duty of the leader.
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
    RecordTime,
}

impl Kind {
    pub(super) const ALL: [Self; 9] = [
        Self::SweepJournal,
        Self::SweepDeadLetters,
        Self::SweepChanges,
        Self::Closing,
        Self::Audit,
        Self::Relay,
        Self::Recovery,
        Self::Replays,
        Self::RecordTime,
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
            Self::RecordTime => "clock",
        }
    }
}

/// What the duties work with.
#[derive(Debug)]
pub struct Means {
    /// The retentions.
    pub settings: Settings,
    /// The queue.
    pub broker: Arc<dyn Broker>,
    /// The Store, over another connection than the one that workers commit on.
    pub store: Arc<dyn Store>,
    /// Both files of the embedded backend.
    pub files: Option<(Arc<EmbeddedBroker>, Arc<EmbeddedStore>)>,
    /// Both servers of the distributed backend.
    pub servers: Option<(Arc<RabbitBroker>, Arc<RedisStore>)>,
    /// Where success is recorded.
    pub metrics: Arc<Metrics>,
    /// Where readiness reads the state of the duties.
    pub health: Arc<Health>,
}

impl Means {
    /// Creates a duty; `None` if this installation has no such duty.
    pub(super) fn duty(&self, kind: Kind) -> Option<Box<dyn Duty>> {
        let (store, broker) = (|| Arc::clone(&self.store), || Arc::clone(&self.broker));
        let settings = &self.settings;
        let queue = || self.files.as_ref().map(|(broker, _)| Arc::clone(broker));
        let retention = || Retention::new(store(), queue());
        Some(match kind {
            Kind::SweepJournal => {
                let kept = settings.journal.retention;
                Box::new(Sweep::journal(self.files.clone()?.0, kept, retention()))
            }
            Kind::SweepDeadLetters => {
                let kept = settings.dead_letters.retention;
                Box::new(Sweep::dead_letters(store(), kept, retention(), Arc::clone(&self.metrics)))
            }
            Kind::SweepChanges => {
                Box::new(Sweep::changes(store(), settings.changes.retention, retention()))
            }
            Kind::Closing => {
                let kept = settings.orders.retention?;
                Box::new(Closing::new(broker(), store(), kept, retention()))
            }
            Kind::Audit => Box::new(Audits::new(store(), Arc::clone(&self.metrics))),
            Kind::Relay => {
                let (broker, store) = self.servers.clone().filter(|_| settings.changes.announce)?;
                Box::new(Relay::new(broker, store))
            }
            Kind::Recovery => match (self.files.clone(), self.servers.clone()) {
                (Some((broker, store)), _) => Box::new(CatchingUp::new(broker, store)),
                (None, servers) => {
                    let (broker, store) = servers?;
                    Box::new(Recovery::new(broker, store, settings.journal.overlap))
                }
            },
            Kind::Replays => Box::new(Replayer::new(broker(), store())),
            Kind::RecordTime => Box::new(RecordTime::new(store())),
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

    /// Publishes whether this process leads: if not, the duties are another process's.
    pub(super) fn report_leading(&self, leads: bool) {
        let duties = Kind::ALL.into_iter().filter(|kind| leads && self.duty(*kind).is_some());
        let duties: Vec<_> = duties.map(Kind::name).collect();
        self.metrics.set_leading(leads, &duties);
        self.health.report_leading(leads, &duties);
    }
}
