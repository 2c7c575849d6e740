//! `GET /v1/sites/{site}/stock`, `GET /v1/sites/{site}/stock/{key}` and its receipts

#![expect(unused_qualifications, reason = "utoipa qualifies the parameters' type")]

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::access::Caller;
use super::items::{self, ItemPath, Purpose};
use super::lists::{PageQuery, answer, answer_of_site, read_query};
use super::refusals::{PROBLEM_JSON, Refusals};
use super::request::{Path, Query, invalid, parse_site};
use super::stock_list::{self, Short, StockFilter};
use super::views::{ItemCursors, ItemReceiptView, ListView, StockDetailView, StockItemView};
use super::{Backends, cursor, in_time, item_detail};
use crate::broker::QueueDepth;
use crate::domain::{Quantity, causes};
use crate::http::problem::{Body, Problem, ProblemCode};
use crate::store::PageRequest;

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
    /// Only tracked items that are short: `oversold`, with less than nothing available, or `low`.
    #[param(example = "oversold")]
    filter: Option<String>,
    /// Only tracked items with so much available or less: what `filter=low` goes by, 0 by default.
    /// Every item that is oversold is low.
    #[param(example = "5")]
    low: Option<String>,
}

impl StockQuery {
    fn filter(self) -> Result<StockFilter, Problem> {
        let short = match (self.filter.as_deref(), self.low.as_deref()) {
            (None, None) => None,
            (Some("oversold"), _) => Some(Short::Oversold),
            (Some("low") | None, units) => {
                let units = units.map_or(Ok(Quantity::ZERO), Quantity::exact);
                Some(Short::Low(units.map_err(|error| invalid(format!("low: {error}")))?))
            }
            (Some(_), _) => return Err(invalid("filter: must be oversold or low")),
        };
        Ok(StockFilter { query: read_query(self.q)?, short })
    }
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
///
/// With `filter`, a page may have fewer items than requested, or none, and still a next one.
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
    let found = stock_list::page(&*backends.store, &site, &query.filter()?, &page).await;
    answer_of_site(&backends, &site, found, &page).await
}

/// Shows a stock item, and what its counts are made of
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/stock/{key}",
    tag = "stock",
    params(ItemPath, HoldsQuery),
    responses(
        (status = 200, description = "The item, 100 of the orders that hold some of it, its first receipts and its newest changes.", body = StockDetailView),
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
    let receipts = PageRequest::first(HOLDS_LIMIT);
    let item = item_detail::read(&*backends.store, &site, &key, &page, &receipts).await;
    let mut item = item
        .map_err(|error| cursor::problem(error, &page))?
        .ok_or_else(|| Problem::new(ProblemCode::StockUnknown, "this item was never counted"))?;
    let depth = if caller.sees_all() { depth(&backends).await } else { None };
    let cursors = ItemCursors {
        holds: cursor::encode(item.detail.holds.next.take()),
        receipts: cursor::encode(item.receipts.next.take()),
    };
    Ok(Json(StockDetailView::new(&item, cursors, depth.as_ref())))
}

/// Lists what was received of a stock item, in order of reference
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/stock/{key}/receipts",
    tag = "stock",
    params(ItemPath, PageQuery),
    responses(
        (status = 200, description = "A page of receipts, adjustments and counts; voided ones too.", body = ListView<ItemReceiptView>),
        (status = 404, description = "The item was never counted, or there is no such shop.", body = Body<'static>, content_type = PROBLEM_JSON),
        (status = 409, description = "Several items go by the name: `candidates` lists them.", body = Body<'static>, content_type = PROBLEM_JSON),
        Refusals,
    ),
)]
pub(super) async fn list_receipts(
    State(backends): State<Backends>,
    Path(path): Path<ItemPath>,
    Query(query): Query<PageQuery>,
) -> Result<Json<ListView<ItemReceiptView>>, Problem> {
    let page = cursor::page_request(query.cursor.as_deref(), query.limit)?;
    let (site, key) = items::resolve(&backends, &path, Purpose::Read).await?;
    answer(backends.store.receipts(&site, &key, &page).await, &page)
}

/// The depth of the queues, which hold events of all sites. The counts are useful without it.
async fn depth(backends: &Backends) -> Option<QueueDepth> {
    let depth = in_time(backends.broker.depth()).await;
    depth.inspect_err(|error| tracing::warn!(error = causes(error), "cannot ask the broker")).ok()
}
