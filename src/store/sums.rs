//! What an audit compares: each total beside what it is made of.

use std::collections::BTreeMap;

use super::Revision;
use crate::domain::{Counts, Hold, Identifier, MessageId, OrderId, Record, StockKey, Timestamp};

/// A record, and what the items that it says its order holds say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedOrder {
    /// Its name.
    pub order: OrderId,
    /// The token of this state.
    pub revision: Revision,
    /// The record.
    pub record: Record,
    /// What those items say; one that says nothing is left out.
    pub held: BTreeMap<StockKey, Hold>,
}

/// What an item says that an order holds of it, and what the order says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedHold {
    /// The item.
    pub key: StockKey,
    /// The order.
    pub order: OrderId,
    /// What the item says.
    pub held: Hold,
    /// What the order says: nothing, if it does not name the item or is not there; `None` if it
    /// cannot be read.
    pub applied: Option<Hold>,
}

/// A stock item and the sums of what it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedItem {
    /// Its name within the shop.
    pub key: StockKey,
    /// Its counts.
    pub counts: Counts,
    /// What its receipts, the orders that hold it and closed orders add up to; `None` if that is
    /// more than can be counted.
    pub sums: Option<Counts>,
}

/// What an item shall count instead of what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemRepair {
    /// The item.
    pub key: StockKey,
    /// What it counted when it was read.
    pub read: Counts,
    /// What it shall count.
    pub counts: Counts,
    /// The difference of that to what the change feed said last: whoever adds up the feed's changes
    /// comes to what the item counts.
    pub delta: Counts,
    /// Who has it done.
    pub actor: Identifier,
    /// What the feed calls it.
    pub message_id: MessageId,
    /// When it was decided.
    pub at: Timestamp,
}
