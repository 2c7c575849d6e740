//! Orders: what events change in the records that they lead to.

use super::family::Family;
use super::{Arrival, finish};
use crate::domain::{Decision, Event, PolicyInForce, Reading};

/// Joins events whose names lead to one another, and returns what that changes. Everything that
/// [`Reading::missing`] returns must have been read.
///
/// The outcomes are in the order of the events; a refused event changes nothing.
pub fn decide_orders(
    reading: &Reading,
    events: &[(&Event, &Arrival)],
    in_force: &PolicyInForce,
) -> Decision {
    let mut family = Family::new(reading);
    let settled = events
        .iter()
        .map(|(event, arrival)| family.take(event, arrival, &in_force.policy))
        .collect();
    // Everything that was read is as it was last computed, so there is nothing to recompute.
    if !family.has_changed() {
        return Decision { settled, findings: family.findings, ..Decision::default() };
    }
    Decision { settled, ..finish::finish(family, in_force) }
}

/// Recomputes the orders that were read, without an event, and returns what another policy changes.
pub fn recompute(reading: &Reading, in_force: &PolicyInForce) -> Decision {
    finish::finish(Family::new(reading), in_force)
}
