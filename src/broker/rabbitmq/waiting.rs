//! Deliveries that came and are not handed out: suspects apart from the others, each in order.

use std::collections::VecDeque;

use lapin::Acker;

use super::holdings::Held;
use super::wire::Received;
use crate::broker::SUSPECT_DELIVERIES;

/// A delivery that came.
pub(super) struct Arrival {
    pub(super) tag: u64,
    pub(super) acker: Acker,
    pub(super) place: Held,
    pub(super) received: Received,
}

/// See the module.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) ordinary: VecDeque<Arrival>,
    pub(super) suspects: VecDeque<Arrival>,
}

impl Waiting {
    pub(super) fn push(&mut self, arrival: Arrival) {
        if arrival.received.delivery_count >= SUSPECT_DELIVERIES {
            self.suspects.push_back(arrival);
        } else {
            self.ordinary.push_back(arrival);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ordinary.is_empty() && self.suspects.is_empty()
    }

    /// Takes all, in the order in which they came.
    pub(super) fn take_all(&mut self) -> Vec<Arrival> {
        let mut all: Vec<Arrival> =
            self.ordinary.drain(..).chain(self.suspects.drain(..)).collect();
        all.sort_unstable_by_key(|arrival| arrival.tag);
        all
    }

    /// Where those that wait are noted as held.
    pub(super) fn places(&self) -> impl Iterator<Item = Held> {
        self.ordinary.iter().chain(&self.suspects).map(|arrival| arrival.place)
    }
}
