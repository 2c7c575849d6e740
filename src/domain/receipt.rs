//! Receipts: goods that came in, adjustments, counts, and the voiding of these.

use serde::{Deserialize, Serialize};

use super::{Identifier, MessageId, Quantity, StockKey, Timestamp};

/// Goods came in or were counted, or a receipt was voided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptEvent {
    /// The receipt.
    pub receipt: ReceiptId,
    /// Its content.
    pub content: ReceiptContent,
    /// The reason, and the person who gave it.
    pub note: Note,
}

/// Why a person did something, and who that was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The reason.
    pub reason: Option<Identifier>,
    /// The person.
    pub actor: Option<Identifier>,
}

/// The id of a receipt, which is applied once per stock key and reference of a site.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReceiptId {
    /// The item.
    pub key: StockKey,
    /// The reference that the sender of the receipt chose for it.
    pub reference: Identifier,
}

/// The content of a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReceiptContent {
    /// A count found `on_hand`, which is `difference` more than was known when the count was
    /// requested.
    Count {
        /// What was found.
        on_hand: Quantity,
        /// What that adds to `received`; may be negative.
        difference: Quantity,
    },
    /// Units came in, or left for a reason other than an order.
    Goods {
        /// What that adds to `received`; may be negative.
        quantity: Quantity,
    },
    /// The receipt with this reference has no effect, whatever it says.
    Void,
}

impl ReceiptContent {
    /// Returns what the receipt adds to the item's `received`.
    pub const fn received(self) -> Quantity {
        match self {
            Self::Count { difference, .. } => difference,
            Self::Goods { quantity } => quantity,
            Self::Void => Quantity::ZERO,
        }
    }
}

/// The state of a receipt. Of two contents under one reference, the one with the lower message id
/// is in force, unless the receipt is void.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Receipt {
    /// The message whose content counts, unless the receipt is void.
    pub said: Option<Said>,
    /// The message that voided it.
    pub void: Option<Said>,
}

/// What one message says about a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The message.
    pub message_id: MessageId,
    /// When it was received.
    pub received_at: Timestamp,
    /// Its content.
    pub content: ReceiptContent,
    /// The reason, and the person who gave it.
    pub note: Note,
}

impl Receipt {
    /// Returns what the receipt adds to the item's `received`.
    pub fn received(&self) -> Quantity {
        match (&self.said, &self.void) {
            (Some(said), None) => said.content.received(),
            (Some(_) | None, _) => Quantity::ZERO,
        }
    }
}
