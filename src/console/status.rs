//! `GET /v1/status` and `GET /v1/processes`

use axum::Json;
use axum::extract::State;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::refusals::Refusals;
use super::request::{NoParameters, Query};
use super::views::{
    AuditView, DeadLetterGroupView, DutyView, ListView, ParkedView, PauseView, ProcessView,
    QueuesView, SiteSeenView, SitesSeenView, StatusView, WebhooksView,
};
use super::{Backends, in_time};
use crate::broker::QueueDepth;
use crate::clock;
use crate::domain::{List, QueueStanding, Site, Standing, Timestamp, causes};
use crate::http::problem::Problem;
use crate::store::{Direction, PageRequest, ReadStore, Store, StoreError};

/// How many shops are shown at each end of the list.
const SITES_SHOWN: usize = 5;
/// The most shops that are looked at.
const SITES_READ_MAX: usize = 1_000;
/// How many shops are looked at together.
const SITES_AT_ONCE: usize = 16;
/// How many groups of dead letters are shown.
const GROUPS_SHOWN: usize = 3;

/// Shows how the service stands
#[utoipa::path(
    get,
    path = "/v1/status",
    tag = "queues",
    responses(
        (status = 200, description = "Whether the stock is right, whether it is fresh, and whether anything is stuck.", body = StatusView),
        Refusals,
    ),
)]
pub(super) async fn show_status(
    State(backends): State<Backends>,
    _: Query<NoParameters>,
) -> Result<Json<StatusView>, Problem> {
    let depth = in_time(backends.broker.depth()).await.map_err(|error| {
        tracing::warn!(error = causes(&error), "the queue does not say its depth");
    });
    Ok(Json(read(&*backends.store, depth.ok().as_ref(), clock::now()).await?))
}

/// Lists the processes that were heard from within a day
#[utoipa::path(
    get,
    path = "/v1/processes",
    tag = "queues",
    responses(
        (status = 200, description = "Every process, the last heard from first; one page.", body = ListView<ProcessView>),
        Refusals,
    ),
)]
pub(super) async fn list_processes(
    State(backends): State<Backends>,
    _: Query<NoParameters>,
) -> Result<Json<ListView<ProcessView>>, Problem> {
    let (beats, now) = (backends.store.heartbeats().await?, clock::now());
    let items = beats.iter().map(|beat| ProcessView::new(beat, now)).collect();
    Ok(Json(ListView { items, next_cursor: None }))
}

/// Reads how the service stands; the depth is `None` if the queue does not answer.
pub async fn read(
    store: &dyn Store,
    depth: Option<&QueueDepth>,
    now: Timestamp,
) -> Result<StatusView, StoreError> {
    let (beats, pause) = (store.heartbeats().await?, store.paused().await?);
    let totals = store.dead_letter_totals().await?;
    let parked = totals.letters.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
    let bytes = totals.bytes.iter().fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
    let groups = store.dead_letter_groups().await?;
    let standing = Standing {
        now,
        beats: &beats,
        pause: pause.as_ref(),
        queue: depth.map(queue),
        dead_letters: parked,
    };
    let verdict = standing.verdict();
    let (accepted, refused) = standing.answers();
    let duties = standing.leader().into_iter().flat_map(|leader| &leader.duties);
    Ok(StatusView {
        verdict: verdict.sentence,
        problems: verdict.problems,
        at: now.to_string(),
        audit: standing.audit().map(AuditView::from),
        queues: depth.map(|depth| QueuesView::new(depth, parked, pause.as_ref(), now)),
        paused: pause.as_ref().map(PauseView::from),
        webhooks: WebhooksView { accepted, refused },
        sites: sites(store).await?,
        dead_letters: ParkedView {
            parked,
            bytes,
            groups: groups.iter().take(GROUPS_SHOWN).map(DeadLetterGroupView::from).collect(),
        },
        duties: duties.map(|(name, duty)| DutyView::new(name, duty)).collect(),
        processes: beats.iter().map(|beat| ProcessView::new(beat, now)).collect(),
    })
}

const fn queue(depth: &QueueDepth) -> QueueStanding {
    QueueStanding {
        waiting: depth.work_ready + depth.work_in_flight + depth.retry_ready,
        oldest: depth.work_oldest,
    }
}

/// When something last arrived for each shop: the last commit of any of its orders.
async fn sites(store: &dyn Store) -> Result<SitesSeenView, StoreError> {
    let sites = store.sites().await?;
    let known = u64::try_from(sites.len()).unwrap_or(u64::MAX);
    let seen = stream::iter(sites.into_iter().take(SITES_READ_MAX));
    let seen = seen.map(|site| last_webhook(store, site)).buffer_unordered(SITES_AT_ONCE);
    let mut seen: Vec<(Option<Timestamp>, Site)> = seen.try_collect().await?;
    seen.sort();
    let view = |(at, site): &(Option<Timestamp>, Site)| SiteSeenView::new(site, *at);
    Ok(SitesSeenView {
        known,
        oldest: seen.iter().take(SITES_SHOWN).map(view).collect(),
        newest: seen.iter().rev().take(SITES_SHOWN).map(view).collect(),
    })
}

async fn last_webhook(
    store: &(impl ReadStore + ?Sized),
    site: Site,
) -> Result<(Option<Timestamp>, Site), StoreError> {
    let newest = PageRequest::first(1);
    let found = store.listed(&site, List::All, Direction::NewestFirst, &newest).await?;
    Ok((found.items.first().map(|listed| listed.at), site))
}
