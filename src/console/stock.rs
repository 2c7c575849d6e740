//! `GET /v1/sites/{site}/stock` and `GET /v1/sites/{site}/stock/{key}`

#![expect(unused_qualifications, reason = "utoipa qualifies the parameters' type")]

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::access::Caller;
use super::items::{self, ItemPath, Purpose};
use super::lists::answer_of_site;
use super::refusals::{PROBLEM_JSON, Refusals};
use super::request::{Path, Query, invalid, parse_site};
use super::views::{ListView, StockDetailView, StockItemView};
use super::{Backends, cursor, in_time};
use crate::broker::QueueDepth;
use crate::domain::{IDENTIFIER_BYTES_MAX, causes};
use crate::http::problem::{Body, Problem, ProblemCode};

/// Orders on one page of a stock item's holds.
const HOLDS_LIMIT: usize = 100;

/// The query of a site's stock.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StockQuery {
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
    /// The most items of the page; 100 by default.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// Only items whose key or name starts with this.
    #[param(max_length = 256)]
    q: Option<String>,
}

/// The query of one stock item.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HoldsQuery {
    /// `holds_next_cursor` of the previous page.
    cursor: Option<String>,
}

/// Lists a shop's stock items in order of key
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/stock",
    tag = "stock",
    params(("site" = String, Path, description = "The shop."), StockQuery),
    responses(
        (status = 200, description = "A page of stock items.", body = ListView<StockItemView>),
        (status = 404, description = "There is no such shop.", body = Body<'static>, content_type = PROBLEM_JSON),
        Refusals,
    ),
)]
pub(super) async fn list_stock(
    State(backends): State<Backends>,
    Path(site): Path<String>,
    Query(query): Query<StockQuery>,
) -> Result<Json<ListView<StockItemView>>, Problem> {
    let site = parse_site(&site)?;
    let page = cursor::page_request(query.cursor.as_deref(), query.limit)?;
    let prefix = query.q.as_deref().filter(|prefix| !prefix.is_empty());
    if prefix.is_some_and(|prefix| prefix.len() > IDENTIFIER_BYTES_MAX) {
        return Err(invalid(format!("q: is longer than {IDENTIFIER_BYTES_MAX} bytes")));
    }
    let found = backends.store.stock(&site, prefix, &page).await;
    answer_of_site(&backends, &site, found, &page).await
}

/// Shows a stock item and the orders that hold it
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/stock/{key}",
    tag = "stock",
    params(ItemPath, HoldsQuery),
    responses(
        (status = 200, description = "The item, and 100 of the orders that hold some of it.", body = StockDetailView),
        (status = 404, description = "The item was never counted, or there is no such shop.", body = Body<'static>, content_type = PROBLEM_JSON),
        (status = 409, description = "Several items go by the name: `candidates` lists them.", body = Body<'static>, content_type = PROBLEM_JSON),
        Refusals,
    ),
)]
pub(super) async fn show_stock_item(
    State(backends): State<Backends>,
    caller: Caller,
    Path(path): Path<ItemPath>,
    Query(query): Query<HoldsQuery>,
) -> Result<Json<StockDetailView>, Problem> {
    let page = cursor::page_request(query.cursor.as_deref(), Some(HOLDS_LIMIT))?;
    let (site, key) = items::resolve(&backends, &path, Purpose::Read).await?;
    let detail = backends.store.stock_item(&site, &key, &page).await;
    let mut detail = detail
        .map_err(|error| cursor::problem(error, &page))?
        .ok_or_else(|| Problem::new(ProblemCode::StockUnknown, "this item was never counted"))?;
    let depth = if caller.sees_all() { depth(&backends).await } else { None };
    let next = cursor::encode(detail.holds.next.take());
    Ok(Json(StockDetailView::new(&detail, next, depth.as_ref())))
}

/// The depth of the queues, which hold events of all sites. The counts are useful without it.
async fn depth(backends: &Backends) -> Option<QueueDepth> {
    let depth = in_time(backends.broker.depth()).await;
    depth.inspect_err(|error| tracing::warn!(error = causes(error), "cannot ask the broker")).ok()
}
