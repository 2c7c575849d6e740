//! What the consumers of one handle have of a queue and RabbitMQ has no acknowledgement of, for
//! [`depth`](crate::broker::Broker::depth).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::Timestamp;

/// What is unacknowledged of a queue.
#[derive(Debug, Default)]
pub(super) struct Unacked {
    /// Whether each delivery was handed out.
    deliveries: Mutex<BTreeMap<UnackedId, bool>>,
    arrived: AtomicU64,
    consumers: AtomicU64,
}

/// One of the consumers, as long as this is kept.
#[derive(Debug)]
pub(super) struct Consuming<'a>(&'a AtomicU64);

impl Drop for Consuming<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A delivery: when it was received, and a number that distinguishes it from others of the same
/// age.
pub(super) type UnackedId = (Timestamp, u64);

impl Unacked {
    /// Adds a delivery that came from RabbitMQ.
    pub(super) fn arrive(&self, received_at: Timestamp) -> UnackedId {
        let id = (received_at, self.arrived.fetch_add(1, Ordering::Relaxed));
        self.deliveries().insert(id, false);
        id
    }

    /// Records that a delivery was handed out.
    pub(super) fn hand_out(&self, id: UnackedId) {
        self.deliveries().insert(id, true);
    }

    /// Removes a delivery that RabbitMQ knows the end of, or has back.
    pub(super) fn release(&self, id: UnackedId) {
        self.deliveries().remove(&id);
    }

    /// How many wait, how many are in flight, and when the oldest of all was received.
    pub(super) fn count(&self) -> (u64, u64, Option<Timestamp>) {
        let deliveries = self.deliveries();
        let count = |handed_out| {
            let found = deliveries.values().filter(|is_handed_out| **is_handed_out == handed_out);
            u64::try_from(found.count()).unwrap_or(u64::MAX)
        };
        let oldest = deliveries.keys().next().map(|(received_at, _)| *received_at);
        (count(false), count(true), oldest)
    }

    /// Counts one more consumer, for as long as the answer is kept.
    pub(super) fn consuming(&self) -> Consuming<'_> {
        self.consumers.fetch_add(1, Ordering::Relaxed);
        Consuming(&self.consumers)
    }

    /// How many consumers there are.
    pub(super) fn consumers(&self) -> u64 {
        self.consumers.load(Ordering::Relaxed)
    }

    fn deliveries(&self) -> MutexGuard<'_, BTreeMap<UnackedId, bool>> {
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
