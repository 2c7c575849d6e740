//! Receipts: once for each stock key and reference.

use crate::domain::{
    Counts, Decision, Findings, MessageId, Outcome, Quantity, Reason, Receipt, ReceiptEvent,
    Settled, StockChange,
};

/// Joins receipts of one reference. Of two contents the lower message id's counts, in every order
/// of arrival.
pub(super) fn decide(
    before: Option<Receipt>,
    events: &[(&ReceiptEvent, MessageId)],
) -> Option<Decision<Receipt>> {
    let mut state = before;
    let outcomes = events
        .iter()
        .map(|(event, message_id)| {
            Ok(join(&mut state, Receipt { message_id: *message_id, content: event.content }))
        })
        .collect();
    let state = state?;
    let key = &events.first()?.0.receipt.key;
    let received_before = before.map_or(Quantity::ZERO, |receipt| receipt.content.received());
    let received = state.content.received().saturating_sub(received_before);
    let differs = before != Some(state);
    let changes = differs.then(|| StockChange {
        key: key.clone(),
        delta: Counts { received, ..Counts::default() },
        hold: None,
    });
    Some(Decision {
        state,
        changed: differs,
        changes: changes.into_iter().collect(),
        settled: outcomes,
        findings: Findings::default(),
    })
}

fn join(state: &mut Option<Receipt>, receipt: Receipt) -> Settled {
    match state {
        None => {
            *state = Some(receipt);
            Settled::plain(Outcome::Applied)
        }
        Some(known) if known.message_id == receipt.message_id => Settled::plain(Outcome::Duplicate),
        Some(known) => {
            let same = known.content == receipt.content;
            let wins = receipt.message_id < known.message_id;
            if wins {
                *known = receipt;
            }
            match (same, wins) {
                (true, _) => Settled::plain(Outcome::Duplicate),
                (false, true) => Settled::because(Outcome::Applied, Reason::ReferenceReused),
                (false, false) => Settled::because(Outcome::Superseded, Reason::ReferenceReused),
            }
        }
    }
}
