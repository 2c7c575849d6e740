//! The answer to a correction.

use serde::Serialize;
use utoipa::ToSchema;

use super::{OrderHoldView, state_of};
use crate::requests::corrections::{CorrectionAnswer, CorrectionRequest};
use crate::store::orders::StoredOrder;

/// A correction of an order and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CorrectionAnswer)]
pub struct CorrectionAnswerView {
    /// The message that counts: the first with this reference.
    pub message_id: String,
    /// The shop.
    #[schema(example = "my_site_1")]
    pub site: String,
    /// The order, by the name that it is shown by.
    #[schema(example = "id:1001")]
    pub order: String,
    /// What it does: release, hold or ship.
    #[schema(example = "release")]
    pub action: &'static str,
    /// The name under which it counts once.
    #[schema(example = "TICKET-7")]
    pub reference: String,
    /// `applied`, or only `queued` so far.
    #[schema(example = "applied")]
    pub state: &'static str,
    /// What the order held before.
    pub before: Vec<OrderHoldView>,
    /// What the order holds now; null while the correction is queued.
    #[schema(required)]
    pub after: Option<Vec<OrderHoldView>>,
}

impl CorrectionAnswerView {
    /// The request and its result.
    pub fn new(request: &CorrectionRequest, answer: &CorrectionAnswer) -> Self {
        let holds =
            |order: &StoredOrder| order.record.applied.iter().map(OrderHoldView::from).collect();
        Self {
            message_id: answer.message_id.to_string(),
            site: request.site.to_string(),
            order: answer.before.order.to_string(),
            action: request.action.as_str(),
            reference: request.reference.to_string(),
            state: state_of(answer.progress),
            before: holds(&answer.before),
            after: answer.after.as_ref().map(holds),
        }
    }
}
