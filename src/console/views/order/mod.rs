//! Orders: their state, what they hold, and why.

mod history;
mod snapshot;
mod summary;

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{
    Hold, List, Mode, Policy, Record, Status, StockKey, TimelineEntry, Version, Why, desired,
};
use crate::store::orders::StoredOrder;

pub use history::{CorrectionView, RefundLineView, RefundView, TimelineEntryView};
pub use snapshot::{LineView, SnapshotView};
pub use summary::{OrderHeadView, OrderSummaryView};

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Order)]
#[expect(clippy::struct_excessive_bools, reason = "the API's shape: each is a fact of its own")]
pub struct OrderView {
    /// What lists show too.
    #[serde(flatten)]
    pub head: OrderHeadView,
    /// The revision of this state, in hexadecimal; it differs for every state.
    #[schema(example = "9c1b5f0e6a7d2c34")]
    pub revision: String,
    /// An opaque token of what is shown here: a correction repeats it, so that the correction is
    /// refused once the order has changed. Null while no snapshot is known.
    #[schema(required)]
    pub shown: Option<String>,
    /// What was refunded.
    pub refunds: Vec<RefundView>,
    /// The corrections, in the order in which they were received.
    pub corrections: Vec<CorrectionView>,
    /// Whether its details are being fetched from the store's own API.
    pub wanted: bool,
    /// Whether two events of the same time, class and status contradict each other, so that only a
    /// fingerprint decided between them.
    pub ambiguous: bool,
    /// Whether one of its names was also seen beside another order's id, and so leads to no order.
    pub contested: bool,
    /// Whether a snapshot is newer than the deletion.
    pub after_deletion: bool,
    /// Whether it has no snapshot, but only refunds, corrections or notices.
    pub waiting: bool,
    /// How many lines have no stock key under the policy in force, and so hold nothing.
    pub unmapped_lines: usize,
    /// How many lines changed their stock key in all events of the timeline; each event has its own
    /// number.
    pub rekeyed_lines: u64,
    /// The latest snapshot; null while none is known.
    #[schema(required)]
    pub snapshot: Option<SnapshotView>,
    /// The events with the highest versions, highest first; at most 64.
    pub timeline: Vec<TimelineEntryView>,
}

impl OrderView {
    /// The order as it is stored; its lines get the stock keys of `policy`.
    pub fn new(stored: &StoredOrder, policy: &Policy) -> Self {
        let record = &stored.record;
        let snapshot = SnapshotView::new(record, policy);
        Self {
            head: OrderHeadView::new(stored, policy),
            revision: format!("{:016x}", stored.revision.0),
            shown: record.shown().map(|shown| shown.token()),
            refunds: history::refunds(record),
            corrections: history::corrections(record),
            wanted: false,
            ambiguous: record.lists.has(List::Ambiguous),
            contested: record.lists.has(List::Contested),
            after_deletion: record.lists.has(List::AfterDeletion),
            waiting: record.lists.has(List::Waiting),
            unmapped_lines: snapshot.as_ref().map_or(0, SnapshotView::unmapped_lines),
            rekeyed_lines: record.timeline.iter().map(|entry| u64::from(entry.rekeyed_lines)).sum(),
            snapshot,
            timeline: record.timeline.iter().map(TimelineEntryView::from).collect(),
        }
    }
}

/// The status of an order, as it is shown. Another spelling of a known status is shown in its usual
/// spelling.
pub(crate) fn status_of(record: &Record) -> String {
    let latest = record.latest.as_ref().map(|latest| latest.version);
    // Before there is a snapshot, a notice may have a status.
    let is_asked = |entry: &&TimelineEntry| latest.is_none_or(|latest| entry.version == latest);
    let said = record.timeline.iter().filter(is_asked).find_map(|entry| entry.said.clone());
    let status = latest.map(|latest| latest.status).unwrap_or_default();
    match said {
        Some(said) if status == Status::Unknown => said,
        Some(_) | None => status.as_str().to_owned(),
    }
}

fn word(version: &Version) -> String {
    version.status.as_str().to_owned()
}

/// The status of an event, if it has one.
fn status_of_event(entry: &TimelineEntry) -> Option<String> {
    let known = (entry.version.status != Status::Unknown).then(|| word(&entry.version));
    entry.said.clone().or(known)
}

fn mode_of(record: &Record) -> Option<&'static str> {
    let said = record.mode.map(|(_, mode)| mode);
    let mode = said.or_else(|| record.latest.as_ref().map(|_| Mode::default()))?;
    Some(match mode {
        Mode::Live => "LIVE",
        Mode::Test => "TEST",
    })
}

fn names_of(stored: &StoredOrder) -> Vec<OrderNameView> {
    let second = stored.second_names.iter().map(|(name, contested)| (name, *contested));
    let invoices = stored.record.invoices.iter().map(|(_, invoice)| (invoice, false));
    let others =
        second.chain(invoices).filter(|(name, contested)| *contested || **name != stored.order);
    others.map(|(name, contested)| OrderNameView { name: name.to_string(), contested }).collect()
}

/// Another name of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OrderName)]
pub struct OrderNameView {
    /// The name.
    #[schema(example = "external-id:SO-7")]
    pub name: String,
    /// Whether it was seen beside several ids, and so leads to none of them. An invoice number
    /// never leads to an order.
    pub contested: bool,
}

/// Why an order holds what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Why)]
pub struct WhyView {
    /// The rule that decides, for programs.
    #[schema(example = "promised")]
    pub rule: &'static str,
    /// The same as a sentence.
    #[schema(example = "The goods have not left yet, so the order's lines are committed.")]
    pub text: &'static str,
}

impl WhyView {
    /// The rule that decides under a policy.
    pub fn new(record: &Record, policy: &Policy) -> Self {
        let why = desired(record, policy).why;
        Self { rule: why.as_str(), text: sentence(why) }
    }
}

const fn sentence(why: Why) -> &'static str {
    match why {
        Why::NoSnapshot => "No snapshot of the order is known yet, so it holds nothing.",
        Why::Released => "A person released the order, so it holds nothing.",
        Why::Deleted => "The order was deleted, so it holds nothing.",
        Why::TestMode => "The order's mode is TEST, so it holds nothing.",
        Why::Incomplete => "The order is not placed yet, so it holds nothing.",
        Why::Refunded => "The money was refunded before the goods left, so it holds nothing.",
        Why::Cancelled => "The order is cancelled, so it holds nothing.",
        Why::RefundedInFull => "Every line is refunded in full, so it holds nothing.",
        Why::Held => "A person holds the order, so it holds what its latest snapshot says.",
        Why::Left => "The goods have left, so the order's lines are fulfilled.",
        Why::Promised => "The goods have not left yet, so the order's lines are committed.",
    }
}

/// What an order holds of one stock item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OrderHold)]
pub struct OrderHoldView {
    /// The stock item.
    #[schema(example = "product:P1")]
    pub key: String,
    /// Units that are promised.
    #[schema(example = "2")]
    pub committed: String,
    /// Units that have left.
    #[schema(example = "0")]
    pub fulfilled: String,
}

impl From<(&StockKey, &Hold)> for OrderHoldView {
    fn from((key, hold): (&StockKey, &Hold)) -> Self {
        Self {
            key: key.to_string(),
            committed: hold.committed.to_string(),
            fulfilled: hold.fulfilled.to_string(),
        }
    }
}
