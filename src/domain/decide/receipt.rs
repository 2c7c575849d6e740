//! Receipts: each is applied once per stock key and reference.

use super::Arrival;
use crate::domain::{
    Cause, Counts, Decision, EntityName, EntityState, EventOutcome, Lists, Outcome, Reason,
    Receipt, ReceiptContent, ReceiptEvent, ReceiptId, Said, StockChange, Write,
};

/// Joins the events of one receipt. Of two contents, the one with the lower message id counts. A
/// void counts whenever it arrives.
pub fn decide_receipt(
    id: &ReceiptId,
    before: Option<&Receipt>,
    events: &[(&ReceiptEvent, &Arrival)],
) -> Decision {
    let mut state = before.cloned().unwrap_or_default();
    let outcomes = events.iter().map(|(event, arrival)| Ok(join(&mut state, event, arrival)));
    let mut decision = Decision { settled: outcomes.collect(), ..Decision::default() };
    let known = before.cloned().unwrap_or_default();
    if known == state {
        return decision;
    }
    let received = state.received().saturating_sub(known.received());
    // An item is known from its first receipt on, even if that receipt adds nothing.
    if !received.is_zero() || (known.said.is_none() && state.said.is_some()) {
        decision.changes.push(StockChange {
            key: id.key.clone(),
            cause: Cause::Receipt(id.reference.clone()),
            delta: Counts { received, ..Counts::default() },
            hold: None,
            closed: None,
        });
    }
    decision.writes.push(Write {
        name: EntityName::Receipt(id.clone()),
        state: Some(EntityState::Receipt(state)),
        lists: (Lists::NONE, Lists::NONE),
    });
    decision
}

fn join(state: &mut Receipt, event: &ReceiptEvent, arrival: &Arrival) -> EventOutcome {
    let said = Said {
        message_id: arrival.message_id,
        received_at: arrival.received_at,
        content: event.content,
        note: event.note.clone(),
    };
    let is_void = event.content == ReceiptContent::Void;
    let known = if is_void { &mut state.void } else { &mut state.said };
    let Some(before) = known else {
        *known = Some(said);
        return EventOutcome::plain(Outcome::Applied);
    };
    let (same_message, same) =
        (before.message_id == said.message_id, before.content == said.content);
    let wins = said.message_id < before.message_id;
    if wins {
        *before = said;
    }
    if same_message || same {
        EventOutcome::plain(Outcome::Duplicate)
    } else if wins {
        EventOutcome::because(Outcome::Applied, Reason::ReferenceReused)
    } else {
        EventOutcome::because(Outcome::Superseded, Reason::ReferenceReused)
    }
}
