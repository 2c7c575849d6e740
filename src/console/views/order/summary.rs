//! Orders in lists.

use serde::Serialize;
use utoipa::ToSchema;

use super::{OrderHoldView, OrderNameView};
use super::{WhyView, left_since, mode_of, names_of, status_of};
use crate::console::order_list::{FLAGS, ListedOrder};
use crate::domain::{List, Policy};

/// An order in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OrderSummary)]
pub struct OrderSummaryView {
    /// The shop.
    #[schema(example = "my_site_1")]
    pub site: String,
    /// Its primary name.
    #[schema(example = "id:1001")]
    pub order: String,
    /// The status of the latest snapshot.
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
    /// When the order was changed last.
    #[schema(example = "2023-01-13T09:00:00.250Z")]
    pub changed_at: String,
    /// Its other names.
    pub names: Vec<OrderNameView>,
    /// Its flags: ambiguous, contested, after-deletion, unmapped, waiting, corrected.
    #[schema(example = json!(["unmapped"]))]
    pub flags: Vec<&'static str>,
    /// Why it holds what it holds.
    pub why: WhyView,
    /// What it holds now.
    pub holds: Vec<OrderHoldView>,
}

impl OrderSummaryView {
    /// An order of a list, under a policy.
    pub fn new(listed: &ListedOrder, policy: &Policy) -> Self {
        let record = &listed.order.record;
        let flags = FLAGS.into_iter().filter(|flag| record.lists.has(*flag));
        Self {
            site: listed.order.site.to_string(),
            order: listed.order.order.to_string(),
            status: status_of(record),
            mode: mode_of(record),
            deleted: record.corrections_in_force().deleted.is_some(),
            left_since: left_since(record),
            changed_at: listed.changed_at.to_string(),
            names: names_of(&listed.order),
            flags: flags.map(List::as_str).collect(),
            why: WhyView::new(record, policy),
            holds: record.applied.iter().map(OrderHoldView::from).collect(),
        }
    }
}
