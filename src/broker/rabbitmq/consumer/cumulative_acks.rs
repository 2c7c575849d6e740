//! Which deliveries of a channel are finished, for acknowledging them in groups.
//!
//! Tags count up from 1 on a channel, and one acknowledgement covers all tags up to its own: so
//! what is finished without a gap needs only one. What is finished after a gap waits a moment for
//! the gap to close, and is then acknowledged singly: a delivery that takes long must not hold up
//! those after it.

use std::collections::BTreeMap;

use lapin::Acker;

/// The finished deliveries of a channel.
#[derive(Debug)]
pub(super) struct CumulativeAcks {
    /// The lowest tag that is not finished.
    next: u64,
    /// Those beyond it; without an acker once they are acknowledged.
    finished: BTreeMap<u64, Option<Acker>>,
}

impl CumulativeAcks {
    pub(super) const fn new() -> Self {
        Self { next: 1, finished: BTreeMap::new() }
    }

    /// Adds a delivery that is to be acknowledged.
    pub(super) fn finish(&mut self, tag: u64, acker: Acker) {
        self.finished.insert(tag, Some(acker));
    }

    /// Adds a delivery that RabbitMQ has back.
    pub(super) fn give_back(&mut self, tag: u64) {
        self.finished.insert(tag, None);
    }

    /// Whether a delivery is finished.
    pub(super) fn has(&self, tag: u64) -> bool {
        tag < self.next || self.finished.contains_key(&tag)
    }

    /// Takes what is finished without a gap: the tags, and the acker that covers them all.
    pub(super) fn take(&mut self) -> (Vec<u64>, Option<Acker>) {
        let (mut tags, mut last) = (Vec::new(), None);
        while let Some(acker) = self.finished.remove(&self.next) {
            if acker.is_some() {
                tags.push(self.next);
                last = acker;
            }
            self.next += 1;
        }
        (tags, last)
    }

    /// Whether something waits after a gap.
    pub(super) fn has_gap(&self) -> bool {
        self.finished.values().any(Option::is_some)
    }

    /// Takes what waits after a gap, to be acknowledged singly.
    pub(super) fn take_after_gap(&mut self) -> Vec<(u64, Acker)> {
        let taken = self.finished.iter_mut().map(|(tag, acker)| (*tag, acker.take()));
        taken.filter_map(|(tag, acker)| Some((tag, acker?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use lapin::message::Delivery;

    use super::*;

    fn acker(tag: u64) -> Acker {
        Delivery::mock(tag, "".into(), "".into(), false, Vec::new()).acker
    }

    #[test]
    fn what_is_finished_without_a_gap_is_one_group_whatever_the_order() {
        let mut prefix = CumulativeAcks::new();
        for tag in [3, 1, 2, 5] {
            prefix.finish(tag, acker(tag));
        }
        let (tags, last) = prefix.take();
        assert_eq!((tags, last), (vec![1, 2, 3], Some(acker(3))));
        assert_eq!(prefix.take(), (vec![], None));
        prefix.finish(4, acker(4));
        assert_eq!(prefix.take(), (vec![4, 5], Some(acker(5))));
    }

    #[test]
    fn what_was_given_back_closes_a_gap_and_is_no_part_of_the_group() {
        let mut prefix = CumulativeAcks::new();
        prefix.give_back(1);
        assert_eq!(prefix.take(), (vec![], None));
        prefix.finish(2, acker(2));
        prefix.give_back(3);
        prefix.give_back(4);
        assert_eq!(prefix.take(), (vec![2], Some(acker(2))));
        prefix.finish(5, acker(5));
        assert_eq!(prefix.take(), (vec![5], Some(acker(5))));
    }

    #[test]
    fn stragglers_are_taken_once_and_still_close_the_gap() {
        let mut prefix = CumulativeAcks::new();
        prefix.finish(2, acker(2));
        prefix.finish(3, acker(3));
        assert!(prefix.has_gap());
        assert_eq!([1, 2, 3, 4].map(|tag| prefix.has(tag)), [false, true, true, false]);
        assert_eq!(prefix.take_after_gap(), [(2, acker(2)), (3, acker(3))]);
        assert!(!prefix.has_gap());
        prefix.finish(1, acker(1));
        prefix.finish(4, acker(4));
        assert_eq!(prefix.take(), (vec![1, 4], Some(acker(4))));
        assert!([1, 2, 3, 4].iter().all(|tag| prefix.has(*tag)));
    }
}
