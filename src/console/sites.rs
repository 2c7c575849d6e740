//! `GET /v1/sites`

use axum::Json;
use axum::extract::State;

use super::Backends;
use super::access::Caller;
use super::refusals::Refusals;
use super::request::{NoParameters, Query};
use super::views::{ListView, SiteView};
use crate::http::problem::Problem;

/// Lists the known shops
#[utoipa::path(
    get,
    path = "/v1/sites",
    tag = "stock",
    responses(
        (status = 200, description = "Every shop that exists for the caller, in order of name; one page.", body = ListView<SiteView>),
        Refusals,
    ),
)]
pub(super) async fn list_sites(
    State(backends): State<Backends>,
    caller: Caller,
    _: Query<NoParameters>,
) -> Result<Json<ListView<SiteView>>, Problem> {
    let sites = backends.store.sites().await?;
    let items = sites.iter().filter(|site| caller.sees(site)).map(SiteView::from).collect();
    Ok(Json(ListView { items, next_cursor: None }))
}
