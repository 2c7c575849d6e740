//! The operator API: the stock, the orders that hold it, and what went wrong.
//!
//! Handlers read the Store and the Broker, answer with the JSON of [`views`], and decide nothing:
//! changes are published as envelopes, and the worker decides. Every route is listed in one table,
//! and `/v1/openapi.json` describes the same routes. The commands share [`lookup`],
//! [`order_list`] and [`status`].
//!
//! # Adding a route
//! A line in [`routes`] declares the role that a route needs: `Role::Read` to show counts,
//! `Role::Operate` to change something or to show a body. A path with both has two lines, one for
//! the methods of each. It also declares its [`Scope`], for callers of some sites. A handler whose
//! answer depends on the caller takes a [`Caller`](access::Caller).
//!
//! # Invariants
//! - A site that does not exist is 404; only a change with `create` creates one.
//! - Every answer that is not a success is a problem with a stable code.
//! - Without tokens, only this machine is served: [`guard`] checks that before anything else.
//! - Bodies are declared as JSON, which no web page can send without a preflight request.
//! - With tokens, every request needs one, and every route needs a role: [`access`].
//! - The headers and the body of a dead letter are shown to operators only.
//! - Unknown parameters are refused: a misspelt filter must not select everything.
//! - Bodies of dead letters are shown one at a time, and never logged.

mod access;
mod catalogue;
pub mod catalogue_list;
mod changes;
mod corrections;
mod cursor;
mod dead_letter_commands;
mod dead_letters;
mod failures;
mod filtered;
mod guard;
pub mod item_detail;
mod items;
mod lists;
pub mod lookup;
mod openapi;
mod openapi_limits;
pub mod order_list;
mod orders;
mod queues;
mod receipts;
mod refusals;
mod replays;
mod request;
mod sites;
pub mod status;
mod stock;
pub mod stock_list;
pub mod views;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{MethodRouter, delete, get, post, put};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::broker::{Broker, BrokerError};
use crate::config::{Role, Settings};
use crate::domain::SourceRules;
use crate::http::problem::{Problem, ProblemCode};
use crate::store::Store;
use access::{Access, Scope};

/// The operator API over a Store and a Broker, for the callers that the settings allow; its streams
/// end with `stop`. Dry runs assume a worker with the same settings.
pub fn router(
    store: Arc<dyn Store>,
    broker: Arc<dyn Broker>,
    settings: &Settings,
    stop: CancellationToken,
) -> Router {
    let streams = Arc::new(Semaphore::new(changes::STREAMS_MAX));
    let sources = Arc::new(settings.source_rules());
    let mut router = Router::new();
    for (path, role, scope, methods) in routes() {
        router = router.route(path, access::needs(role, scope, methods));
    }
    let router = router
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(route_unknown)
        .with_state(Backends { store, broker, sources, streams, stop });
    guard::protect(router, Access::new(&settings.console))
}

/// What log lines call the routes of the console.
const ROUTE: &str = "console";
/// The timeout of calls to the broker.
const BROKER_TIMEOUT: Duration = Duration::from_secs(5);

/// The backends of the handlers.
#[derive(Debug, Clone)]
struct Backends {
    store: Arc<dyn Store>,
    broker: Arc<dyn Broker>,
    /// Which sites each source of webhooks may write.
    sources: Arc<SourceRules>,
    /// The permits of streams.
    streams: Arc<Semaphore>,
    /// Ends the streams.
    stop: CancellationToken,
}

/// A path, the role that it needs, and what it is about.
type Route = (&'static str, Role, Scope, MethodRouter<Backends>);

/// Every route; a test compares it with the API description. Every method but GET is a change.
fn routes() -> Vec<Route> {
    use Role::{Operate, Read};
    use Scope::{AllSites, OfCaller, OfSite};
    vec![
        ("/v1/sites", Read, OfCaller, get(sites::list_sites)),
        ("/v1/sites/{site}/stock", Read, OfSite, get(stock::list_stock)),
        ("/v1/sites/{site}/stock/{key}", Read, OfSite, get(stock::show_stock_item)),
        ("/v1/sites/{site}/stock/{key}/receipts", Read, OfSite, get(stock::list_receipts)),
        ("/v1/sites/{site}/stock/{key}/receipts", Operate, OfSite, post(receipts::receive_goods)),
        ("/v1/sites/{site}/stock/{key}/adjustments", Operate, OfSite, post(receipts::adjust_stock)),
        ("/v1/sites/{site}/stock/{key}/count", Operate, OfSite, put(receipts::count_stock)),
        ("/v1/sites/{site}/stock/{key}/voids", Operate, OfSite, post(receipts::void_receipt)),
        ("/v1/sites/{site}/orders", Read, OfSite, get(orders::list_orders)),
        ("/v1/sites/{site}/orders/{name}", Read, OfSite, get(orders::show_order)),
        (
            "/v1/sites/{site}/orders/{name}/corrections",
            Operate,
            OfSite,
            post(corrections::correct_order),
        ),
        ("/v1/sites/{site}/catalogue", Read, OfSite, get(catalogue::list_catalogue)),
        ("/v1/sites/{site}/changes", Read, OfSite, get(changes::list_changes)),
        ("/v1/dead-letters", Read, OfCaller, get(dead_letters::list_dead_letters)),
        ("/v1/dead-letters/groups", Read, AllSites, get(dead_letters::list_dead_letter_groups)),
        ("/v1/dead-letters/{id}", Read, OfCaller, get(dead_letters::show_dead_letter)),
        (
            "/v1/dead-letters/{id}",
            Operate,
            OfCaller,
            delete(dead_letter_commands::discard_dead_letter),
        ),
        (
            "/v1/dead-letters/{id}/body",
            Operate,
            AllSites,
            put(dead_letter_commands::edit_dead_letter),
        ),
        ("/v1/replays", Read, AllSites, get(replays::list_replays)),
        ("/v1/replays", Operate, AllSites, post(replays::make_replay)),
        ("/v1/replays/{id}", Read, AllSites, get(replays::show_replay)),
        ("/v1/replays/{id}", Operate, AllSites, delete(replays::cancel_replay)),
        ("/v1/queues", Read, AllSites, get(queues::show_queues)),
        ("/v1/queues/pause", Operate, AllSites, post(queues::pause_queue)),
        ("/v1/queues/resume", Operate, AllSites, post(queues::resume_queue)),
        ("/v1/status", Read, AllSites, get(status::show_status)),
        ("/v1/processes", Read, AllSites, get(status::list_processes)),
        ("/v1/openapi.json", Read, OfCaller, get(openapi::show_openapi)),
    ]
}

async fn route_unknown() -> Problem {
    Problem::new(ProblemCode::RouteUnknown, "there is no such path; see /v1/openapi.json")
}

async fn method_not_allowed() -> Problem {
    Problem::new(ProblemCode::Method, "this path does not support the method; see the Allow header")
}

/// Limits the time of a call to the broker, so that it ends before the guard blames the store.
async fn in_time<T>(call: impl Future<Output = Result<T, BrokerError>>) -> Result<T, BrokerError> {
    tokio::time::timeout(BROKER_TIMEOUT, call).await.unwrap_or_else(|_| {
        let message = format!("it did not answer within {BROKER_TIMEOUT:?}");
        Err(BrokerError::Unavailable { source: message.into() })
    })
}
