//! `GET /v1/dead-letters`, `GET /v1/dead-letters/groups` and `GET /v1/dead-letters/{id}`

#![expect(unused_qualifications, reason = "utoipa qualifies the parameters' type")]

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::Caller;
use super::refusals::{PROBLEM_JSON, Refusals};
use super::request::{NoParameters, Path, Query, invalid, parse_message_id, parse_site};
use super::views::{
    BodyView, DeadLetterDetailView, DeadLetterGroupView, DeadLetterView, HeadersView, ListView,
};
use super::{Backends, cursor, lists};
use crate::clock::PastTime;
use crate::config::Role;
use crate::domain::{Code, Timestamp};
use crate::http::problem::{Body, Problem, ProblemCode};
use crate::store::{DeadLetter, DeadLetterFilter};

/// The most message ids of one filter.
const IDS_MAX: usize = 100;

/// The query of the dead letters; all given filters must match.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeadLettersQuery {
    /// Only dead letters with this reason.
    #[param(example = "decode.not_json")]
    reason: Option<String>,
    /// Only dead letters of this shop; required for a user of some sites.
    site: Option<String>,
    /// Only dead letters that first failed before this: a time in RFC 3339, or an age such as `2h`.
    #[param(example = "2h")]
    older_than: Option<String>,
    /// Only the dead letters with these message ids, separated by commas; at most 100.
    id: Option<String>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
    /// The most items of the page; 100 by default.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

impl DeadLettersQuery {
    fn filter(&self, now: Timestamp) -> Result<DeadLetterFilter, Problem> {
        let ids: Vec<&str> =
            self.id.as_deref().map_or_else(Vec::new, |ids| ids.split(',').collect());
        let (reason, site) = (self.reason.as_deref(), self.site.as_deref());
        read_filter(reason, site, self.older_than.as_deref(), &ids, now)
    }
}

/// Parses a filter; ages count back from `now`.
pub(super) fn read_filter(
    reason: Option<&str>,
    site: Option<&str>,
    older_than: Option<&str>,
    ids: &[&str],
    now: Timestamp,
) -> Result<DeadLetterFilter, Problem> {
    let reason = reason.map(|text| {
        Code::parse(text).ok_or_else(|| invalid("reason: is not a reason of dead letters"))
    });
    let failed_before = older_than
        .map(|text| PastTime::parse(text).map_err(|error| invalid(format!("older_than: {error}"))));
    if ids.len() > IDS_MAX {
        return Err(invalid(format!("id: at most {IDS_MAX} messages")));
    }
    Ok(DeadLetterFilter {
        reason: reason.transpose()?,
        site: site.map(parse_site).transpose()?,
        failed_before: failed_before.transpose()?.map(|time| time.resolve(now)),
        ids: ids.iter().map(|id| parse_message_id(id)).collect::<Result<_, _>>()?,
    })
}

/// Lists dead letters, oldest failure first, without their bodies
#[utoipa::path(
    get,
    path = "/v1/dead-letters",
    tag = "dead letters",
    params(DeadLettersQuery),
    responses(
        (status = 200, description = "A page of dead letters.", body = ListView<DeadLetterView>),
        Refusals,
    ),
)]
pub(super) async fn list_dead_letters(
    State(backends): State<Backends>,
    caller: Caller,
    Query(query): Query<DeadLettersQuery>,
) -> Result<Json<ListView<DeadLetterView>>, Problem> {
    let filter = query.filter(crate::clock::now())?;
    caller.check(filter.site.as_ref())?;
    let page = cursor::page_request(query.cursor.as_deref(), query.limit)?;
    let found = backends.store.dead_letters(&filter, &page).await;
    lists::answer(found, &page)
}

/// Counts parked dead letters by reason, shop and event
#[utoipa::path(
    get,
    path = "/v1/dead-letters/groups",
    tag = "dead letters",
    responses(
        (status = 200, description = "All groups on one page, the largest first.", body = ListView<DeadLetterGroupView>),
        Refusals,
    ),
)]
pub(super) async fn list_dead_letter_groups(
    State(backends): State<Backends>,
    _: Query<NoParameters>,
) -> Result<Json<ListView<DeadLetterGroupView>>, Problem> {
    let groups = backends.store.dead_letter_groups().await?;
    let items = groups.iter().map(DeadLetterGroupView::from).collect();
    Ok(Json(ListView { items, next_cursor: None }))
}

/// A dead letter, as the caller's role is allowed to see it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ShownDeadLetter)]
pub(super) struct ShownView {
    /// The dead letter, as in the list.
    #[serde(flatten)]
    letter: DeadLetterView,
    /// The headers; for role `operate` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    headers: Option<HeadersView>,
    /// The body, byte for byte, which is personal data; for role `operate` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    body: Option<BodyView>,
    /// The body as received, if it was edited since; for role `operate` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    original_body: Option<BodyView>,
}

/// Shows a dead letter; to operators with its headers and its body
#[utoipa::path(
    get,
    path = "/v1/dead-letters/{id}",
    tag = "dead letters",
    params(("id" = String, Path, description = "The message's id.")),
    responses(
        (status = 200, description = "The dead letter; of several generations the newest.", body = ShownView),
        (status = 404, description = "No such message is parked.", body = Body<'static>, content_type = PROBLEM_JSON),
        Refusals,
    ),
)]
pub(super) async fn show_dead_letter(
    State(backends): State<Backends>,
    Path(id): Path<String>,
    caller: Caller,
    _: Query<NoParameters>,
) -> Result<Json<ShownView>, Problem> {
    let id = parse_message_id(&id)?;
    let unknown = || Problem::new(ProblemCode::DeadLetterUnknown, "no such message is parked");
    let letter = backends.store.dead_letter(id).await?;
    let of_caller = |letter: &DeadLetter| caller.check(letter.rejection.site.as_ref()).is_ok();
    let letter = letter.filter(of_caller).ok_or_else(unknown)?;
    let DeadLetterDetailView { letter, headers, body, original_body } =
        DeadLetterDetailView::from(&letter);
    let shown = ShownView { letter, headers: None, body: None, original_body: None };
    Ok(Json(match caller.role {
        Role::Operate => {
            ShownView { headers: Some(headers), body: Some(body), original_body, ..shown }
        }
        Role::Read => shown,
    }))
}
