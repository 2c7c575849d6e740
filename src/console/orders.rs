//! `GET /v1/sites/{site}/orders/{order}`

use axum::Json;
use axum::extract::State;

use super::openapi::{PROBLEM_JSON, Refusals};
use super::request::{NoParameters, Path, Query, parse_order, parse_site};
use super::views::OrderView;
use super::{Backends, store_problem};
use crate::domain::Timestamp;
use crate::http::problem::{Body, Problem, ProblemCode};

/// What is said of an order that was closed, as all that came before a time may be.
fn closed_text(before: Timestamp) -> String {
    format!(
        "the order was closed, as nothing had come for long before {before}: what has left for it \
         stays counted, its details are gone; orders.retention says when"
    )
}

/// Shows an order: what it holds, and why
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/orders/{order}",
    operation_id = "show_order",
    tag = "stock",
    params(
        ("site" = String, Path, description = "The shop."),
        ("order" = String, Path, description = "The order as `kind:identifier`, a slash as %2F.", example = "store-order:12345%2F678"),
    ),
    responses(
        (status = 200, description = "The order.", body = OrderView),
        (status = 410, description = "The order was closed: what has left for it stays counted, its details are gone.", body = Body<'static>, content_type = PROBLEM_JSON),
        (status = 404, description = "No event of the order was applied.", body = Body<'static>, content_type = PROBLEM_JSON),
        Refusals,
    ),
)]
pub(super) async fn show(
    State(backends): State<Backends>,
    Path((site, order)): Path<(String, String)>,
    _: Query<NoParameters>,
) -> Result<Json<OrderView>, Problem> {
    let (site, order) = (parse_site(&site)?, parse_order(&order)?);
    let stored =
        backends.store.order(&site, &order).await.map_err(|error| store_problem(&error))?;
    let Some(stored) = stored else {
        let closed = backends.store.closed_order(&site, &order).await;
        return Err(match closed.map_err(|error| store_problem(&error))? {
            Some(before) => Problem::new(ProblemCode::OrderClosed, closed_text(before)),
            None => Problem::new(ProblemCode::OrderUnknown, "no event of this order was applied"),
        });
    };
    let in_force = backends.store.policy().await.map_err(|error| store_problem(&error))?;
    // Orders are applied under a recorded policy only, so the default is never met with one.
    let policy = in_force.map(|in_force| in_force.policy).unwrap_or_default();
    Ok(Json(OrderView::new(&stored, &policy)))
}
