//! The rules: what a webhook means for stock.
//!
//! Bodies and states come in, decisions go out. Nothing here waits, reads a clock or the
//! environment, draws a random number, opens a file or a socket, or logs; `tests/it/tidy.rs`
//! checks that. Whoever wants to know what Storekeeper does with a webhook needs to read no
//! other folder.

mod catalogue;
mod closing;
mod decide;
mod decision;
mod decode;
mod desired;
mod entity;
mod event;
pub mod identifier;
mod notice;
mod order;
mod order_id;
mod policy;
mod quantity;
mod receipt;
mod rejection;
mod source;
mod stock_key;
mod timestamp;
mod version;

pub use catalogue::{CatalogueEntry, CatalogueEvent, CatalogueId, CatalogueKind, Description};
pub use closing::{Remains, after_closing, close};
pub use decide::{Arrival, check, decide, recompute};
pub use decision::{
    Counts, Decision, Findings, Outcome, Reason, Refused, Settled, StockChange, TotalError,
};
pub use decode::{Decoded, decode_receipt, decode_webhook};
pub use desired::desired;
use desired::refunds_unmatched;
pub use entity::{EntityName, EntityState};
pub use event::{
    Content, Event, Line, OrderEvent, Refund, RefundEntry, RefundEvent, RefundLine, Snapshot,
};
pub use identifier::{IDENTIFIER_BYTES_MAX, Identifier, IdentifierError, NameError, Site};
pub use notice::{NoticeEvent, NoticeStatus};
pub use order::{
    Hold, Latest, Notice, OrderState, REFUNDED_LINES_MAX, REFUNDS_MAX, TIMELINE_LENGTH_MAX,
    TimelineEntry,
};
pub use order_id::{OrderId, OrderIdKind};
pub use policy::{Cancelled, Deleted, Policy, PolicyInForce, PolicyRevision, Restock, TestMode};
pub use quantity::{QUANTITY_MAX, Quantity, QuantityError, STOCK_TOTAL_MAX};
pub use receipt::{Receipt, ReceiptContent, ReceiptEvent, ReceiptId};
pub use rejection::{Code, Rejection, UnknownCode};
pub use source::SourceRules;
pub use stock_key::{StockKey, StockKeyKind};
pub use timestamp::Timestamp;
pub use version::{Fingerprint, Rank, Status, Version};

use serde::{Deserialize, Serialize};

/// The name of a message: a `UUIDv7` that its publisher gives it, kept through retries,
/// dead-lettering, edits and replays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(pub uuid::Uuid);

impl std::fmt::Display for MessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
