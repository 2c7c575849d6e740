//! The rows that an audit compares: each total beside its parts.

use std::collections::BTreeMap;

use super::Revision;
use crate::domain::{Counts, Hold, Identifier, MessageId, OrderId, Record, StockKey, Timestamp};

/// A record, and what the items that it names record of its order's holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedOrder {
    /// Its name.
    pub order: OrderId,
    /// The token of this state.
    pub revision: Revision,
    /// The record.
    pub record: Record,
    /// The items' side; an item without a hold of the order is left out.
    pub held: BTreeMap<StockKey, Hold>,
}

/// A hold as the item records it, and as the order does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedHold {
    /// The item.
    pub key: StockKey,
    /// The order.
    pub order: OrderId,
    /// As the item records it.
    pub held: Hold,
    /// As the order records it: nothing, if it does not name the item or does not exist; `None` if
    /// it cannot be read.
    pub applied: Option<Hold>,
}

/// A stock item and the sums of its parts.
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

impl AuditedItem {
    /// What these parts add up to; `None` if that is more than can be counted.
    pub(super) fn sum(parts: impl IntoIterator<Item = Counts>) -> Option<Counts> {
        parts.into_iter().try_fold(Counts::default(), |sum, part| {
            Some(Counts {
                received: sum.received.checked_add(part.received)?,
                committed: sum.committed.checked_add(part.committed)?,
                fulfilled: sum.fulfilled.checked_add(part.fulfilled)?,
            })
        })
    }
}

/// A correction of what an item counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemRepair {
    /// The item.
    pub key: StockKey,
    /// What it counted when it was read.
    pub read: Counts,
    /// What it will count.
    pub counts: Counts,
    /// The difference of that to the feed's last value: adding up the feed's changes then gives what
    /// the item counts.
    pub delta: Counts,
    /// Who ordered it.
    pub actor: Identifier,
    /// Its id in the feed.
    pub message_id: MessageId,
    /// When it was decided.
    pub at: Timestamp,
}
