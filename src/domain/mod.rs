//! The rules: what a webhook means for stock.
//!
//! Bodies and states come in, decisions go out. Nothing here waits, reads a clock or the
//! environment, draws a random number, opens a file or a socket, or logs; `tests/it/tidy` checks
//! that. What Storekeeper does with a webhook can be understood from this folder alone.

mod catalogue;
mod causes;
mod closing;
mod correction;
pub mod dead_letter;
mod decide;
mod decision;
mod decode;
mod desired;
mod entity;
mod envelope_kind;
mod event;
pub mod heartbeat;
pub mod identifier;
mod leader_clock;
mod lists;
mod named;
mod names;
mod nearest;
mod order_id;
mod pairing;
mod pause;
mod policy;
mod printable;
mod quantity;
mod reading;
mod receipt;
mod record;
mod refund;
mod rejection;
mod source;
mod standing;
mod stock_key;
mod timestamp;
mod version;

pub use catalogue::{CatalogueEntry, CatalogueEvent, CatalogueId, CatalogueKind, Description};
pub use causes::causes;
pub use closing::close;
pub use correction::{
    Action, CORRECTIONS_MAX, Correction, CorrectionContent, CorrectionEvent, Shown, ShownError,
};
pub use decide::{
    Arrival, catalogue_names, decide_catalogue, decide_orders, decide_receipt, recompute,
};
pub use decision::{
    Cause, Counts, Decision, EventOutcome, Findings, ItemNames, Outcome, Reason, Refused,
    StockChange, TotalError, Write,
};
pub use decode::{Decoded, decode_correction, decode_receipt, decode_webhook};
pub use desired::{Desired, Why, desired, refunds_unmatched};
pub use entity::{EntityName, EntityState};
pub use envelope_kind::EnvelopeKind;
pub use event::{
    Content, Event, Line, LineNames, Mode, NoticeEvent, Oddities, OrderEvent, RefundEvent, Snapshot,
};
pub use identifier::{IDENTIFIER_BYTES_MAX, Identifier, IdentifierError, NameError, Site};
pub use leader_clock::LeaderClock;
pub use lists::{List, Lists};
pub use names::{ClosedName, Link, Names, SECOND_NAMES_MAX};
pub use nearest::Nearest;
pub use order_id::{OrderId, OrderIdKind};
pub use pairing::{Pairing, QueueId, QueueNote, QueuePlaces, QueueState};
pub use pause::Pause;
pub use policy::{
    Cancelled, Deleted, Policy, PolicyInForce, PolicyOrigin, PolicyRevision, ProposedPolicy,
    Restock, TestMode,
};
pub use printable::{is_unseen, printable, printable_json};
pub use quantity::{QUANTITY_MAX, Quantity, QuantityError, STOCK_TOTAL_MAX};
pub use reading::{Missing, Reading};
pub use receipt::{Note, Receipt, ReceiptContent, ReceiptEvent, ReceiptId, Said};
pub use record::{
    CorrectionsInForce, Departure, Hold, INVOICES_MAX, Latest, REFUNDED_LINES_MAX, REFUNDS_MAX,
    Record, Remembered, TIMELINE_LENGTH_MAX, TimelineEntry,
};
pub use refund::{Refund, RefundEntry, RefundLine};
pub use rejection::{Code, Rejection, UnknownCode};
pub use source::{DEFAULT_SOURCE, SourceRules};
pub use standing::{LastAudit, QueueStanding, Standing, Verdict};
pub use stock_key::{StockKey, StockKeyKind};
pub use timestamp::Timestamp;
pub use version::{Class, Fingerprint, Rank, Status, Version};

use serde::{Deserialize, Serialize};

/// The id of a message: a `UUIDv7` that its publisher assigns, kept through retries,
/// dead-lettering, edits and replays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(pub uuid::Uuid);

impl std::fmt::Display for MessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
