//! Orders in lists.

use serde::Serialize;
use utoipa::ToSchema;

use super::{OrderHoldView, OrderNameView, WhyView, mode_of, names_of, status_of};
use crate::console::order_list::{FLAGS, ListedOrder};
use crate::domain::{List, Policy};
use crate::store::orders::StoredOrder;

/// The summary of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OrderHead)]
pub struct OrderHeadView {
    /// The shop.
    #[schema(example = "my_site_1")]
    pub site: String,
    /// Its primary name: its id, or its only known name.
    #[schema(example = "id:1001")]
    pub order: String,
    /// The status of the latest snapshot, as it was written if it is not a known one; `UNKNOWN` if
    /// there is none. For an order of a third-party store whose details are awaited, the status of
    /// the latest notice.
    #[schema(example = "PROCESSED")]
    pub status: String,
    /// `TEST` or `LIVE`; null while it is unknown and there is no snapshot.
    #[schema(required, example = "LIVE")]
    pub mode: Option<&'static str>,
    /// Whether the order is deleted and was not reinstated.
    pub deleted: bool,
    /// Since when the goods have left; null if they have not.
    #[schema(required, example = "2023-01-13T09:00:00.000Z")]
    pub left_since: Option<String>,
    /// Its other names: second names, and the newest invoice numbers.
    pub names: Vec<OrderNameView>,
    /// Why it holds what it holds.
    pub why: WhyView,
    /// What it holds now.
    pub holds: Vec<OrderHoldView>,
}

impl OrderHeadView {
    /// The summary of an order under a policy.
    pub fn new(stored: &StoredOrder, policy: &Policy) -> Self {
        let record = &stored.record;
        Self {
            site: stored.site.to_string(),
            order: stored.order.to_string(),
            status: status_of(record),
            mode: mode_of(record),
            deleted: record.corrections_in_force().deleted.is_some(),
            left_since: record.departure().map(|departure| departure.since.to_string()),
            names: names_of(stored),
            why: WhyView::new(record, policy),
            holds: record.applied.iter().map(OrderHoldView::from).collect(),
        }
    }
}

/// An order in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OrderSummary)]
pub struct OrderSummaryView {
    /// The order.
    #[serde(flatten)]
    pub head: OrderHeadView,
    /// When the order was changed last.
    #[schema(example = "2023-01-13T09:00:00.250Z")]
    pub changed_at: String,
    /// Its flags: ambiguous, contested, after-deletion, unmapped, waiting, corrected.
    #[schema(example = json!(["unmapped"]))]
    pub flags: Vec<&'static str>,
}

impl OrderSummaryView {
    /// An order of a list, under a policy.
    pub fn new(listed: &ListedOrder, policy: &Policy) -> Self {
        let lists = listed.order.record.lists;
        let flags = FLAGS.into_iter().filter(|flag| lists.has(*flag));
        Self {
            head: OrderHeadView::new(&listed.order, policy),
            changed_at: listed.changed_at.to_string(),
            flags: flags.map(List::as_str).collect(),
        }
    }
}
