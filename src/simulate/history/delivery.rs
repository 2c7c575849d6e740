//! How events arrive: late, out of order, and more than once.

use std::collections::BTreeMap;

use super::dice::Dice;
use super::{Delivery, Event};

/// The most times a webhook is repeated, according to Duda's documentation.
const REPEATS_MAX: usize = 4;
/// Most deliveries are late by fewer places than this.
const NEAR: u64 = 3;
/// Many deliveries are late by fewer places than this.
const FAR: u64 = 80;

/// Returns the deliveries of some events, and how many of them come after a later event of their
/// order.
pub(super) fn deliver(
    mut events: Vec<Event>,
    duplicates_per_mille: u64,
    dice: &mut Dice,
) -> (Vec<Delivery>, u64) {
    // A stable sort, so events of one millisecond stay in order here.
    events.sort_by_key(|event| event.at_ms);
    let count = events.len() as u64;
    let mut slots = Vec::with_capacity(events.len() * 2);
    for (place, event) in (0_u64..).zip(&events) {
        slots.push((place + lateness(dice, count), slots.len(), place, event));
        for _ in 0..REPEATS_MAX {
            if !dice.chance(duplicates_per_mille) {
                break;
            }
            slots.push((place + lateness(dice, count), slots.len(), place, event));
        }
    }
    // The second part breaks ties between equal places, so the order is the same everywhere.
    slots.sort_unstable_by_key(|(slot, number, ..)| (*slot, *number));

    let mut seen = vec![false; events.len()];
    let mut furthest: BTreeMap<u32, u64> = BTreeMap::new();
    let mut reordered = 0;
    let mut deliveries = Vec::with_capacity(slots.len());
    for (_, _, place, event) in slots {
        if let Some(order) = event.order {
            let furthest = furthest.entry(order).or_insert(place);
            reordered += u64::from(place < *furthest);
            *furthest = place.max(*furthest);
        }
        let is_seen = usize::try_from(place).ok().and_then(|place| seen.get_mut(place));
        let is_duplicate = is_seen.is_some_and(|seen| std::mem::replace(seen, true));
        deliveries.push(Delivery { body: event.body.clone(), kind: event.kind, is_duplicate });
    }
    (deliveries, reordered)
}

/// Returns how many places late a delivery is: mostly a few, sometimes the whole history.
fn lateness(dice: &mut Dice, count: u64) -> u64 {
    match dice.below(20) {
        0 => dice.below(count.max(1)),
        1..=8 => dice.below(FAR),
        _ => dice.below(NEAR),
    }
}
