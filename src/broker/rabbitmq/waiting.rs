//! Deliveries that came and are not handed out: suspects apart from the others, each in order.

use std::collections::VecDeque;

use lapin::Acker;

use super::holdings::Held;
use super::wire::Received;

/// What was delivered so often without being settled is handed out alone.
const SUSPECT_DELIVERIES: u32 = 2;

/// A delivery that came.
pub(super) struct Arrival {
    pub(super) tag: u64,
    pub(super) acker: Acker,
    pub(super) place: Held,
    pub(super) received: Received,
}

impl Arrival {
    const fn is_suspect(&self) -> bool {
        self.received.delivery_count >= SUSPECT_DELIVERIES
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Waiting {
    ordinary: VecDeque<Arrival>,
    suspects: VecDeque<Arrival>,
}

impl Waiting {
    pub(super) fn push(&mut self, arrival: Arrival) {
        if arrival.is_suspect() {
            self.suspects.push_back(arrival);
        } else {
            self.ordinary.push_back(arrival);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ordinary.is_empty() && self.suspects.is_empty()
    }

    pub(super) fn has_suspects(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// Takes the oldest that is no suspect.
    pub(super) fn take_ordinary(&mut self) -> Option<Arrival> {
        self.ordinary.pop_front()
    }

    /// Takes the oldest suspect.
    pub(super) fn take_suspect(&mut self) -> Option<Arrival> {
        self.suspects.pop_front()
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
