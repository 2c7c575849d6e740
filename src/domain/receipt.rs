//! Receipts: goods that came in, and counts.

use serde::{Deserialize, Serialize};

use super::{Identifier, MessageId, Quantity, StockKey};

/// Goods came in or were counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptEvent {
    /// Which receipt it is.
    pub receipt: ReceiptId,
    /// What it says.
    pub content: ReceiptContent,
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
#[serde(untagged)]
pub enum ReceiptContent {
    /// A count found `on_hand`, which is `difference` more than was known when it was asked for.
    Count {
        /// What was found.
        on_hand: Quantity,
        /// What that adds to `received`; may be negative.
        difference: Quantity,
    },
    /// So many units came in.
    Goods {
        /// What that adds to `received`.
        quantity: Quantity,
    },
}

impl ReceiptContent {
    /// What the receipt adds to the item's `received`.
    pub const fn received(self) -> Quantity {
        match self {
            Self::Count { difference, .. } => difference,
            Self::Goods { quantity } => quantity,
        }
    }
}

/// The state of a receipt: of two contents under one reference, the lower message id's is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The message that brought it.
    pub message_id: MessageId,
    /// What it said.
    pub content: ReceiptContent,
}
