//! The heartbeats of this process.
//!
//! A process that has a Store records its heartbeats there itself: at once when it does something
//! else than before, and every minute. One without, or whose Store does not answer, sends them
//! through the queue, and a worker records them; while nobody consumes the queue it sends none, as
//! they would only pile up, and wake workers that are not needed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{Role, Roles};
use crate::broker::{Broker, Envelope, EnvelopeKind};
use crate::clock;
use crate::domain::heartbeat::{
    DutyBeat, Heartbeat, LeaderBeat, ProcessState, RecentAnswers, shortened,
};
use crate::domain::{MessageId, Timestamp, causes};
use crate::health::{Health, LeaderReport};
use crate::metrics::Metrics;
use crate::store::{Store, forget_heartbeats_before};

/// How often a heartbeat is sent.
const INTERVAL: Duration = Duration::from_mins(1);
/// How often the process looks whether it has something new to report.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// How long after its start a process first sends a heartbeat through the queue.
const FIRST_QUEUED_AFTER: Duration = Duration::from_secs(10);
/// How long recording a heartbeat, or sending it, may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The same for the last one.
const LAST_TIMEOUT: Duration = Duration::from_secs(1);
/// Where Linux says what the host is called.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";
/// The longest name of a host that is used, in characters.
const HOST_NAME_LENGTH_MAX: usize = 63;

/// What a heartbeat is made of.
#[derive(Debug)]
pub(super) struct Heartbeats {
    process: String,
    roles: Roles,
    started_at: Timestamp,
    broker: Arc<dyn Broker>,
    store: Option<Arc<dyn Store>>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    recent: RecentAnswers,
    /// The last one that was sent, and when.
    sent: Option<(Heartbeat, Instant)>,
}

impl Heartbeats {
    pub(super) fn new(
        roles: Roles,
        (broker, store): (Arc<dyn Broker>, Option<Arc<dyn Store>>),
        metrics: Arc<Metrics>,
        health: Arc<Health>,
    ) -> Self {
        Self {
            process: format!("{}-{:06x}", host_name(), rand::random::<u32>() >> 8),
            roles,
            started_at: clock::now(),
            broker,
            store,
            metrics,
            health,
            recent: RecentAnswers::default(),
            sent: None,
        }
    }

    /// Sends heartbeats once every part of the process is up; never ends.
    pub(super) async fn run(&mut self) -> ! {
        while !self.health.has_started() {
            sleep(POLL_INTERVAL / 10).await;
        }
        let started = Instant::now();
        loop {
            let beat = self.beat(None);
            let is_due = self.sent.as_ref().is_none_or(|(_, at)| at.elapsed() >= INTERVAL);
            let is_new = self.sent.as_ref().is_some_and(|(sent, _)| !says_the_same(sent, &beat));
            let is_ripe = self.store.is_some() || started.elapsed() >= FIRST_QUEUED_AFTER;
            if (is_due && is_ripe) || (is_new && self.store.is_some()) {
                // What a process has to say when it starts can wait for its Store.
                let may_publish = is_due && (self.store.is_none() || self.sent.is_some());
                if self.record(&beat, TIMEOUT).await
                    || (may_publish && self.publish(&beat, TIMEOUT).await)
                {
                    self.sent = Some((beat, Instant::now()));
                }
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Sends the last heartbeat, if there was one before.
    pub(super) async fn stop(mut self) {
        if self.sent.is_none() {
            return;
        }
        let beat = self.beat(Some(ProcessState::Stopped));
        if !self.record(&beat, LAST_TIMEOUT).await && self.store.is_none() {
            self.publish(&beat, LAST_TIMEOUT).await;
        }
    }

    /// Records a heartbeat in the Store; `false` if there is none, or it does not take it.
    async fn record(&self, beat: &Heartbeat, within: Duration) -> bool {
        let Some(store) = &self.store else { return false };
        let forget_before = forget_heartbeats_before(beat.at);
        match timeout(within, store.record_heartbeat(beat, forget_before)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::debug!(error = causes(&error), "the store does not take a heartbeat");
                false
            }
            Err(_) => false,
        }
    }

    /// Sends a heartbeat through the queue, if somebody consumes it.
    async fn publish(&self, beat: &Heartbeat, within: Duration) -> bool {
        if !matches!(timeout(within, self.broker.is_consumed()).await, Ok(Ok(true))) {
            return false;
        }
        let envelope = Envelope {
            message_id: MessageId(uuid::Uuid::now_v7()),
            kind: EnvelopeKind::Heartbeat,
            received_at: beat.at,
            source: self.roles.as_str().to_owned(),
            replays: 0,
            traceparent: None,
            tracestate: None,
            body: beat.body().into(),
        };
        // Not journalled: a rebuild has no use for it.
        match timeout(within, self.broker.replay(vec![envelope])).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::debug!(error = causes(&error), "the queue does not take a heartbeat");
                false
            }
            Err(_) => false,
        }
    }

    fn beat(&mut self, ended: Option<ProcessState>) -> Heartbeat {
        let (at, answers) = (clock::now(), self.metrics.answers());
        self.recent.record(&answers, at);
        let (state, why) = ended.map_or_else(|| self.state(), |state| (state, None));
        let leader = self.health.leader();
        Heartbeat {
            process: self.process.clone(),
            role: self.roles.as_str().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state,
            why: why.as_deref().map(shortened),
            started_at: self.started_at,
            at,
            answers,
            recent: self.recent.steps(),
            leader: leader.map(|report| leader_beat(report, self.metrics.audited())),
        }
    }

    fn state(&self) -> (ProcessState, Option<String>) {
        if !self.roles.has(Role::Worker) {
            return (ProcessState::Serving, None);
        }
        if let Some(why) = self.health.worker_paused() {
            return (ProcessState::Blocked, Some(why));
        }
        match self.health.queue_paused() {
            Some(why) => (ProcessState::Paused, Some(why)),
            None if self.broker.stands_by() => (ProcessState::Standby, None),
            None => (ProcessState::Consuming, None),
        }
    }
}

/// Whether a heartbeat can wait until the next one is due, after another.
fn says_the_same(before: &Heartbeat, beat: &Heartbeat) -> bool {
    let leading = |beat: &Heartbeat| {
        beat.leader.as_ref().map(|leader| {
            let duties = leader.duties.iter().map(|(name, duty)| {
                (name.clone(), duty.last_success.is_some(), duty.problem.is_some())
            });
            (leader.leads, leader.differences, duties.collect::<Vec<_>>())
        })
    };
    (before.state, &before.why) == (beat.state, &beat.why) && leading(before) == leading(beat)
}

fn leader_beat(report: LeaderReport, differences: Option<u64>) -> LeaderBeat {
    let duties = report.duties.into_iter().map(|(name, duty)| {
        let last_success = duty.last_success.as_deref().and_then(Timestamp::parse_rfc3339);
        (name, DutyBeat { last_success, problem: duty.problem.as_deref().map(shortened) })
    });
    LeaderBeat { leads: report.leads, duties: duties.collect(), differences }
}

/// The name of the host, as far as it is made of plain characters.
fn host_name() -> String {
    let name = std::fs::read_to_string(HOST_NAME).unwrap_or_default();
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let name: String = name.trim().chars().filter(is_plain).take(HOST_NAME_LENGTH_MAX).collect();
    if name.is_empty() { "host".to_owned() } else { name }
}
