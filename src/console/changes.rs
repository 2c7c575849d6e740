//! `GET /v1/sites/{site}/changes`: the change feed, in pages or as a stream.

#![expect(unused_qualifications, reason = "utoipa qualifies the parameters' type")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, stream};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;

use super::Backends;
use super::cursor::{LIMIT_DEFAULT, LIMIT_MAX};
use super::items::{self, ItemPath, Purpose, check_site};
use super::refusals::{PROBLEM_JSON, Refusals};
use super::request::{Path, Query, invalid, parse_site};
use super::views::{ChangeView, ListView};
use crate::clock::{self, PastTime};
use crate::domain::{Site, causes};
use crate::http::problem::{Body, Problem, ProblemCode};
use crate::store::changes::{self, ChangeFilter, Cursor, FeedError};
use crate::store::{Change, Store};

/// Streams at a time: each reads the Store several times a second.
pub(super) const STREAMS_MAX: usize = 32;
/// Changes that a stream reads at once.
const BATCH: usize = 100;
/// Changes that are looked at for one page, or at once for a stream.
const LOOKED_AT_MAX: usize = 5000;
/// How often a stream reads the feed.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// How often an idle stream sends a comment, so that proxies keep it open.
const HEARTBEAT: Duration = Duration::from_secs(15);

const EVENT_STREAM: &str = "text/event-stream";

/// The query of a change feed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ChangesQuery {
    /// `cursor` of the last change that you know; without it, the feed begins with the oldest
    /// change that is kept.
    after: Option<String>,
    /// The most changes of the page; 100 by default. A stream has no limit.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// Only changes of this item: any of its names, bare or as `kind:identifier`.
    #[param(max_length = 256, example = "product:P1")]
    key: Option<String>,
    /// Only changes since this: a time in RFC 3339, or an age such as `2h`.
    #[param(example = "2h")]
    since: Option<String>,
}

/// Lists the changes of a shop's stock, oldest first, or streams them
///
/// With `key` or `since`, a page may have fewer changes than requested, or none, and still a next
/// one. With `Accept: text/event-stream`, changes are sent as server-sent events, each with its cursor
/// as id, until the client or the server ends the stream.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/changes",
    tag = "stock",
    params(
        ("site" = String, Path, description = "The shop."),
        ("Last-Event-ID" = Option<String>, Header, description = "Replaces `after` when a stream is resumed."),
        ChangesQuery,
    ),
    responses(
        (status = 200, description = "A page of changes; empty after the last. `next_cursor` is the next `after`, and null at the end of the feed.", content(
            (ListView<ChangeView> = "application/json"),
            (String = "text/event-stream"),
        )),
        (status = 404, description = "There is no such shop, or no item goes by the name.", body = Body<'static>, content_type = PROBLEM_JSON),
        (status = 409, description = "Several items go by the name: `candidates` lists them.", body = Body<'static>, content_type = PROBLEM_JSON),
        (status = 410, description = "Changes after the cursor are no longer kept: read the stock again.", body = Body<'static>, content_type = PROBLEM_JSON),
        Refusals,
    ),
)]
pub(super) async fn list_changes(
    State(backends): State<Backends>,
    Path(site): Path<String>,
    Query(query): Query<ChangesQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let site = parse_site(&site)?;
    let after = query.after.as_deref().map(|text| parse_cursor(text, "after")).transpose()?;
    let filter = filter(&backends, &site, &query).await?;
    if wants_stream(&headers) {
        if query.limit.is_some() {
            return Err(invalid("limit: a stream has no limit"));
        }
        let after = last_event_id(&headers)?.or(after);
        return follow(&backends, site, filter, after).await.map(IntoResponse::into_response);
    }
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(invalid(format!("limit: must be 1 to {LIMIT_MAX}")));
    }
    let bounds = (limit, LOOKED_AT_MAX);
    let found = changes::select(&*backends.store, &site, &filter, after.as_ref(), bounds).await?;
    if found.changes.is_empty() {
        check_site(&backends, &site).await?;
    }
    let items = found.changes.iter().map(|change| ChangeView::new(&site, change)).collect();
    let next_cursor = found.last.filter(|_| found.has_more).map(|last| last.to_string());
    Ok(Json(ListView { items, next_cursor }).into_response())
}

async fn filter(
    backends: &Backends,
    site: &Site,
    query: &ChangesQuery,
) -> Result<ChangeFilter, Problem> {
    let since = query.since.as_deref().map(|text| {
        let time = PastTime::parse(text).map_err(|error| invalid(format!("since: {error}")));
        time.map(|time| time.resolve(clock::now()))
    });
    let since = since.transpose()?;
    let Some(key) = query.key.clone() else { return Ok(ChangeFilter { key: None, since }) };
    let path = ItemPath::new(site, key);
    let (_, key) = items::resolve(backends, &path, Purpose::Read).await?;
    Ok(ChangeFilter { key: Some(key), since })
}

fn parse_cursor(text: &str, name: &str) -> Result<Cursor, Problem> {
    Cursor::parse(text).map_err(|error| invalid(format!("{name}: {error}")))
}

/// The cursor of a stream that is resumed.
fn last_event_id(headers: &HeaderMap) -> Result<Option<Cursor>, Problem> {
    const NAME: &str = "Last-Event-ID";
    let Some(id) = headers.get(NAME) else { return Ok(None) };
    let id = id.to_str().map_err(|_| invalid(format!("{NAME}: is not text")))?;
    // A client that has seen no event yet may send an empty id.
    if id.is_empty() { Ok(None) } else { parse_cursor(id, NAME).map(Some) }
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let types = accepted.flat_map(|value| value.split(','));
    let mut essences = types.filter_map(|accepted| accepted.split(';').next());
    essences.any(|essence| essence.trim().eq_ignore_ascii_case(EVENT_STREAM))
}

/// Starts a stream. The first changes are read before the answer, so that a failure is a problem and
/// not a stream that ends.
async fn follow(
    backends: &Backends,
    site: Site,
    filter: ChangeFilter,
    after: Option<Cursor>,
) -> Result<impl IntoResponse + use<>, Problem> {
    let busy = |_| {
        let detail = format!("there are {STREAMS_MAX} streams already; try again later");
        Problem::new(ProblemCode::ConsoleBusy, detail)
    };
    let permit = Arc::clone(&backends.streams).try_acquire_owned().map_err(busy)?;
    let mut feed = Feed {
        store: Arc::clone(&backends.store),
        stop: backends.stop.clone(),
        site,
        filter,
        after,
        has_more: true,
        ready: VecDeque::new(),
        _permit: permit,
    };
    feed.refill().await?;
    if feed.ready.is_empty() {
        check_site(backends, &feed.site).await?;
    }
    Ok(Sse::new(feed.into_events()).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

/// A feed that a stream follows.
struct Feed {
    store: Arc<dyn Store>,
    stop: CancellationToken,
    site: Site,
    filter: ChangeFilter,
    after: Option<Cursor>,
    /// Whether the feed goes on, as far as is known.
    has_more: bool,
    /// Changes that were read and are not sent yet.
    ready: VecDeque<Change>,
    _permit: OwnedSemaphorePermit,
}

impl Feed {
    fn into_events(self) -> impl Stream<Item = Result<Event, axum::Error>> {
        stream::unfold(self, async |mut feed| {
            let change = feed.next().await?;
            let view = ChangeView::new(&feed.site, &change);
            Some((Event::default().id(view.cursor.clone()).json_data(&view), feed))
        })
    }

    /// Waits for the next change; `None` when the stream has to end. A client resumes after the last
    /// change that it saw, so an end loses nothing.
    async fn next(&mut self) -> Option<Change> {
        let stop = self.stop.clone();
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Some(change);
            }
            match stop.run_until_cancelled(self.refill()).await? {
                Ok(()) if !self.ready.is_empty() || self.has_more => continue,
                Ok(()) => {}
                // A Store that is away for a while does not end the streams.
                Err(FeedError::Store(error)) if error.is_transient() => {
                    tracing::debug!(error = causes(&error), "a stream waits for the store");
                }
                Err(error) => {
                    tracing::warn!(error = causes(&error), "a stream of changes ends");
                    return None;
                }
            }
            stop.run_until_cancelled(tokio::time::sleep(POLL_INTERVAL)).await?;
        }
    }

    async fn refill(&mut self) -> Result<(), FeedError> {
        let bounds = (BATCH, LOOKED_AT_MAX);
        let (store, after) = (&*self.store, self.after.as_ref());
        let found = changes::select(store, &self.site, &self.filter, after, bounds).await?;
        self.after = found.last;
        self.has_more = found.has_more;
        self.ready = found.changes.into();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use http_body_util::BodyExt;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::broker::embedded::EmbeddedBroker;
    use crate::domain::{CatalogueEntry, CatalogueId, Lists, MessageId, Timestamp, Write};
    use crate::store::embedded::EmbeddedStore;
    use crate::store::{Commit, Committed, EntityName, EntityState};

    /// Something is known of the site, and nothing was counted.
    async fn make_known(store: &dyn Store, site: &Site) {
        let name = EntityName::Catalogue(CatalogueId::parse("product:P1").unwrap());
        let state = Some(EntityState::Catalogue(CatalogueEntry::default()));
        let lists = (Lists::NONE, Lists::NONE);
        let commit = Commit {
            read: vec![(name.clone(), None)],
            writes: vec![Write { name, state, lists }],
            ..Commit::nothing(site.clone(), MessageId(uuid::Uuid::nil()), Timestamp::default())
        };
        assert_eq!(store.commit(vec![commit]).await.unwrap(), [Committed::Written]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_without_news_says_that_it_is_there_and_ends_when_told() {
        let directory = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let backends = Backends {
            store: Arc::new(EmbeddedStore::open(directory.path()).unwrap()),
            broker: Arc::new(EmbeddedBroker::open(directory.path()).unwrap()),
            sources: Arc::default(),
            streams: Arc::new(Semaphore::new(1)),
            stop: stop.clone(),
        };
        let site = Site::parse("shop").unwrap();
        let any = ChangeFilter::default;
        assert!(
            follow(&backends, site.clone(), any(), None).await.is_err(),
            "nobody knows the site"
        );
        make_known(&*backends.store, &site).await;
        let answer = follow(&backends, site.clone(), any(), None).await.unwrap().into_response();
        assert!(follow(&backends, site, any(), None).await.is_err(), "there is room for one");
        let mut body = answer.into_body();
        for _ in 0..2 {
            let sent = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert!(sent.starts_with(b":") && sent.ends_with(b"\n\n"), "{sent:?}");
        }
        stop.cancel();
        assert!(body.frame().await.is_none());
        drop(body);
        assert_eq!(backends.streams.available_permits(), 1);
    }

    #[test]
    fn a_stream_is_what_the_client_accepts() {
        let wants = |accept: &'static str| {
            let accept = (header::ACCEPT, HeaderValue::from_static(accept));
            wants_stream(&HeaderMap::from_iter([accept]))
        };
        assert!(wants("text/event-stream"));
        assert!(wants("application/json;q=0.5, Text/Event-Stream; charset=utf-8"));
        assert!(!wants("*/*") && !wants("application/json"));
        assert!(!wants_stream(&HeaderMap::new()));
    }
}
