//! Receipts.

use serde::Serialize;
use utoipa::ToSchema;

use super::{CountsView, state_of};
use crate::domain::{Quantity, ReceiptContent, Said};
use crate::requests::receipts::{Pending, ReceiptAnswer, ReceiptRequest};
use crate::store::StoredReceipt;

/// A receipt of goods, an adjustment, a count or a void, and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Receipt)]
pub struct ReceiptView {
    /// The message that counts: the first with this reference.
    pub message_id: String,
    /// The shop.
    #[schema(example = "my_site_1")]
    pub site: String,
    /// The item.
    #[schema(example = "product:P1")]
    pub key: String,
    /// The name under which it is counted once.
    #[schema(example = "PO-1234")]
    pub reference: String,
    /// `applied`, or only `queued` so far.
    #[schema(example = "applied")]
    pub state: &'static str,
    /// Units that were received, below zero if they were removed; left out of a count and a void.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "12.5")]
    pub received: Option<String>,
    /// Units that were counted; of a count only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "40")]
    pub on_hand: Option<String>,
    /// What a count adds to `received` of the item, computed when it was first requested; of a
    /// count only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "-2")]
    pub difference: Option<String>,
    /// True for a void; otherwise left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = true)]
    pub void: Option<bool>,
    /// The item's counts before.
    pub before: CountsView,
    /// The item's counts now; null while it is queued.
    #[schema(required)]
    pub after: Option<CountsView>,
    /// The events that a count's difference may miss; null for everything else, for repeated
    /// requests, and for a user of some sites.
    #[schema(required)]
    pub pending: Option<PendingEventsView>,
}

impl ReceiptView {
    /// The request and its result.
    pub fn new(request: &ReceiptRequest, answer: &ReceiptAnswer) -> Self {
        let (received, on_hand, difference) = match answer.content {
            ReceiptContent::Goods { quantity } => (Some(quantity), None, None),
            ReceiptContent::Count { on_hand, difference } => {
                (None, Some(on_hand), Some(difference))
            }
            ReceiptContent::Void => (None, None, None),
        };
        Self {
            message_id: answer.message_id.to_string(),
            site: request.site.to_string(),
            key: request.receipt.key.to_string(),
            reference: request.receipt.reference.to_string(),
            state: state_of(answer.progress),
            received: received.map(|received| received.to_string()),
            on_hand: on_hand.map(|on_hand| on_hand.to_string()),
            difference: difference.map(|difference| difference.to_string()),
            void: (answer.content == ReceiptContent::Void).then_some(true),
            before: CountsView::from(answer.before),
            after: answer.after.map(CountsView::from),
            pending: answer.pending.map(PendingEventsView::from),
        }
    }
}

/// Events of all sites that were not in the stock when a count's difference was computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PendingEvents)]
pub struct PendingEventsView {
    /// Those that waited for a worker or were being applied.
    pub queued: u64,
    /// Those that waited for their next attempt.
    pub retrying: u64,
}

impl From<Pending> for PendingEventsView {
    fn from(pending: Pending) -> Self {
        Self { queued: pending.queued, retrying: pending.retrying }
    }
}

/// A receipt of goods, an adjustment or a count, as it is recorded of an item.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ItemReceipt)]
pub struct ItemReceiptView {
    /// The name under which it is counted once.
    #[schema(example = "PO-1234")]
    pub reference: String,
    /// What it adds to `received` of the item: nothing if it is void.
    #[schema(example = "12.5")]
    pub adds: String,
    /// Units that were received, below zero if they were removed; left out of a count, and of a
    /// void whose receipt has not arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "12.5")]
    pub received: Option<String>,
    /// Units that were counted; of a count only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "40")]
    pub on_hand: Option<String>,
    /// The message that counts; left out of a void whose receipt has not arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message_id: Option<String>,
    /// When it was received; left out of a void whose receipt has not arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "2024-05-31T12:00:00.000Z")]
    pub received_at: Option<String>,
    /// Why; left out if nobody said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// Who recorded it; left out if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "anna")]
    pub actor: Option<String>,
    /// How it was voided; left out if it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub void: Option<VoidView>,
}

impl From<&StoredReceipt> for ItemReceiptView {
    fn from(stored: &StoredReceipt) -> Self {
        let receipt = &stored.receipt;
        let mut view = Self {
            reference: stored.reference.to_string(),
            adds: receipt.received().to_string(),
            void: receipt.void.as_ref().map(VoidView::from),
            ..Self::default()
        };
        let Some(said) = &receipt.said else { return view };
        let text = |quantity: Quantity| Some(quantity.to_string());
        match said.content {
            ReceiptContent::Goods { quantity } => view.received = text(quantity),
            ReceiptContent::Count { on_hand, .. } => view.on_hand = text(on_hand),
            ReceiptContent::Void => {}
        }
        Self {
            message_id: Some(said.message_id.to_string()),
            received_at: Some(said.received_at.to_string()),
            reason: said.note.reason.as_ref().map(ToString::to_string),
            actor: said.note.actor.as_ref().map(ToString::to_string),
            ..view
        }
    }
}

/// How a receipt was voided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ReceiptVoid)]
pub struct VoidView {
    /// The message that voided it.
    pub message_id: String,
    /// When it was voided.
    #[schema(example = "2024-05-31T12:00:00.000Z")]
    pub voided_at: String,
    /// Why; left out if nobody said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// Who voided it; left out if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "anna")]
    pub actor: Option<String>,
}

impl From<&Said> for VoidView {
    fn from(said: &Said) -> Self {
        Self {
            message_id: said.message_id.to_string(),
            voided_at: said.received_at.to_string(),
            reason: said.note.reason.as_ref().map(ToString::to_string),
            actor: said.note.actor.as_ref().map(ToString::to_string),
        }
    }
}
