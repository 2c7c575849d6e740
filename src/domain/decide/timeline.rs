//! The timeline of an order: its highest versions, for people.

use super::Arrival;
use crate::domain::{Settled, TIMELINE_LENGTH_MAX, TimelineEntry, Version};

/// Whether an event of this version is in the timeline.
pub(super) fn knows(timeline: &[TimelineEntry], version: Version) -> bool {
    timeline.iter().any(|entry| entry.version == version)
}

/// Adds an event that is not there yet, highest version first, and forgets the lowest.
pub(super) fn record(
    timeline: &mut Vec<TimelineEntry>,
    version: Version,
    settled: Settled,
    rekeyed_lines: u64,
    arrival: &Arrival,
) {
    let place = timeline.partition_point(|entry| entry.version > version);
    let same_version = timeline.iter().skip(place).take_while(|entry| entry.version == version);
    let is_there = same_version.into_iter().any(|entry| entry.event_type == arrival.event_type);
    if is_there || place >= TIMELINE_LENGTH_MAX {
        return;
    }
    timeline.insert(
        place,
        TimelineEntry {
            version,
            message_id: arrival.message_id,
            event_type: arrival.event_type.clone(),
            received_at: arrival.received_at,
            outcome: settled.outcome,
            reason: settled.reason,
            rekeyed_lines,
        },
    );
    timeline.truncate(TIMELINE_LENGTH_MAX);
}
