//! Orders: what is known of one, what it holds, and what happened to it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{
    Hold, Latest, Line, OrderState, Policy, Status, StockKey, TimelineEntry, Version,
};
use crate::store::StoredOrder;

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Order)]
#[expect(clippy::struct_excessive_bools, reason = "the API's shape: each is a fact of its own")]
pub struct OrderView {
    /// The shop.
    #[schema(example = "my_site_1")]
    pub site: String,
    /// Its name within the shop.
    #[schema(example = "id:1001")]
    pub order: String,
    /// The token of this state, in hexadecimal; another token is another state.
    #[schema(example = "9c1b5f0e6a7d2c34")]
    pub revision: String,
    /// The latest status, `UNKNOWN` if none is known; of an order of a third-party store, whose
    /// details are awaited, the fulfillment status as that store writes it.
    #[schema(example = "PROCESSED")]
    pub status: String,
    /// The payment status of an order of a third-party store, as that store writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub payment_status: Option<String>,
    /// `TEST` or `LIVE`; null while no snapshot of the order is known.
    #[schema(required, example = "LIVE")]
    pub mode: Option<&'static str>,
    /// Whether the order was deleted; that is final.
    pub deleted: bool,
    /// Whether any event said that the goods had left.
    pub ever_shipped: bool,
    /// Whether only notices of the order are known, and not its lines.
    pub awaiting_details: bool,
    /// Whether two events of the same time, class and status contradict each other, so that only
    /// a fingerprint decided between them.
    pub ambiguous: bool,
    /// Whether another order of the site bears the same id or external id.
    pub alias_conflict: bool,
    /// What the order holds now.
    pub holds: Vec<OrderHoldView>,
    /// How many lines have no stock key under the policy in force, and so hold nothing.
    pub unmapped_lines: usize,
    /// How many lines came with another stock key than before, in the events of the timeline
    /// together; each of those says how many of its own.
    pub rekeyed_lines: u64,
    /// The latest snapshot; null while none is known.
    #[schema(required)]
    pub snapshot: Option<SnapshotView>,
    /// The events with the highest versions, highest first; at most 64.
    pub timeline: Vec<TimelineEntryView>,
}

impl OrderView {
    /// The order as it is stored; lines are given the stock keys of `policy`.
    pub fn new(stored: &StoredOrder, policy: &Policy) -> Self {
        let state = &stored.state;
        let snapshot = state.latest.as_ref().map(|latest| SnapshotView::new(latest, policy));
        Self {
            site: stored.site.to_string(),
            order: stored.order.to_string(),
            revision: format!("{:016x}", stored.revision.0),
            status: status(state),
            payment_status: state
                .notice
                .as_ref()
                .and_then(|notice| notice.status.payment.as_ref())
                .map(ToString::to_string),
            mode: state.latest.as_ref().map(mode),
            deleted: state.deleted.is_some(),
            ever_shipped: state.ever_shipped,
            awaiting_details: state.notice.is_some()
                && state.deleted.is_none()
                && state.latest.is_none(),
            ambiguous: state.ambiguous,
            alias_conflict: stored.alias_conflict,
            holds: state.applied.iter().map(OrderHoldView::from).collect(),
            unmapped_lines: snapshot.as_ref().map_or(0, SnapshotView::unmapped_lines),
            rekeyed_lines: state.timeline.iter().map(|entry| entry.rekeyed_lines).sum(),
            snapshot,
            timeline: state.timeline.iter().map(TimelineEntryView::from).collect(),
        }
    }
}

fn status(state: &OrderState) -> String {
    let noticed = || state.notice.as_ref()?.status.fulfillment.as_ref().map(ToString::to_string);
    match &state.latest {
        Some(latest) => latest.version.status.as_str().to_owned(),
        None => noticed().unwrap_or_else(|| Status::Unknown.as_str().to_owned()),
    }
}

const fn mode(latest: &Latest) -> &'static str {
    if latest.snapshot.test { "TEST" } else { "LIVE" }
}

/// What an order keeps of one stock item.
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

/// What the latest event said of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Snapshot)]
pub struct SnapshotView {
    /// When that event happened.
    #[schema(example = "2023-01-12T18:14:23.361Z")]
    pub event_timestamp: String,
    /// The order's lines.
    pub lines: Vec<LineView>,
}

impl SnapshotView {
    fn new(latest: &Latest, policy: &Policy) -> Self {
        Self {
            event_timestamp: event_timestamp(&latest.version),
            lines: latest.snapshot.lines.iter().map(|line| LineView::new(line, policy)).collect(),
        }
    }

    fn unmapped_lines(&self) -> usize {
        self.lines.iter().filter(|line| line.key.is_none()).count()
    }
}

/// One line of an order; names that the order does not give are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Line)]
pub struct LineView {
    /// The stock item under the policy in force; null for an unmapped line.
    #[schema(required, example = "product:P1")]
    pub key: Option<String>,
    /// Units ordered.
    #[schema(example = "2")]
    pub quantity: String,
    /// The line's own id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub id: Option<String>,
    /// The product variation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub variation_id: Option<String>,
    /// The product.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub product_id: Option<String>,
    /// The product variation's name in another system.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub external_variation_id: Option<String>,
    /// The product's name in another system.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub external_product_id: Option<String>,
    /// The stock keeping unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sku: Option<String>,
}

impl LineView {
    fn new(line: &Line, policy: &Policy) -> Self {
        let text = |name: &Option<_>| name.as_ref().map(ToString::to_string);
        Self {
            key: line.key(&policy.key_precedence).map(|key| key.to_string()),
            quantity: line.quantity.to_string(),
            id: text(&line.id),
            variation_id: text(&line.variation),
            product_id: text(&line.product),
            external_variation_id: text(&line.external_variation),
            external_product_id: text(&line.external_product),
            sku: text(&line.sku),
        }
    }
}

/// One event of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = TimelineEntry)]
pub struct TimelineEntryView {
    /// The message that brought it first.
    #[schema(example = "01890a5d-ac96-774b-bcce-b302099a8057")]
    pub message_id: String,
    /// Its name.
    #[schema(example = "ECOMM_ORDER_UPDATED")]
    pub event_type: String,
    /// When it happened.
    #[schema(example = "2023-01-12T18:14:23.361Z")]
    pub event_timestamp: String,
    /// When that message was received.
    #[schema(example = "2023-01-12T18:14:24.002Z")]
    pub received_at: String,
    /// What it did: applied, superseded, duplicate or ignored.
    #[schema(example = "applied")]
    pub outcome: &'static str,
    /// Why, where that says something.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "after_deletion")]
    pub reason: Option<&'static str>,
    /// How many of its lines had another stock key than in the snapshot that was the latest when
    /// it came; left out if none had.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 1)]
    pub rekeyed_lines: Option<u64>,
}

impl From<&TimelineEntry> for TimelineEntryView {
    fn from(entry: &TimelineEntry) -> Self {
        Self {
            message_id: entry.message_id.to_string(),
            event_type: entry.event_type.to_string(),
            event_timestamp: event_timestamp(&entry.version),
            received_at: entry.received_at.to_string(),
            outcome: entry.outcome.as_str(),
            reason: entry.reason.map(crate::domain::Reason::as_str),
            rekeyed_lines: (entry.rekeyed_lines > 0).then_some(entry.rekeyed_lines),
        }
    }
}

fn event_timestamp(version: &Version) -> String {
    version.at().to_string()
}
