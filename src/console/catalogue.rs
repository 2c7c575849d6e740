//! `GET /v1/sites/{site}/catalogue`

#![expect(unused_qualifications, reason = "utoipa qualifies the parameters' type")]

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::lists::{answer_of_site, read_query};
use super::refusals::{PROBLEM_JSON, Refusals};
use super::request::{Path, Query, parse_site};
use super::views::{CatalogueEntryView, ListView};
use super::{Backends, catalogue_list, cursor};
use crate::http::problem::{Body, Problem};

/// The query of a site's catalogue.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CatalogueQuery {
    /// `next_cursor` of the previous page, for the same `q`.
    cursor: Option<String>,
    /// The most entries of the page; 100 by default.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// Only entries whose id, name, SKU or external id starts with this; case is ignored.
    #[param(max_length = 256)]
    q: Option<String>,
}

/// Lists a shop's products and categories in order of kind and id
///
/// With `q`, a page may have fewer entries than requested, or none, and still a next one.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/catalogue",
    tag = "stock",
    params(("site" = String, Path, description = "The shop."), CatalogueQuery),
    responses(
        (status = 200, description = "A page of entries.", body = ListView<CatalogueEntryView>),
        (status = 404, description = "There is no such shop.", body = Body<'static>, content_type = PROBLEM_JSON),
        Refusals,
    ),
)]
pub(super) async fn list_catalogue(
    State(backends): State<Backends>,
    Path(site): Path<String>,
    Query(query): Query<CatalogueQuery>,
) -> Result<Json<ListView<CatalogueEntryView>>, Problem> {
    let site = parse_site(&site)?;
    let page = cursor::page_request(query.cursor.as_deref(), query.limit)?;
    let query = read_query(query.q)?;
    let found = catalogue_list::page(&*backends.store, &site, query.as_deref(), &page).await;
    answer_of_site(&backends, &site, found, &page).await
}
