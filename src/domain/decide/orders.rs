//! Orders: what events change of the records that they lead to.

use super::family::Family;
use super::{Arrival, finish};
use crate::domain::{Decision, Event, PolicyInForce, Reading};

/// Joins events whose names lead to one another, and says what that changes. All that
/// [`Reading::missing`] asks for must have been read.
///
/// The outcomes are in the order of the events; one that is refused changes nothing.
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
    // Whatever was read is as it was computed last: there is nothing to compute again.
    if !family.has_changed() {
        return Decision { settled, findings: family.findings, ..Decision::default() };
    }
    Decision { settled, ..finish::finish(family, in_force) }
}

/// Computes the orders that were read again, without an event: what another policy changes.
pub fn recompute(reading: &Reading, in_force: &PolicyInForce) -> Decision {
    finish::finish(Family::new(reading), in_force)
}
