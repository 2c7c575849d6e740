//! `POST /v1/sites/{site}/orders/{name}/corrections`

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::ToSchema;

use super::access::Actor;
use super::guard::Patience;
use super::receipts::SOURCE;
use super::refusals::{BodyRefusals, PROBLEM_JSON, Refusals};
use super::request::{JsonBody, NoParameters, Path, Query, invalid, parse_site};
use super::views::CorrectionAnswerView;
use super::{Backends, ask_problem, orders};
use crate::domain::{Action, Identifier, Note, Shown};
use crate::http::problem::{Body, Problem, ProblemCode};
use crate::requests::corrections::{self, CorrectionError, CorrectionRequest};
use crate::requests::{AskError, Progress};

/// A correction of an order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCorrection)]
pub(super) struct CorrectionBody {
    /// `release`: the order holds nothing. `hold`: it holds what its latest snapshot says. `ship`:
    /// its goods have left.
    #[schema(example = "release")]
    action: String,
    /// The `shown` of the order as the person saw it; null only where that was null.
    shown: Option<String>,
    /// The name under which the correction counts once for this order.
    #[schema(value_type = String, max_length = 256, example = "TICKET-7")]
    reference: Identifier,
    /// Why; kept with the correction, and shown.
    #[schema(value_type = String, max_length = 256, example = "the parcel was lost")]
    reason: Identifier,
}

/// Corrects what an order holds
///
/// Once for each order and reference: to ask again is safe, and answers with the first message. A
/// release or a hold decides until the order says something else than was shown.
#[utoipa::path(
    post,
    path = "/v1/sites/{site}/orders/{name}/corrections",
    operation_id = "correct_order",
    tag = "orders",
    params(
        ("site" = String, Path, description = "The shop."),
        ("name" = String, Path, description = "Any name of the order, bare or as `kind:identifier`, a slash as %2F.", example = "id:1001"),
    ),
    request_body = CorrectionBody,
    responses(
        (status = 200, description = "The correction is in effect.", body = CorrectionAnswerView),
        (status = 202, description = "It is durable, and not in effect within 5 s.", body = CorrectionAnswerView),
        (status = 404, description = "No event of the order was applied, or there is no such shop.", body = Body<'static>, content_type = PROBLEM_JSON),
        (status = 409, description = "The order says something else than was shown, has no snapshot, or is one of several of the name; or the reference is taken, or the correction became a dead letter.", body = Body<'static>, content_type = PROBLEM_JSON),
        (status = 410, description = "The order was closed.", body = Body<'static>, content_type = PROBLEM_JSON),
        BodyRefusals,
        Refusals,
    ),
)]
pub(super) async fn correct(
    State(backends): State<Backends>,
    Path((site, name)): Path<(String, String)>,
    _: Query<NoParameters>,
    Extension(Patience(patience)): Extension<Patience>,
    Extension(actor): Extension<Actor>,
    JsonBody(body): JsonBody<CorrectionBody>,
) -> Result<(StatusCode, Json<CorrectionAnswerView>), Problem> {
    let action = Action::parse(&body.action);
    let action = action.ok_or_else(|| invalid("action: must be release, hold or ship"))?;
    let shown = body.shown.as_deref().map(Shown::parse).transpose();
    let shown = shown.map_err(|error| invalid(format!("shown: {error}")))?;
    let order = orders::find(&backends, &parse_site(&site)?, &name).await?;
    if shown.is_none() && order.record.shown().is_some() {
        return Err(invalid("shown: is missing; showing the order answers with it"));
    }
    let request = CorrectionRequest {
        site: order.site,
        order: order.order,
        action,
        shown,
        reference: body.reference,
        note: Note { reason: Some(body.reason), actor: Some(actor.name()) },
    };
    let (broker, store) = (&*backends.broker, &*backends.store);
    let answer = corrections::ask(broker, store, &request, SOURCE, patience).await;
    let answer = answer.map_err(|error| problem(&error))?;
    let status = match answer.progress {
        Progress::Applied | Progress::Repeated => StatusCode::OK,
        Progress::Queued => StatusCode::ACCEPTED,
    };
    Ok((status, Json(CorrectionAnswerView::new(&request, &answer))))
}

fn problem(error: &CorrectionError) -> Problem {
    let code = match error {
        CorrectionError::Unknown { .. } => ProblemCode::OrderUnknown,
        CorrectionError::NoSnapshot(_) => ProblemCode::CorrectionNoSnapshot,
        CorrectionError::Outdated(_) => ProblemCode::CorrectionOutdated,
        CorrectionError::ReferenceReused(_) => ProblemCode::CorrectionReferenceReused,
        CorrectionError::Ask(AskError::DeadLetter { .. }) => ProblemCode::CorrectionDeadLetter,
        CorrectionError::Ask(error) => return ask_problem(error),
    };
    Problem::new(code, error.to_string())
}
