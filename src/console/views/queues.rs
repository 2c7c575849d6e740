//! The depth of the queues.

use serde::Serialize;
use utoipa::ToSchema;

use crate::broker::QueueDepth;
use crate::domain::{Identifier, Pause, Timestamp};

/// The depth of the queues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Queues)]
pub struct QueuesView {
    /// The backlog.
    pub work: WorkQueueView,
    /// Failed envelopes that are retried later.
    pub retry: RetryQueueView,
    /// Dead letters.
    pub dead: DeadQueueView,
    /// Who paused the work queue; null while workers may take from it.
    #[schema(required)]
    pub paused: Option<PauseView>,
}

/// Why workers take nothing from the work queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Pause)]
pub struct PauseView {
    /// The person.
    pub by: String,
    /// When the queue was paused.
    pub at: String,
    /// The reason that was given; null if none was.
    #[schema(required)]
    pub reason: Option<String>,
}

impl From<&Pause> for PauseView {
    fn from(pause: &Pause) -> Self {
        Self {
            by: pause.actor.to_string(),
            at: pause.at.to_string(),
            reason: pause.reason.as_ref().map(Identifier::to_string),
        }
    }
}

/// The backlog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WorkQueue)]
pub struct WorkQueueView {
    /// Envelopes that wait for a worker.
    pub ready: u64,
    /// Envelopes that any worker has taken and not settled.
    pub in_flight: u64,
    /// Whole seconds since the oldest unsettled envelope was received; null when there is none.
    #[schema(required)]
    pub oldest_age_seconds: Option<u64>,
}

/// Failed envelopes that are retried later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RetryQueue)]
pub struct RetryQueueView {
    /// Envelopes that wait for their next attempt.
    pub ready: u64,
}

/// Dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = DeadQueue)]
pub struct DeadQueueView {
    /// Dead letters that are not parked yet.
    pub intake: u64,
    /// Dead letters that are parked.
    pub parked: u64,
}

impl QueuesView {
    /// The depth at `now`, the number of parked dead letters, and the pause.
    pub fn new(depth: &QueueDepth, parked: u64, paused: Option<&Pause>, now: Timestamp) -> Self {
        let age = |since: Timestamp| {
            u64::try_from(now.micros().saturating_sub(since.micros())).unwrap_or(0) / 1_000_000
        };
        Self {
            work: WorkQueueView {
                ready: depth.work_ready,
                in_flight: depth.work_in_flight,
                oldest_age_seconds: depth.work_oldest.map(age),
            },
            retry: RetryQueueView { ready: depth.retry_ready },
            dead: DeadQueueView { intake: depth.dead_intake, parked },
            paused: paused.map(PauseView::from),
        }
    }
}
