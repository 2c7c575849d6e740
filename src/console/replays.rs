//! `GET` and `POST /v1/replays`, `GET` and `DELETE /v1/replays/{id}`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::dead_letters::read_filter;
use super::lists::PageQuery;
use super::refusals::{BodyRefusals, PROBLEM_JSON, Refusals};
use super::request::{JsonBody, NoParameters, Path, Query, invalid};
use super::views::{ListView, ReplayView};
use super::{Backends, cursor, lists};
use crate::clock;
use crate::dead_letters;
use crate::http::problem::{Body, Problem, ProblemCode};
use crate::store::{NewReplay, Pace, Replay, ReplayId, StoreError};

/// The largest request of a replay, in bytes: room for as many ids as a selection may have.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// The highest rate, in dead letters per second.
const RATE_MAX: u32 = 100_000;
/// The most failures after which a replay stops: more than a selection can have.
const ABORT_AFTER_MAX: u32 = 1_000_000;

/// The dead letters to replay, and the pace.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewReplay)]
pub(super) struct NewReplayBody {
    /// Which dead letters; all given filters must match.
    #[serde(default)]
    selection: SelectionBody,
    /// Dead letters per second; by default, as fast as the worker applies them.
    #[schema(minimum = 1, maximum = 100_000)]
    rate: Option<u32>,
    /// How long to ramp the rate up from zero, such as `5m`; needs a rate.
    #[schema(example = "5m")]
    ramp: Option<String>,
    /// Stops after this many dead letters have failed again.
    #[schema(minimum = 1, maximum = 1_000_000)]
    abort_after: Option<u32>,
    /// Only forecasts what would happen.
    #[serde(default)]
    dry_run: bool,
}

/// Selects dead letters.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Selection)]
pub(super) struct SelectionBody {
    /// Only the dead letters with these message ids; at most 100.
    #[serde(default)]
    ids: Vec<String>,
    /// Only dead letters with this reason.
    #[schema(example = "decode.not_json")]
    reason: Option<String>,
    /// Only dead letters of this shop.
    site: Option<String>,
    /// Only dead letters that first failed before this: a time in RFC 3339, or an age such as `2h`.
    #[schema(example = "2h")]
    older_than: Option<String>,
}

/// Replays the dead letters that match now, or forecasts what that would do
#[utoipa::path(
    post,
    path = "/v1/replays",
    tag = "dead letters",
    request_body = NewReplayBody,
    responses(
        (status = 200, description = "A dry run, which is done with this answer and has no id, as it is not kept.", body = ReplayView),
        (status = 201, description = "The replay, which the leader now runs.", body = ReplayView),
        BodyRefusals,
        Refusals,
    ),
)]
pub(super) async fn make_replay(
    State(backends): State<Backends>,
    _: Query<NoParameters>,
    JsonBody(body): JsonBody<NewReplayBody, REQUEST_BYTES_MAX>,
) -> Result<(StatusCode, Json<ReplayView>), Problem> {
    let now = clock::now();
    let SelectionBody { ids, reason, site, older_than } = &body.selection;
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let filter = read_filter(reason.as_deref(), site.as_deref(), older_than.as_deref(), &ids, now)?;
    let pace = pace(&body)?;
    if body.dry_run {
        let done = dead_letters::dry_run(&*backends.store, &backends.sources, &filter).await?;
        let view = ReplayView::of_dry_run(now, &done.unwrap_or_default());
        return Ok((StatusCode::OK, Json(view)));
    }
    let id = ReplayId(Uuid::now_v7());
    let made = backends.store.make_replay(NewReplay { id, filter, pace, made_at: now }).await;
    let made = made.map_err(|error| match error {
        StoreError::Rejected { .. } => invalid("selection: selects too many dead letters"),
        StoreError::Unavailable { .. }
        | StoreError::Newer { .. }
        | StoreError::Older { .. }
        | StoreError::Corrupt { .. } => error.into(),
    })?;
    Ok((StatusCode::CREATED, Json(ReplayView::from(&made))))
}

fn pace(body: &NewReplayBody) -> Result<Pace, Problem> {
    if body.rate.is_some_and(|rate| !(1..=RATE_MAX).contains(&rate)) {
        return Err(invalid(format!("rate: must be 1 to {RATE_MAX}")));
    }
    if body.abort_after.is_some_and(|failed| !(1..=ABORT_AFTER_MAX).contains(&failed)) {
        return Err(invalid(format!("abort_after: must be 1 to {ABORT_AFTER_MAX}")));
    }
    let ramp = body.ramp.as_deref().map(|text| {
        humantime::parse_duration(text).map_err(|_| invalid("ramp: is not a duration such as `5m`"))
    });
    let ramp = ramp.transpose()?;
    if ramp.is_some() && body.rate.is_none() {
        return Err(invalid("ramp: needs a rate to rise to"));
    }
    let ramp_millis = ramp.map_or(0, |ramp| u64::try_from(ramp.as_millis()).unwrap_or(u64::MAX));
    Ok(Pace { rate: body.rate, ramp_millis, abort_after: body.abort_after })
}

/// Lists replays, oldest first
#[utoipa::path(
    get,
    path = "/v1/replays",
    tag = "dead letters",
    params(PageQuery),
    responses(
        (status = 200, description = "A page of replays.", body = ListView<ReplayView>),
        Refusals,
    ),
)]
pub(super) async fn list_replays(
    State(backends): State<Backends>,
    Query(query): Query<PageQuery>,
) -> Result<Json<ListView<ReplayView>>, Problem> {
    let page = cursor::page_request(query.cursor.as_deref(), query.limit)?;
    let found = backends.store.replays(&page).await;
    lists::answer(found, &page)
}

/// Shows the progress of a replay
#[utoipa::path(
    get,
    path = "/v1/replays/{id}",
    tag = "dead letters",
    params(("id" = String, Path, description = "The replay's id.")),
    responses(
        (status = 200, description = "The replay.", body = ReplayView),
        (status = 404, description = "There is no such replay.", body = Body<'static>, content_type = PROBLEM_JSON),
        Refusals,
    ),
)]
pub(super) async fn show_replay(
    State(backends): State<Backends>,
    Path(id): Path<String>,
    _: Query<NoParameters>,
) -> Result<Json<ReplayView>, Problem> {
    answer(backends.store.replay(parse_id(&id)?).await)
}

/// Cancels a replay; dead letters that it has sent already are not affected
#[utoipa::path(
    delete,
    path = "/v1/replays/{id}",
    tag = "dead letters",
    params(("id" = String, Path, description = "The replay's id.")),
    responses(
        (status = 200, description = "The replay, which sends nothing more; one that had ended is not changed.", body = ReplayView),
        (status = 404, description = "There is no such replay.", body = Body<'static>, content_type = PROBLEM_JSON),
        Refusals,
    ),
)]
pub(super) async fn cancel_replay(
    State(backends): State<Backends>,
    Path(id): Path<String>,
    _: Query<NoParameters>,
) -> Result<Json<ReplayView>, Problem> {
    answer(backends.store.cancel_replay(parse_id(&id)?).await)
}

fn answer(replay: Result<Option<Replay>, StoreError>) -> Result<Json<ReplayView>, Problem> {
    let unknown = || Problem::new(ProblemCode::ReplayUnknown, "there is no such replay");
    replay?.as_ref().map(|replay| Json(ReplayView::from(replay))).ok_or_else(unknown)
}

fn parse_id(text: &str) -> Result<ReplayId, Problem> {
    text.parse().map(ReplayId).map_err(|error| invalid(format!("replay id: {error}")))
}
