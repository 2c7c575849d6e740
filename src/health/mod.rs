//! What the parts of one process report about themselves, for the probes to return.
//!
//! The worker and the process report here; nothing here polls them. *Ready* means that the process
//! may receive new work; *live* means that a restart would not help. A worker is live while it
//! makes progress: it settles the deliveries that it took or, while paused, keeps checking whether
//! it may go on.
//!
//! # Invariants
//! - A process is not ready before [`Health::mark_started`] or after [`Health::mark_draining`].
//! - A worker that has nothing to do is live, however long that lasts.

mod kept;
pub mod probes;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::broker::QueueDepth;
use crate::domain::Timestamp;

/// How long a worker that has something to do may make no progress. Anything that the worker waits
/// for between two turns must take less time.
pub const STALL_MAX: Duration = Duration::from_mins(1);

/// The state of the process; shared by all of its parts.
#[derive(Debug, Default)]
pub struct Health {
    /// Incremented whenever the worker makes progress: deliveries done, and turns of a paused
    /// worker.
    progress: AtomicU64,
    state: Mutex<HealthState>,
}

#[derive(Debug, Default)]
struct HealthState {
    phase: Phase,
    paused: Option<String>,
    /// Who paused the queue, and why. That is not held against the process: a restart would not
    /// help, and it may serve other roles.
    queue_paused: Option<String>,
    /// Deliveries that the worker has.
    in_hand: usize,
    /// Whether deliveries have arrived since the worker last began. A worker that stands by for
    /// another process receives none, and is not responsible for waiting deliveries.
    consuming: bool,
    stalled: Option<Stall>,
    /// Present if the process may lead.
    leader: Option<LeaderReport>,
}

/// The report of a process that may lead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderReport {
    /// Whether it leads now.
    pub leads: bool,
    /// Its duties while it leads, by name.
    pub duties: BTreeMap<String, DutyReport>,
}

/// The state of one of the leader's duties.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DutyReport {
    /// When this leader last completed all that was due; absent before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success: Option<String>,
    /// Why its last turn failed, or what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Starting,
    Running,
    Draining,
}

/// A worker that has something to do was seen with this progress, and has made none since.
#[derive(Debug, Clone, Copy)]
struct Stall {
    progress: u64,
    since: Instant,
}

/// Why a process is not ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotReady {
    /// The stable code of the reason.
    pub code: String,
    /// What the code means here.
    pub detail: String,
}

impl NotReady {
    /// Creates a reason from its code and what it means here.
    pub fn new(code: &str, detail: impl Into<String>) -> Self {
        Self { code: code.to_owned(), detail: detail.into() }
    }
}

impl Health {
    /// Creates the state of a process that is starting.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records that every part is up.
    pub fn mark_started(&self) {
        self.with(|state| {
            if state.phase == Phase::Starting {
                state.phase = Phase::Running;
            }
        });
    }

    /// Records that the process finishes its work in flight and accepts no more. This is
    /// irreversible.
    pub fn mark_draining(&self) {
        self.with(|state| state.phase = Phase::Draining);
    }

    /// Records that the worker consumes nothing for now, and why. From now on it must
    /// [`turn`](Health::count_turn) within [`STALL_MAX`].
    pub fn pause_worker(&self, why: impl Into<String>) {
        let why = why.into();
        self.progress.fetch_add(1, Ordering::Relaxed);
        self.with(|state| state.paused = Some(why));
    }

    /// Records that the worker consumes again; it keeps the deliveries that it already had.
    pub fn resume_worker(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
        self.with(|state| {
            state.paused = None;
            state.consuming = false;
        });
    }

    /// Records that a person has paused the queue, or has resumed it.
    pub fn pause_queue(&self, why: Option<String>) {
        self.progress.fetch_add(1, Ordering::Relaxed);
        self.with(|state| {
            state.queue_paused = why;
            state.consuming = false;
        });
    }

    /// Returns who paused the queue, and why.
    pub fn queue_paused(&self) -> Option<String> {
        self.with(|state| state.queue_paused.clone())
    }

    /// Counts a turn of a paused worker: it checked whether it may go on.
    pub fn count_turn(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts deliveries that the worker received.
    pub fn count_taken(&self, deliveries: usize) {
        self.with(|state| {
            state.in_hand = state.in_hand.saturating_add(deliveries);
            state.consuming |= deliveries > 0;
        });
    }

    /// Counts deliveries that the worker settled or returned.
    pub fn count_done(&self, deliveries: usize) {
        if deliveries > 0 {
            self.progress.fetch_add(1, Ordering::Relaxed);
        }
        self.with(|state| state.in_hand = state.in_hand.saturating_sub(deliveries));
    }

    /// Records whether the process leads, and its duties while it does.
    pub fn report_leading(&self, leads: bool, duties: &[&str]) {
        let none = |duty: &&str| ((*duty).to_owned(), DutyReport::default());
        let duties = duties.iter().map(none).collect();
        self.with(|state| state.leader = Some(LeaderReport { leads, duties }));
    }

    /// Records the result of a duty's turn: when all that was due was completed, or why it was not.
    pub fn report_duty(&self, duty: &str, success: Option<Timestamp>, problem: Option<String>) {
        self.with(|state| {
            let duties = state.leader.as_mut().map(|leader| &mut leader.duties);
            if let Some(report) = duties.and_then(|duties| duties.get_mut(duty)) {
                report.problem = problem;
                if let Some(success) = success {
                    report.last_success = Some(success.to_string());
                }
            }
        });
    }

    /// Returns why the worker consumes nothing although nobody has paused the queue.
    pub fn worker_paused(&self) -> Option<String> {
        self.with(|state| state.paused.clone())
    }

    /// Returns whether every part is up.
    pub fn has_started(&self) -> bool {
        self.with(|state| state.phase != Phase::Starting)
    }

    /// Returns the leader's report, if this process may lead.
    pub fn leader(&self) -> Option<LeaderReport> {
        self.with(|state| state.leader.clone())
    }

    /// Returns what keeps the process itself from being ready; empty if nothing does.
    pub fn reasons(&self) -> Vec<NotReady> {
        self.with(|state| {
            let phase = match state.phase {
                Phase::Starting => Some(NotReady::new("process.starting", "not every part is up")),
                Phase::Running => None,
                Phase::Draining => {
                    Some(NotReady::new("process.draining", "what is under way is being finished"))
                }
            };
            let paused = state.paused.as_ref().map(|why| NotReady::new("worker.paused", why));
            phase.into_iter().chain(paused).collect()
        })
    }

    /// Returns whether the worker is live. The queue depth is `None` if it is unknown, which does
    /// not count against the worker.
    ///
    /// A worker is stalled when two calls, [`STALL_MAX`] apart, and all calls between them found it
    /// with something to do and without progress.
    pub fn is_live(&self, depth: Option<&QueueDepth>, now: Instant) -> bool {
        let progress = self.progress.load(Ordering::Relaxed);
        self.with(|state| {
            let consuming = state.consuming && state.queue_paused.is_none();
            let waiting = consuming && depth.is_some_and(|depth| depth.work_ready > 0);
            if state.paused.is_none() && state.in_hand == 0 && !waiting {
                state.stalled = None;
                return true;
            }
            match state.stalled {
                Some(stall) if stall.progress == progress => {
                    now.duration_since(stall.since) < STALL_MAX
                }
                Some(_) | None => {
                    state.stalled = Some(Stall { progress, since: now });
                    true
                }
            }
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut HealthState) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: QueueDepth = QueueDepth {
        work_ready: 0,
        work_in_flight: 0,
        work_oldest: None,
        retry_ready: 0,
        dead_intake: 0,
        unroutable: 0,
    };
    const BACKLOG: QueueDepth = QueueDepth { work_ready: 7, ..EMPTY };

    fn codes(health: &Health) -> Vec<String> {
        health.reasons().into_iter().map(|reason| reason.code).collect()
    }

    #[test]
    fn a_process_is_ready_between_start_and_drain() {
        let health = Health::new();
        assert_eq!(codes(&health), ["process.starting"]);
        health.mark_started();
        assert_eq!(codes(&health), [""; 0]);
        health.mark_draining();
        assert_eq!(codes(&health), ["process.draining"]);
        health.mark_started();
        assert_eq!(codes(&health), ["process.draining"]);
    }

    #[test]
    fn a_paused_worker_says_why_until_it_resumes() {
        let health = Health::new();
        health.mark_started();
        health.pause_worker("the store is away");
        assert_eq!(health.reasons(), [NotReady::new("worker.paused", "the store is away")]);
        health.resume_worker();
        assert_eq!(health.reasons(), []);
    }

    /// Calls [`Health::is_live`] three times within [`STALL_MAX`], with `between` before the last
    /// call, and returns its result. The calls continue those of the previous invocation.
    fn is_live_after(
        health: &Health,
        now: &mut Instant,
        depth: Option<&QueueDepth>,
        between: impl FnOnce(),
    ) -> bool {
        *now += STALL_MAX * 5;
        health.count_turn();
        assert!(health.is_live(depth, *now), "one look is never enough");
        *now += STALL_MAX / 2;
        assert!(health.is_live(depth, *now));
        between();
        *now += STALL_MAX / 2;
        health.is_live(depth, *now)
    }

    #[test]
    fn a_worker_that_settles_nothing_it_took_is_stalled() {
        let (health, mut now) = (Health::new(), Instant::now());
        health.count_taken(3);
        assert!(!is_live_after(&health, &mut now, Some(&EMPTY), || ()));
        assert!(is_live_after(&health, &mut now, Some(&EMPTY), || health.count_done(1)));
        assert!(!is_live_after(&health, &mut now, None, || ()));
        health.count_done(2);
        assert!(is_live_after(&health, &mut now, Some(&EMPTY), || ()), "nothing is left to do");
    }

    #[test]
    fn a_worker_that_leaves_a_backlog_untouched_is_stalled() {
        let (health, mut now) = (Health::new(), Instant::now());
        health.count_taken(1);
        health.count_done(1);
        assert!(is_live_after(&health, &mut now, Some(&EMPTY), || ()));
        assert!(is_live_after(&health, &mut now, None, || ()), "nobody said that anything waits");
        assert!(!is_live_after(&health, &mut now, Some(&BACKLOG), || ()));
    }

    #[test]
    fn a_worker_that_stands_by_owes_nothing_for_the_backlog() {
        let (health, mut now) = (Health::new(), Instant::now());
        assert!(is_live_after(&health, &mut now, Some(&BACKLOG), || ()));
        health.count_taken(1);
        health.pause_worker("the store is away");
        health.resume_worker();
        health.count_done(1);
        assert!(is_live_after(&health, &mut now, Some(&BACKLOG), || ()));
    }

    #[test]
    fn a_worker_whose_queue_is_paused_owes_nothing_for_the_backlog_and_stays_ready() {
        let (health, mut now) = (Health::new(), Instant::now());
        health.mark_started();
        health.pause_queue(Some("paused by anna".to_owned()));
        // Dead letters still arrive.
        health.count_taken(1);
        health.count_done(1);
        assert!(is_live_after(&health, &mut now, Some(&BACKLOG), || ()));
        assert_eq!(health.reasons(), []);
        health.pause_queue(None);
        health.count_taken(1);
        health.count_done(1);
        assert!(!is_live_after(&health, &mut now, Some(&BACKLOG), || ()));
    }

    #[test]
    fn a_worker_that_hangs_after_a_pause_is_stalled() {
        let (health, mut now) = (Health::new(), Instant::now());
        health.count_taken(3);
        health.pause_worker("the store is away");
        health.resume_worker();
        assert!(!is_live_after(&health, &mut now, Some(&EMPTY), || ()));
        health.count_done(3);
        assert!(is_live_after(&health, &mut now, Some(&EMPTY), || ()), "nothing is left to do");
    }

    #[test]
    fn a_paused_worker_is_live_while_it_turns() {
        let (health, mut now) = (Health::new(), Instant::now());
        health.pause_worker("the store is away");
        assert!(is_live_after(&health, &mut now, Some(&BACKLOG), || health.count_turn()));
        assert!(!is_live_after(&health, &mut now, Some(&BACKLOG), || ()));
    }

    #[test]
    fn a_long_time_without_a_look_is_no_stall() {
        let (health, now) = (Health::new(), Instant::now());
        health.count_taken(1);
        assert!(health.is_live(Some(&EMPTY), now));
        health.count_done(1);
        health.count_taken(1);
        assert!(health.is_live(Some(&EMPTY), now + STALL_MAX * 10));
    }
}
