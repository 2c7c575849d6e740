//! From what was read and events to a [`Decision`](super::Decision): the join, and its meaning for
//! stock.
//!
//! Every event is joined, even one that was seen before: a join that changes nothing writes
//! nothing, and only its outcome is *named* duplicate or superseded. Events whose names lead to one
//! order are folded into one decision. An event that would make a record too large is refused as a
//! whole.
//!
//! # Invariants
//! - A set of events leads to the same state in every order and with every repetition, in every
//!   field that a rule reads, unless an event was refused: which event that is depends on the
//!   order.
//! - Deltas are `desired - applied`, never computed from an event alone.

mod catalogue;
mod family;
mod finish;
mod limits;
mod orders;
mod receipt;

#[cfg(test)]
mod tests;

use super::{Identifier, MessageId, Timestamp};

pub use catalogue::{catalogue_names, decide_catalogue};
pub use orders::{decide_orders, recompute};
pub use receipt::decide_receipt;

/// The message that brought an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The message.
    pub message_id: MessageId,
    /// When it was received.
    pub received_at: Timestamp,
    /// How often it was replayed as a dead letter.
    pub replays: u32,
    /// The event's name.
    pub event_type: Identifier,
}
