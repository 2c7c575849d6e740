//! The state of an order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::event::{RefundEntry, Snapshot};
use super::notice::NoticeStatus;
use super::{
    Identifier, MessageId, OrderId, PolicyRevision, Quantity, StockKey, Timestamp, Version,
};

/// How many events the timeline keeps.
pub const TIMELINE_LENGTH_MAX: usize = 64;

/// How many refunds an order may have, of all its events together.
pub const REFUNDS_MAX: usize = 1000;

/// How many lines the refunds of an order may have together.
pub const REFUNDED_LINES_MAX: usize = 10_000;

/// Everything that was learned of an order: a join, so the order of arrival leaves no trace in
/// any field that a rule reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderState {
    /// The snapshot with the highest version, and that version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<Latest>,
    /// The highest version of a deletion; final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<Version>,
    /// Whether any event seen said that the goods had left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ever_shipped: bool,
    /// The refunds seen anywhere, by id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refunds: BTreeMap<Identifier, RefundEntry>,
    /// Every name that an event gave the order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<OrderId>,
    /// What a third-party store's notices say; such an order waits for its details.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<Notice>,
    /// What the order holds of each stock item now.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub applied: BTreeMap<StockKey, Hold>,
    /// The revision of the policy with which `applied` was computed.
    pub policy: PolicyRevision,
    /// Whether only a fingerprint made `latest` the latest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ambiguous: bool,
    /// The highest versions seen, highest first; for people, no rule reads it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<TimelineEntry>,
}

impl OrderState {
    /// Whether only notices say that there is such an order, so that it holds nothing yet.
    pub const fn awaits_details(&self) -> bool {
        self.notice.is_some() && self.latest.is_none() && self.deleted.is_none()
    }
}

/// The snapshot with the highest version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latest {
    /// Its place among the order's events.
    pub version: Version,
    /// The order.
    pub snapshot: Snapshot,
}

/// The notice with the highest version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Its place among the order's notices.
    pub version: Version,
    /// What it says.
    pub status: NoticeStatus,
}

/// What one order keeps of one stock item.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Units that are promised and still here.
    #[serde(default, skip_serializing_if = "Quantity::is_zero")]
    pub committed: Quantity,
    /// Units that have left.
    #[serde(default, skip_serializing_if = "Quantity::is_zero")]
    pub fulfilled: Quantity,
}

/// One event of an order, as it is shown to people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// Its place among the order's events.
    pub version: Version,
    /// The message that brought it first.
    pub message_id: MessageId,
    /// The event's name.
    pub event_type: Identifier,
    /// When that message was received.
    pub received_at: Timestamp,
    /// What it did.
    pub outcome: super::Outcome,
    /// Why, where that says something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<super::Reason>,
    /// How many of its lines had another stock key than in the snapshot that was the latest when
    /// it came.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rekeyed_lines: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}
