//! Deliveries that came and are not handed out: suspects apart from the others, each in order.

use std::collections::VecDeque;

use lapin::Acker;

use crate::broker::SUSPECT_DELIVERIES;
use crate::broker::rabbitmq::unacked::UnackedId;
use crate::broker::rabbitmq::wire::Received;

/// A delivery that came.
pub(super) struct BufferedDelivery {
    pub(super) tag: u64,
    pub(super) acker: Acker,
    pub(super) place: UnackedId,
    pub(super) received: Received,
}

/// See the module.
#[derive(Default)]
pub(super) struct DeliveryBuffer {
    pub(super) ordinary: VecDeque<BufferedDelivery>,
    pub(super) suspects: VecDeque<BufferedDelivery>,
}

impl DeliveryBuffer {
    pub(super) fn push(&mut self, arrival: BufferedDelivery) {
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
    pub(super) fn take_all(&mut self) -> Vec<BufferedDelivery> {
        let mut all: Vec<BufferedDelivery> =
            self.ordinary.drain(..).chain(self.suspects.drain(..)).collect();
        all.sort_unstable_by_key(|arrival| arrival.tag);
        all
    }

    /// Under what those that wait are recorded as unacked.
    pub(super) fn places(&self) -> impl Iterator<Item = UnackedId> {
        self.ordinary.iter().chain(&self.suspects).map(|arrival| arrival.place)
    }
}
