//! Whether the goods have left, and since when.

use super::Record;
use crate::domain::{Action, Fingerprint, MessageId, Timestamp, Version};

/// How many of the versions that said that the goods had left are kept, from the lowest on.
const SHIPPED_MAX: usize = 64;

/// A place among an order's events: that of an event, or directly above one, where a correction has
/// its place. Of several corrections there, the one received last is the highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    version: Version,
    above: Option<(Timestamp, MessageId)>,
}

impl Place {
    const fn of(version: Version) -> Self {
        Self { version, above: None }
    }
}

/// The departure of the goods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Departure {
    /// When they left.
    pub since: Timestamp,
    /// Whether a person said so.
    pub by_hand: bool,
}

impl Record {
    /// Joins versions, and keeps the lowest ones and the highest.
    pub(in crate::domain) fn join_shipped(&mut self, versions: &[Version]) {
        for version in versions {
            if let Err(place) = self.shipped.binary_search(version) {
                self.shipped.insert(place, *version);
            }
        }
        if let Some(highest) = self.shipped.last().copied()
            && self.shipped.len() > SHIPPED_MAX + 1
        {
            self.shipped.truncate(SHIPPED_MAX);
            self.shipped.push(highest);
        }
    }

    /// Returns the departure of the goods, if the latest statement about it is that they have left.
    pub fn departure(&self) -> Option<Departure> {
        let above = |correction: &crate::domain::Correction| Place {
            version: correction.content.shown.version,
            above: Some(correction.place()),
        };
        let by =
            |action| self.corrections.values().filter(move |known| known.content.action == action);
        let released = by(Action::Release).map(above).max();
        let unshipped = self.unshipped.map(|(version, _)| Place::of(version));
        let words: Option<Fingerprint> = self.unshipped.map(|(_, words)| words);
        let bodies = self.shipped.iter().map(|version| (Place::of(*version), version.at(), false));
        let bodies = bodies.filter(|(place, ..)| Some(*place) > unshipped);
        // A snapshot that only repeats what the person saw does not revoke a ship correction.
        let by_hand = by(Action::Ship).filter(|ship| {
            Some(above(ship)) > unshipped || words == Some(ship.content.shown.words)
        });
        let by_hand = by_hand.map(|ship| (above(ship), ship.received_at, true));
        let lowest = bodies
            .chain(by_hand)
            .filter(|(place, ..)| Some(*place) > released)
            .min_by_key(|(place, ..)| *place);
        lowest.map(|(_, since, by_hand)| Departure { since, by_hand })
    }
}
