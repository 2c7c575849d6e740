//! `GET /v1/sites/{site}/catalogue`

#![expect(unused_qualifications, reason = "utoipa qualifies the parameters' type")]

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::items::check_site;
use super::refusals::{PROBLEM_JSON, Refusals};
use super::request::{Path, Query, parse_site};
use super::views::{CatalogueEntryView, ListView};
use super::{Backends, cursor, list_problem};
use crate::http::problem::{Body, Problem};

/// The query of a site's catalogue.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CatalogueQuery {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Items of the page; 100 if left out.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// Lists a shop's products and categories in order of kind and id
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/catalogue",
    operation_id = "list_catalogue",
    tag = "stock",
    params(("site" = String, Path, description = "The shop."), CatalogueQuery),
    responses(
        (status = 200, description = "A page of entries.", body = ListView<CatalogueEntryView>),
        (status = 404, description = "There is no such shop.", body = Body<'static>, content_type = PROBLEM_JSON),
        Refusals,
    ),
)]
pub(super) async fn list(
    State(backends): State<Backends>,
    Path(site): Path<String>,
    Query(query): Query<CatalogueQuery>,
) -> Result<Json<ListView<CatalogueEntryView>>, Problem> {
    let site = parse_site(&site)?;
    let page = cursor::page_request(query.cursor.as_deref(), query.limit)?;
    let found = backends.store.catalogue(&site, &page).await;
    let found = found.map_err(|error| list_problem(&error, page.after.is_some()))?;
    if found.items.is_empty() {
        check_site(&backends, &site).await?;
    }
    let items = found.items.iter().map(CatalogueEntryView::from).collect();
    Ok(Json(ListView { items, next_cursor: cursor::encode(found.next) }))
}
