//! `GET /v1/queues`

use axum::Json;
use axum::extract::State;

use super::refusals::Refusals;
use super::request::{NoParameters, Query};
use super::views::QueuesView;
use super::{Backends, broker_problem, in_time, store_problem};
use crate::http::problem::Problem;

/// Shows how much is waiting where
#[utoipa::path(
    get,
    path = "/v1/queues",
    operation_id = "show_queues",
    tag = "queues",
    responses(
        (status = 200, description = "The depth of each queue.", body = QueuesView),
        Refusals,
    ),
)]
pub(super) async fn show(
    State(backends): State<Backends>,
    _: Query<NoParameters>,
) -> Result<Json<QueuesView>, Problem> {
    let depth = in_time(backends.broker.depth()).await.map_err(|error| broker_problem(&error))?;
    let parked =
        backends.store.dead_letter_counts().await.map_err(|error| store_problem(&error))?;
    let parked = parked.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
    Ok(Json(QueuesView::new(&depth, parked, crate::clock::now())))
}
