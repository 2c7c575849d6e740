//! `GET /v1/sites/{site}/catalogue`

use axum::Json;
use axum::extract::State;

use super::lists::{PageQuery, answer_of_site};
use super::refusals::{PROBLEM_JSON, Refusals};
use super::request::{Path, Query, parse_site};
use super::views::{CatalogueEntryView, ListView};
use super::{Backends, cursor};
use crate::http::problem::{Body, Problem};

/// Lists a shop's products and categories in order of kind and id
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/catalogue",
    tag = "stock",
    params(("site" = String, Path, description = "The shop."), PageQuery),
    responses(
        (status = 200, description = "A page of entries.", body = ListView<CatalogueEntryView>),
        (status = 404, description = "There is no such shop.", body = Body<'static>, content_type = PROBLEM_JSON),
        Refusals,
    ),
)]
pub(super) async fn list_catalogue(
    State(backends): State<Backends>,
    Path(site): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Json<ListView<CatalogueEntryView>>, Problem> {
    let site = parse_site(&site)?;
    let page = cursor::page_request(query.cursor.as_deref(), query.limit)?;
    let found = backends.store.catalogue(&site, &page).await;
    answer_of_site(&backends, &site, found, &page).await
}
