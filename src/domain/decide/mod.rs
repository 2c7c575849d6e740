//! From a state and events to a [`Decision`]: the join, and what it means for stock.
//!
//! Every event is joined, also one that was seen before: a join that changes nothing writes
//! nothing and is only *named* duplicate or superseded. Several events of one entity are folded
//! into one decision. An event that would make an order's state too large is refused, whole.
//!
//! # Invariants
//! - The state after a set of events is the same for every order and repetition of them, in every
//!   field that a rule reads, unless one was refused: which one that is depends on the order.
//! - Deltas are `desired - applied`, never computed from an event alone.

mod catalogue;
mod order;
mod receipt;
mod timeline;

#[cfg(test)]
mod refused;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::event::{Content, Event};
use super::{
    Code, Decision, EntityState, Identifier, MessageId, OrderState, Policy, PolicyInForce,
    QUANTITY_MAX, Quantity, Rejection, Timestamp,
};
use order::OrderInput;

/// By which message an event arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The message.
    pub message_id: MessageId,
    /// When it was received.
    pub received_at: Timestamp,
    /// How often it was sent again after it had been a dead letter.
    pub replays: u32,
    /// The event's name.
    pub event_type: Identifier,
}

/// Joins events of one entity into its state and says what that changes in stock.
///
/// The outcomes are in the order of the events; one that is refused changes nothing. `None` if there is no event.
pub fn decide(
    before: Option<EntityState>,
    events: &[(&Content, &Arrival)],
    in_force: &PolicyInForce,
) -> Option<Decision<EntityState>> {
    let mut orders = Vec::new();
    let mut entries = Vec::new();
    let mut receipts = Vec::new();
    for &(content, arrival) in events {
        match content {
            Content::Order(event) => orders.push((OrderInput::Order(event), arrival)),
            Content::Refund(event) => orders.push((OrderInput::Refund(event), arrival)),
            Content::Notice(event) => orders.push((OrderInput::Notice(event), arrival)),
            Content::Catalogue(event) => entries.push(event),
            Content::Receipt(event) => receipts.push((event, arrival.message_id)),
        }
    }
    // Events of one entity are of one kind, and so is its state.
    if !orders.is_empty() {
        let before = match before {
            Some(EntityState::Order(state)) => Some(*state),
            Some(EntityState::Catalogue(_) | EntityState::Receipt(_)) | None => None,
        };
        let decision = order::decide(before, &orders, in_force);
        return Some(decision.map(|state| EntityState::Order(Box::new(state))));
    }
    if !entries.is_empty() {
        let before = match before {
            Some(EntityState::Catalogue(entry)) => Some(entry),
            Some(EntityState::Order(_) | EntityState::Receipt(_)) | None => None,
        };
        return Some(catalogue::decide(before.as_ref(), &entries).map(EntityState::Catalogue));
    }
    let before = match before {
        Some(EntityState::Receipt(receipt)) => Some(receipt),
        Some(EntityState::Order(_) | EntityState::Catalogue(_)) | None => None,
    };
    receipt::decide(before, &receipts).map(|decision| decision.map(EntityState::Receipt))
}

/// Computes an order again, without an event: what another policy changes.
pub fn recompute(order: OrderState, in_force: &PolicyInForce) -> Decision<OrderState> {
    order::decide(Some(order), &[], in_force)
}

/// Checks what can be said of an event only under a policy: that its order would hold at most
/// 1e9 units of each stock item.
pub fn check(event: &Event, policy: &Policy) -> Result<(), Box<Rejection>> {
    let Content::Order(order) = &event.content else { return Ok(()) };
    let mut totals = BTreeMap::new();
    for line in order.snapshot.iter().flat_map(|snapshot| &snapshot.lines) {
        let Some(key) = line.key(&policy.key_precedence) else { continue };
        let total: &mut Quantity = totals.entry(key).or_default();
        *total = total.saturating_add(line.quantity);
        if *total > QUANTITY_MAX {
            return Err(Box::new(Rejection {
                code: Code::InvalidQuantity,
                detail: "data.items: lines of one stock key sum to more than 1e9".to_owned(),
                site: Some(event.site.clone()),
                event_type: Some(event.event_type.clone()),
                order: Some(order.order.clone()),
            }));
        }
    }
    Ok(())
}
