//! What the consumers of one handle hold of a queue, for [`depth`](crate::broker::Broker::depth).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::Timestamp;

/// What is held of a queue.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    sets: Mutex<Sets>,
    next: AtomicU64,
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

/// A delivery that is held; its number tells it from others of the same age.
pub(super) type Held = (Timestamp, u64);

#[derive(Debug, Default)]
struct Sets {
    /// Handed out, and RabbitMQ was not told yet what became of it.
    out: BTreeSet<Held>,
    /// Came from RabbitMQ and waits to be handed out.
    waiting: BTreeSet<Held>,
}

impl Holdings {
    /// Notes a delivery that came.
    pub(super) fn arrive(&self, received_at: Timestamp) -> Held {
        let held = (received_at, self.next.fetch_add(1, Ordering::Relaxed));
        self.sets().waiting.insert(held);
        held
    }

    /// Notes that a delivery was handed out.
    pub(super) fn hand_out(&self, held: Held) {
        let mut sets = self.sets();
        sets.waiting.remove(&held);
        sets.out.insert(held);
    }

    /// Notes that RabbitMQ has the last word on a delivery.
    pub(super) fn release(&self, held: Held) {
        let mut sets = self.sets();
        sets.waiting.remove(&held);
        sets.out.remove(&held);
    }

    /// How many wait, how many are out, and when the oldest of all was received.
    pub(super) fn count(&self) -> (u64, u64, Option<Timestamp>) {
        let sets = self.sets();
        let count = |set: &BTreeSet<Held>| u64::try_from(set.len()).unwrap_or(u64::MAX);
        let oldest = sets.out.first().into_iter().chain(sets.waiting.first()).min();
        (count(&sets.waiting), count(&sets.out), oldest.map(|(received_at, _)| *received_at))
    }

    /// Notes that one more consumer begins.
    pub(super) fn consuming(&self) -> Consuming<'_> {
        self.consumers.fetch_add(1, Ordering::Relaxed);
        Consuming(&self.consumers)
    }

    /// How many consumers there are.
    pub(super) fn consumers(&self) -> u64 {
        self.consumers.load(Ordering::Relaxed)
    }

    fn sets(&self) -> MutexGuard<'_, Sets> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
