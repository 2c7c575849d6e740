//! Sites and stock items.

use serde::Serialize;
use utoipa::ToSchema;

use super::{ChangeView, CountsView, ItemReceiptView, WhyView, status_of};
use crate::broker::QueueDepth;
use crate::console::item_detail::ItemDetail;
use crate::domain::{Policy, Site};
use crate::store::orders::StoredOrder;
use crate::store::{HeldBy, StockItem};

/// A shop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Site)]
pub struct SiteView {
    /// Its name.
    #[schema(example = "my_site_1")]
    pub site: String,
}

impl From<&Site> for SiteView {
    fn from(site: &Site) -> Self {
        Self { site: site.to_string() }
    }
}

/// A stock item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = StockItem)]
pub struct StockItemView {
    /// The shop.
    #[schema(example = "my_site_1")]
    pub site: String,
    /// Its name within the shop.
    #[schema(example = "product:P1")]
    pub key: String,
    /// Its name in the catalogue, otherwise the newest in a line of an order; left out if there is
    /// none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// Whether its stock is tracked: not if the catalogue says that it is not managed, nor for a
    /// `line:` key, which cannot be received. Only a tracked item can be oversold.
    pub tracked: bool,
    /// Its counts; `available` below zero is an oversale.
    #[serde(flatten)]
    pub counts: CountsView,
}

impl From<&StockItem> for StockItemView {
    fn from(item: &StockItem) -> Self {
        Self {
            site: item.site.to_string(),
            key: item.key.to_string(),
            name: item.name.clone(),
            tracked: item.is_tracked(),
            counts: CountsView::from(item.counts),
        }
    }
}

/// A stock item and the orders that hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = StockDetail)]
pub struct StockDetailView {
    /// The item.
    #[serde(flatten)]
    pub item: StockItemView,
    /// The orders that hold some of it, in order of id.
    pub holds: Vec<HoldView>,
    /// The `cursor` of the next page of `holds`; null on the last page.
    #[schema(required)]
    pub holds_next_cursor: Option<String>,
    /// The orders that were closed.
    pub closed: ClosedView,
    /// What was received of it, in order of reference: the first 100 receipts.
    pub receipts: Vec<ItemReceiptView>,
    /// The `cursor` of the next page of its receipts, which has a route of its own; null if these
    /// are all.
    #[schema(required)]
    pub receipts_next_cursor: Option<String>,
    /// Its newest changes, newest first: at most 10, of the last 5,000 changes of the shop.
    pub last_changes: Vec<ChangeView>,
    /// Events that may still change these numbers.
    pub pending: PendingView,
}

/// Where the lists of an item go on.
#[derive(Debug, Clone, Default)]
pub struct ItemCursors {
    /// After the orders that hold it.
    pub holds: Option<String>,
    /// After its receipts.
    pub receipts: Option<String>,
}

impl StockDetailView {
    /// The item; `depth` is `None` if the broker did not report it.
    pub fn new(item: &ItemDetail, cursors: ItemCursors, depth: Option<&QueueDepth>) -> Self {
        let ItemDetail { detail, orders, receipts, changes, policy } = item;
        let holds = detail.holds.items.iter().zip(orders);
        Self {
            item: StockItemView::from(&detail.item),
            holds: holds.map(|(held, order)| HoldView::new(held, order.as_ref(), policy)).collect(),
            holds_next_cursor: cursors.holds,
            receipts: receipts.items.iter().map(ItemReceiptView::from).collect(),
            receipts_next_cursor: cursors.receipts,
            last_changes: changes
                .iter()
                .map(|change| ChangeView::new(&detail.item.site, change))
                .collect(),
            closed: ClosedView {
                orders: detail.closed_orders,
                fulfilled: detail.closed_fulfilled.to_string(),
            },
            pending: PendingView {
                queued: depth.map(|depth| depth.work_ready.saturating_add(depth.work_in_flight)),
                retrying: depth.map(|depth| depth.retry_ready),
                dead: detail.dead,
            },
        }
    }
}

/// What one order holds of a stock item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Hold)]
pub struct HoldView {
    /// The order.
    #[schema(example = "id:1001")]
    pub order: String,
    /// Units that are promised to it.
    #[schema(example = "2")]
    pub committed: String,
    /// Units that have left for it.
    #[schema(example = "0")]
    pub fulfilled: String,
    /// The status of the order; left out if the order could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "PROCESSED")]
    pub status: Option<String>,
    /// Why the order holds it; left out if the order could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub why: Option<WhyView>,
}

impl HoldView {
    /// What an order holds, and why it does so under a policy.
    pub fn new(held: &HeldBy, order: Option<&StoredOrder>, policy: &Policy) -> Self {
        Self {
            order: held.order.to_string(),
            committed: held.hold.committed.to_string(),
            fulfilled: held.hold.fulfilled.to_string(),
            status: order.map(|order| status_of(&order.record)),
            why: order.map(|order| WhyView::new(&order.record, policy)),
        }
    }
}

/// What closed orders hold of a stock item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Closed)]
pub struct ClosedView {
    /// How many orders that held some of it were closed.
    pub orders: u64,
    /// Units that have left for them.
    #[schema(example = "37.5")]
    pub fulfilled: String,
}

/// Events that have not reached the stock yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Pending)]
pub struct PendingView {
    /// Events of all sites that wait for a worker or are being applied; null if the queue did not
    /// answer, and for a user of some sites.
    #[schema(required)]
    pub queued: Option<u64>,
    /// Events of all sites that wait for their next attempt; null if the queue did not answer,
    /// and for a user of some sites.
    #[schema(required)]
    pub retrying: Option<u64>,
    /// Dead letters of this site.
    pub dead: u64,
}
