//! `GET /v1/sites/{site}/orders` and `GET /v1/sites/{site}/orders/{name}`

#![expect(unused_qualifications, reason = "utoipa qualifies the parameters' type")]

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::items::check_site;
use super::lookup;
use super::order_list::{self, FLAGS, OrderFilter};
use super::refusals::{PROBLEM_JSON, Refusals};
use super::request::{NoParameters, Path, Query, invalid, parse_site};
use super::views::{ListView, OrderSummaryView, OrderView};
use super::{Backends, cursor};
use crate::clock::{self, PastTime};
use crate::domain::{IDENTIFIER_BYTES_MAX, List, Policy};
use crate::http::problem::{Body, Problem};
use crate::store::orders::StoredOrder;

/// The query of a site's orders.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OrdersQuery {
    /// `next_cursor` of the previous page, for the same filters.
    cursor: Option<String>,
    /// The most orders of the page; 100 by default. A page may have fewer and still a next one.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// Only orders whose latest snapshot has this status; case is ignored.
    #[param(max_length = 256)]
    status: Option<String>,
    /// Only orders whose last change is older than this, oldest first: an age such as `2h`, or a
    /// time in RFC 3339.
    #[param(example = "2h")]
    older_than: Option<String>,
    /// Only orders with this flag: `ambiguous`, `contested`, `after-deletion`, `unmapped`,
    /// `waiting` or `corrected`.
    #[param(example = "ambiguous")]
    flag: Option<String>,
    /// Only orders with a name that starts with this, with or without its kind; case is ignored.
    #[param(max_length = 256)]
    q: Option<String>,
}

impl OrdersQuery {
    fn filter(&self) -> Result<OrderFilter, Problem> {
        let short = |name: &str, text: &Option<String>| {
            let text = text.clone().filter(|text| !text.is_empty());
            if text.as_ref().is_some_and(|text| text.chars().count() > IDENTIFIER_BYTES_MAX) {
                return Err(invalid(format!(
                    "{name}: is longer than {IDENTIFIER_BYTES_MAX} characters"
                )));
            }
            Ok(text)
        };
        let flag = |name: &String| {
            let flag = List::parse(name).filter(|flag| FLAGS.contains(flag));
            let known = FLAGS.map(List::as_str).join(", ");
            flag.ok_or_else(|| invalid(format!("flag: must be one of {known}")))
        };
        let before = |text: &String| {
            let time = PastTime::parse(text);
            let time = time.map_err(|error| invalid(format!("older_than: {error}")))?;
            Ok::<_, Problem>(time.resolve(clock::now()))
        };
        Ok(OrderFilter {
            list: self.flag.as_ref().map(flag).transpose()?,
            status: short("status", &self.status)?,
            changed_before: self.older_than.as_ref().map(before).transpose()?,
            query: short("q", &self.q)?,
        })
    }
}

/// The path of an order.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OrderPath {
    /// The shop.
    site: String,
    /// Any name of the order, bare or as `kind:identifier`, a slash as %2F.
    #[param(example = "store-order:12345%2F678")]
    name: String,
}

/// Lists a shop's orders, the most recently changed first
///
/// Filters are applied to a bounded part of the list at a time: a page may have fewer orders than
/// requested, or none, and still a next one.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/orders",
    tag = "orders",
    params(("site" = String, Path, description = "The shop."), OrdersQuery),
    responses(
        (status = 200, description = "A page of orders.", body = ListView<OrderSummaryView>),
        (status = 404, description = "There is no such shop.", body = Body<'static>, content_type = PROBLEM_JSON),
        Refusals,
    ),
)]
pub(super) async fn list_orders(
    State(backends): State<Backends>,
    Path(site): Path<String>,
    Query(query): Query<OrdersQuery>,
) -> Result<Json<ListView<OrderSummaryView>>, Problem> {
    let site = parse_site(&site)?;
    let page = cursor::page_request(query.cursor.as_deref(), query.limit)?;
    let filter = query.filter()?;
    let policy = policy(&backends).await?;
    let found = order_list::page(&*backends.store, &site, &filter, &page).await;
    let found = found.map_err(|error| cursor::problem(error, &page))?;
    if found.items.is_empty() {
        check_site(&backends, &site).await?;
    }
    let items = found.items.iter().map(|order| OrderSummaryView::new(order, &policy)).collect();
    Ok(Json(ListView { items, next_cursor: cursor::encode(found.next) }))
}

/// Shows an order: what it holds, and why
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/orders/{name}",
    tag = "orders",
    params(OrderPath),
    responses(
        (status = 200, description = "The order.", body = OrderView),
        (status = 404, description = "No event of the order was applied, or there is no such shop.", body = Body<'static>, content_type = PROBLEM_JSON),
        (status = 409, description = "Several orders go by the name: `candidates` lists them.", body = Body<'static>, content_type = PROBLEM_JSON),
        (status = 410, description = "The order was closed: what has left for it stays counted, its details are gone.", body = Body<'static>, content_type = PROBLEM_JSON),
        Refusals,
    ),
)]
pub(super) async fn show_order(
    State(backends): State<Backends>,
    Path(path): Path<OrderPath>,
    _: Query<NoParameters>,
) -> Result<Json<OrderView>, Problem> {
    let order = find(&backends, &path).await?;
    let policy = policy(&backends).await?;
    Ok(Json(OrderView::new(&order, &policy)))
}

/// The one order that a path names.
pub(super) async fn find(
    backends: &Backends,
    OrderPath { site, name }: &OrderPath,
) -> Result<StoredOrder, Problem> {
    Ok(lookup::find(&*backends.store, &parse_site(site)?, name).await?)
}

/// The policy in force. Orders are applied only under a recorded policy, so if there is none there
/// are no orders either.
async fn policy(backends: &Backends) -> Result<Policy, Problem> {
    let in_force = backends.store.policy().await?;
    Ok(in_force.map(|in_force| in_force.policy).unwrap_or_default())
}
