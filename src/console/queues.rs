//! `GET /v1/queues`, `POST /v1/queues/pause` and `POST /v1/queues/resume`

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::access::Caller;
use super::refusals::{BodyRefusals, Refusals};
use super::request::{JsonBody, NoParameters, Query};
use super::views::QueuesView;
use super::{Backends, in_time};
use crate::clock;
use crate::domain::{Identifier, Pause};
use crate::http::problem::Problem;

/// Why the work queue is paused or resumed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QueueChange)]
pub(super) struct QueueChangeBody {
    /// The reason; it is recorded and shown.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256)]
    reason: Option<Identifier>,
}

/// Shows the depth of the queues
#[utoipa::path(
    get,
    path = "/v1/queues",
    tag = "queues",
    responses(
        (status = 200, description = "The depth of each queue.", body = QueuesView),
        Refusals,
    ),
)]
pub(super) async fn show_queues(
    State(backends): State<Backends>,
    _: Query<NoParameters>,
) -> Result<Json<QueuesView>, Problem> {
    let paused = backends.store.paused().await?;
    answer(&backends, paused.as_ref()).await
}

/// Pauses the work queue: workers take nothing from it until it is resumed, and webhooks are still
/// received
#[utoipa::path(
    post,
    path = "/v1/queues/pause",
    tag = "queues",
    request_body = QueueChangeBody,
    responses(
        (status = 200, description = "The queues, which are paused; an earlier pause stays as it is.", body = QueuesView),
        BodyRefusals,
        Refusals,
    ),
)]
pub(super) async fn pause_queue(
    State(backends): State<Backends>,
    _: Query<NoParameters>,
    caller: Caller,
    JsonBody(body): JsonBody<QueueChangeBody>,
) -> Result<Json<QueuesView>, Problem> {
    let pause = Pause { actor: caller.name, at: clock::now(), reason: body.reason };
    let paused = backends.store.pause(&pause).await?;
    log("the queue is paused", &pause.actor, pause.reason.as_ref());
    answer(&backends, Some(&paused)).await
}

/// Resumes the work queue
#[utoipa::path(
    post,
    path = "/v1/queues/resume",
    tag = "queues",
    request_body = QueueChangeBody,
    responses(
        (status = 200, description = "The queues; workers take from the work queue within seconds.", body = QueuesView),
        BodyRefusals,
        Refusals,
    ),
)]
pub(super) async fn resume_queue(
    State(backends): State<Backends>,
    _: Query<NoParameters>,
    caller: Caller,
    JsonBody(body): JsonBody<QueueChangeBody>,
) -> Result<Json<QueuesView>, Problem> {
    backends.store.resume().await?;
    log("the queue is resumed", &caller.name, body.reason.as_ref());
    answer(&backends, None).await
}

async fn answer(backends: &Backends, paused: Option<&Pause>) -> Result<Json<QueuesView>, Problem> {
    let depth = in_time(backends.broker.depth()).await?;
    let counts = backends.store.dead_letter_counts().await?;
    let parked = counts.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
    Ok(Json(QueuesView::new(&depth, parked, paused, clock::now())))
}

fn log(what: &str, actor: &Identifier, reason: Option<&Identifier>) {
    tracing::info!(%actor, reason = reason.map(tracing::field::display), "{what}");
}
