//! What tasks have in hand.

use crate::health::Health;

/// Deliveries that a task has, for liveness; however the task ends, it has them no longer.
pub(super) struct InHand<'a> {
    health: &'a Health,
    deliveries: usize,
}

impl<'a> InHand<'a> {
    pub(super) fn new(health: &'a Health, deliveries: usize) -> Self {
        health.count_taken(deliveries);
        Self { health, deliveries }
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.health.count_done(self.deliveries);
    }
}
