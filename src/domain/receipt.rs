//! Receipts: goods that came in, adjustments, counts, and what takes them back.

use serde::{Deserialize, Serialize};

use super::{Identifier, MessageId, Quantity, StockKey, Timestamp};

/// Goods came in or were counted, or a receipt is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptEvent {
    /// Which receipt it is.
    pub receipt: ReceiptId,
    /// What it says.
    pub content: ReceiptContent,
    /// Why, and who says so.
    pub note: Note,
}

/// Why a person did something, and who.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Why.
    pub reason: Option<Identifier>,
    /// Who.
    pub actor: Option<Identifier>,
}

/// A receipt is applied once for each stock key and reference of a site.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReceiptId {
    /// The item.
    pub key: StockKey,
    /// The name that the giver of the receipt chose for it.
    pub reference: Identifier,
}

/// What a receipt says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReceiptContent {
    /// A count found `on_hand`, which is `difference` more than was known when it was asked for.
    Count {
        /// What was found.
        on_hand: Quantity,
        /// What that adds to `received`; may be negative.
        difference: Quantity,
    },
    /// So many units came in, or went for another reason than an order.
    Goods {
        /// What that adds to `received`; may be negative.
        quantity: Quantity,
    },
    /// The receipt of this reference counts for nothing, whatever it says.
    Void,
}

impl ReceiptContent {
    /// What the receipt adds to the item's `received`.
    pub const fn received(self) -> Quantity {
        match self {
            Self::Count { difference, .. } => difference,
            Self::Goods { quantity } => quantity,
            Self::Void => Quantity::ZERO,
        }
    }
}

/// The state of a receipt: of two contents under one reference, the lower message id's is in force,
/// unless the reference is void.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Receipt {
    /// What it said.
    pub said: Option<Said>,
    /// What made it void.
    pub void: Option<Said>,
}

/// What one message said of a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The message.
    pub message_id: MessageId,
    /// When it was received.
    pub received_at: Timestamp,
    /// What it said.
    pub content: ReceiptContent,
    /// Why, and who said so.
    pub note: Note,
}

impl Receipt {
    /// What the receipt adds to the item's `received`.
    pub fn received(&self) -> Quantity {
        match (&self.said, &self.void) {
            (Some(said), None) => said.content.received(),
            (Some(_) | None, _) => Quantity::ZERO,
        }
    }
}
