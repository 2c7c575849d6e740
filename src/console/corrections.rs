//! `POST /v1/sites/{site}/orders/{name}/corrections`

use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::orders::{self, OrderPath};
use super::receipts::{SOURCE, status_of};
use super::refusals::{BodyRefusals, PROBLEM_JSON, Refusals};
use super::request::{ChangeRequest, JsonBody, invalid};
use super::views::CorrectionAnswerView;
use crate::domain::{Action, Identifier, Note, Shown};
use crate::http::problem::{Body, Problem};
use crate::requests::corrections::{self, CorrectionRequest};

/// A correction of an order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCorrection)]
pub(super) struct CorrectionBody {
    /// `release`: the order holds nothing. `hold`: it holds what its latest snapshot says. `ship`:
    /// its goods have left.
    #[schema(example = "release")]
    action: String,
    /// The `shown` of the order as the person saw it; null only if that was null.
    shown: Option<String>,
    /// The name under which the correction counts once for this order.
    #[schema(value_type = String, max_length = 256, example = "TICKET-7")]
    reference: Identifier,
    /// Why; recorded with the correction and shown.
    #[schema(value_type = String, max_length = 256, example = "the parcel was lost")]
    reason: Identifier,
}

/// Corrects an order
///
/// Once for each order and reference: a repeated request is safe, and returns the first message. A
/// release or a hold is in force until the order's content differs from what was shown.
#[utoipa::path(
    post,
    path = "/v1/sites/{site}/orders/{name}/corrections",
    tag = "orders",
    params(OrderPath),
    request_body = CorrectionBody,
    responses(
        (status = 200, description = "The correction is in effect.", body = CorrectionAnswerView),
        (status = 202, description = "The correction is durable, but was not applied within 5 s.", body = CorrectionAnswerView),
        (status = 404, description = "No event of the order was applied, or there is no such shop.", body = Body<'static>, content_type = PROBLEM_JSON),
        (status = 409, description = "The order differs from what was shown, has no snapshot, or is one of several of that name; the reference is taken; or the correction became a dead letter.", body = Body<'static>, content_type = PROBLEM_JSON),
        (status = 410, description = "The order was closed.", body = Body<'static>, content_type = PROBLEM_JSON),
        BodyRefusals,
        Refusals,
    ),
)]
pub(super) async fn correct_order(
    ChangeRequest { backends, path, caller, timeout }: ChangeRequest<OrderPath>,
    JsonBody(body): JsonBody<CorrectionBody>,
) -> Result<(StatusCode, Json<CorrectionAnswerView>), Problem> {
    let action = Action::parse(&body.action);
    let action = action.ok_or_else(|| invalid("action: must be release, hold or ship"))?;
    let order = orders::find(&backends, &path).await?;
    let shown = body.shown.as_deref().map(Shown::parse).transpose();
    let shown = shown.map_err(|error| invalid(format!("shown: {error}")))?;
    if shown.is_none() && order.record.shown().is_some() {
        return Err(invalid("shown: is missing; copy it from the order as it was shown"));
    }
    let request = CorrectionRequest {
        site: order.site,
        order: order.order,
        action,
        shown,
        reference: body.reference,
        note: Note { reason: Some(body.reason), actor: Some(caller.name) },
    };
    let (broker, store) = (&*backends.broker, &*backends.store);
    let answer = corrections::ask(broker, store, &request, SOURCE, timeout).await?;
    let view = CorrectionAnswerView::new(&request, &answer);
    Ok((status_of(answer.progress), Json(view)))
}
