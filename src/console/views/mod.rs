//! The shapes of the API: the only place where data of the Store becomes JSON.
//!
//! The console answers with them, and the commands print them. Quantities are decimal
//! strings, times are RFC 3339 in UTC with milliseconds, orders and stock keys are
//! `kind:identifier`. Domain types never serialize into an answer by themselves, so a change of
//! the stored state is no change of the API.

mod catalogue;
mod change;
mod correction;
mod dead_letter;
mod order;
mod policy;
mod process;
mod queues;
mod receipt;
mod replay;
mod status;
mod stock;

use serde::Serialize;
use utoipa::ToSchema;

use crate::requests::Progress;

pub use catalogue::CatalogueEntryView;
pub use change::{ChangeView, CountsView};
pub use correction::CorrectionAnswerView;
pub use dead_letter::{BodyView, DeadLetterDetailView, DeadLetterView, HeadersView};
pub(super) use order::status_of;
pub use order::{
    CorrectionView, LineView, OrderHeadView, OrderHoldView, OrderNameView, OrderSummaryView,
    OrderView, RefundLineView, RefundView, SnapshotView, TimelineEntryView, WhyView,
};
pub use policy::PolicyView;
pub use process::{DutyView, ProcessView};
pub use queues::{DeadQueueView, PauseView, QueuesView, RetryQueueView, WorkQueueView};
pub use receipt::{ItemReceiptView, PendingEventsView, ReceiptView, VoidView};
pub use replay::{
    DeadLetterCommandView, DeadLetterForecastView, DeadLetterGroupView, ForecastView, ReplayView,
    StockEffectView,
};
pub use status::{AuditView, ParkedView, SiteSeenView, SitesSeenView, StatusView, WebhooksView};
pub use stock::{
    ClosedView, HoldView, ItemCursors, PendingView, SiteView, StockDetailView, StockItemView,
};

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = List)]
pub struct ListView<T: ToSchema> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// The `cursor` of the next page; null on the last page.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

/// A change's progress, in one word.
const fn state_of(progress: Progress) -> &'static str {
    match progress {
        Progress::Applied | Progress::Repeated => "applied",
        Progress::Queued => "queued",
    }
}
