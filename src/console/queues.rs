//! `GET /v1/queues`

use axum::Json;
use axum::extract::State;

use super::refusals::Refusals;
use super::request::{NoParameters, Query};
use super::views::QueuesView;
use super::{Backends, in_time};
use crate::http::problem::Problem;

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
    let depth = in_time(backends.broker.depth()).await?;
    let counts = backends.store.dead_letter_counts().await?;
    let parked = counts.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
    Ok(Json(QueuesView::new(&depth, parked, crate::clock::now())))
}
