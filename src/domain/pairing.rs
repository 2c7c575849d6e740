//! Whether a Store and a queue in files belong together, and what the Store may lack if not.
//!
//! The Store notes which queue it was fed from, up to which position of the journal everything was
//! applied, and the number of that note; the queue then notes the number too. A file that was
//! restored, lost or swapped alone has another number than the other one.

/// The id of a queue: drawn when its file is made, and again when it turns out to be an older copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueId(pub String);

/// What a Store notes of the queue that it is fed from. Positions are those of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueNote {
    /// The queue.
    pub queue: QueueId,
    /// The number of this note; it grows by one with each.
    pub number: u64,
    /// Up to where things stood then.
    pub places: QueuePlaces,
}

/// How far the events of a queue were applied at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueuePlaces {
    /// Everything up to this position was applied.
    pub applied: u64,
    /// Everything up to this position was applied, or had failed before and waited.
    pub tried: u64,
    /// The last position that was given.
    pub last: u64,
}

/// What a queue knows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueState {
    /// Its id.
    pub id: QueueId,
    /// The number of the last note that its Store has confirmed.
    pub number: u64,
    /// The queue whose Store it has been given, until that Store notes this one; and up to which
    /// position both have the same events.
    pub before: Option<(QueueId, u64)>,
    /// How far its events are applied.
    pub places: QueuePlaces,
    /// The last position that the journal's retention has removed; 0 if the journal has everything
    /// from its beginning.
    pub removed: u64,
}

/// How a Store and a queue go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// The Store is the one that was here before.
    Same,
    /// The Store has noted nothing: it begins empty.
    NewStore,
    /// The Store is an older copy.
    OlderStore,
    /// The queue is an older copy.
    OlderQueue,
    /// The Store was fed from another queue.
    Strangers,
}

impl Pairing {
    /// Compares a Store's note with a queue. Also returns the position after which the Store may
    /// lack something that the queue no longer holds.
    ///
    /// A process may die between the two notes, so the Store's may be one ahead.
    pub fn of(note: Option<&QueueNote>, queue: &QueueState) -> (Self, u64) {
        let Some(QueueNote { queue: id, number, places }) = note else {
            return (Self::NewStore, 0);
        };
        if let Some((before, last)) = &queue.before
            && id == before
        {
            return (Self::OlderQueue, places.applied.min(*last));
        }
        if *id != queue.id {
            return (Self::Strangers, 0);
        }
        if *number < queue.number {
            return (Self::OlderStore, places.applied);
        }
        if *number > queue.number + 1 || places.last > queue.places.last {
            return (Self::OlderQueue, places.applied.min(queue.places.last));
        }
        // Only of the last moments nobody knows: a disk may have lost them of one file.
        (Self::Same, places.tried)
    }

    /// Whether the journal has all that the Store may lack after a position. What an older queue no
    /// longer has was applied before it was removed.
    pub const fn is_covered(self, after: u64, queue: &QueueState) -> bool {
        matches!(self, Self::Same | Self::OlderQueue) || queue.removed <= after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> QueueId {
        QueueId(name.to_owned())
    }

    const PLACES: QueuePlaces = QueuePlaces { applied: 10, tried: 20, last: 30 };

    fn note(queue: &str, number: u64) -> QueueNote {
        QueueNote { queue: id(queue), number, places: PLACES }
    }

    fn queue(number: u64, last: u64) -> QueueState {
        QueueState {
            id: id("a"),
            number,
            before: None,
            places: QueuePlaces { applied: last, tried: last, last },
            removed: 0,
        }
    }

    #[test]
    fn files_that_ran_together_lack_the_last_moments_at_most() {
        assert_eq!(Pairing::of(Some(&note("a", 5)), &queue(5, 30)), (Pairing::Same, 20));
        // It died between the two notes.
        assert_eq!(Pairing::of(Some(&note("a", 6)), &queue(5, 40)), (Pairing::Same, 20));
    }

    #[test]
    fn a_store_with_an_earlier_note_is_an_older_copy() {
        assert_eq!(Pairing::of(Some(&note("a", 4)), &queue(5, 90)), (Pairing::OlderStore, 10));
    }

    #[test]
    fn a_queue_with_an_earlier_number_or_an_earlier_end_is_an_older_copy() {
        assert_eq!(Pairing::of(Some(&note("a", 7)), &queue(5, 90)), (Pairing::OlderQueue, 10));
        assert_eq!(Pairing::of(Some(&note("a", 5)), &queue(5, 8)), (Pairing::OlderQueue, 8));
        // It has got a new id, and the process died before the Store noted it.
        let renewed = QueueState { before: Some((id("z"), 8)), ..queue(5, 90) };
        assert_eq!(Pairing::of(Some(&note("z", 7)), &renewed), (Pairing::OlderQueue, 8));
    }

    #[test]
    fn a_store_of_another_queue_or_of_none_may_lack_everything() {
        assert_eq!(Pairing::of(Some(&note("b", 5)), &queue(5, 30)), (Pairing::Strangers, 0));
        assert_eq!(Pairing::of(None, &queue(5, 30)), (Pairing::NewStore, 0));
    }

    #[test]
    fn what_retention_has_removed_after_the_place_is_missing() {
        let queue = QueueState { removed: 11, ..queue(5, 30) };
        assert!(!Pairing::OlderStore.is_covered(10, &queue));
        assert!(Pairing::OlderStore.is_covered(11, &queue));
        assert!(Pairing::Same.is_covered(10, &queue));
        assert!(Pairing::OlderQueue.is_covered(10, &queue));
    }
}
