//! `DELETE /v1/dead-letters/{id}` and `PUT /v1/dead-letters/{id}/body`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use utoipa::ToSchema;

use super::access::Caller;
use super::refusals::{BodyRefusals, PROBLEM_JSON, Refusals};
use super::request::{JsonBody, NoParameters, Path, Query, invalid, parse_message_id};
use super::views::DeadLetterCommandView;
use super::{Backends, in_time};
use crate::dead_letters::{self, Commanded, EDIT_BYTES_MAX, Progress, Target};
use crate::domain::MessageId;
use crate::domain::dead_letter::Ended;
use crate::http::problem::{Body, Problem, ProblemCode};
use crate::store::{DeadLetter, DeadLetterName, StoreError};

/// The largest request of an edit: base64 makes a body a third longer, and JSON's escapes up to six
/// times; the latter is not accepted, so such a body must be sent as base64.
const EDIT_REQUEST_BYTES_MAX: usize = EDIT_BYTES_MAX / 3 * 4 + 1024;

/// The new body: its text, or its bytes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewBody)]
pub(super) struct NewBody {
    /// The text.
    text: Option<String>,
    /// The bytes in standard base64.
    base64: Option<String>,
    /// Whether the body is restored as it was received; then there is no other.
    #[serde(default)]
    revert: bool,
    /// Only forecasts what a replay would do with the new body.
    #[serde(default)]
    dry_run: bool,
}

impl NewBody {
    /// The bytes of the new body.
    fn bytes(self, letter: &DeadLetter) -> Result<Vec<u8>, Problem> {
        let bytes = match (self.text, self.base64, self.revert) {
            (Some(text), None, false) => text.into_bytes(),
            (None, Some(base64), false) => {
                STANDARD.decode(base64).map_err(|_| invalid("base64: is not standard base64"))?
            }
            (None, None, true) => match &letter.original {
                Some(original) => original.to_vec(),
                // It is as it was received already.
                None => letter.envelope.body.to_vec(),
            },
            (Some(_), Some(_), _)
            | (None, None, false)
            | (Some(_), None, true)
            | (None, Some(_), true) => {
                return Err(invalid("expected text, base64 or revert, and only one of them"));
            }
        };
        if bytes.is_empty() {
            return Err(invalid("the body is empty"));
        }
        Ok(bytes)
    }
}

/// Discards a dead letter for good
#[utoipa::path(
    delete,
    path = "/v1/dead-letters/{id}",
    tag = "dead letters",
    params(("id" = String, Path, description = "The message's id.")),
    responses(
        (status = 200, description = "The dead letter is discarded.", body = DeadLetterCommandView),
        (status = 202, description = "The command is queued, because the Store did not answer; a worker will apply it.", body = DeadLetterCommandView),
        (status = 404, description = "No such message is parked.", body = Body<'static>, content_type = PROBLEM_JSON),
        (status = 409, description = "The dead letter is in a running replay; cancel the replay, or wait for it.", body = Body<'static>, content_type = PROBLEM_JSON),
        Refusals,
    ),
)]
pub(super) async fn discard_dead_letter(
    State(backends): State<Backends>,
    caller: Caller,
    Path(id): Path<String>,
    _: Query<NoParameters>,
) -> Result<(StatusCode, Json<DeadLetterCommandView>), Problem> {
    let id = parse_message_id(&id)?;
    if !caller.sees_all() {
        let letter = backends.store.dead_letter(id).await?;
        let site = letter.and_then(|letter| letter.rejection.site);
        if site.is_none_or(|site| !caller.sees(&site)) {
            return Err(gone(id, None));
        }
    }
    let name = free(id, dead_letters::find_to_discard(&*backends.store, id).await)?;
    let done = in_time(dead_letters::discard(&backends.broker, &*backends.store, name)).await?;
    answer(name, done)
}

/// Edits the body of a dead letter; the original body is kept
///
/// `forecast` is what a replay would do with the new body now.
#[utoipa::path(
    put,
    path = "/v1/dead-letters/{id}/body",
    tag = "dead letters",
    params(("id" = String, Path, description = "The message's id.")),
    request_body = NewBody,
    responses(
        (status = 200, description = "The dead letter has the new body, or would have it.", body = DeadLetterCommandView),
        (status = 202, description = "The command is queued, because the Store did not answer; a worker will apply it.", body = DeadLetterCommandView),
        (status = 404, description = "No such message is parked.", body = Body<'static>, content_type = PROBLEM_JSON),
        (status = 409, description = "The dead letter is in a running replay; cancel the replay, or wait for it.", body = Body<'static>, content_type = PROBLEM_JSON),
        BodyRefusals,
        Refusals,
    ),
)]
pub(super) async fn edit_dead_letter(
    State(backends): State<Backends>,
    Path(id): Path<String>,
    _: Query<NoParameters>,
    JsonBody(body): JsonBody<NewBody, EDIT_REQUEST_BYTES_MAX>,
) -> Result<(StatusCode, Json<DeadLetterCommandView>), Problem> {
    let (id, store) = (parse_message_id(&id)?, &*backends.store);
    let name = free(id, dead_letters::find(store, id).await)?;
    let letter = store.dead_letter(id).await?.ok_or_else(|| gone(id, None))?;
    let is_dry = body.dry_run;
    let body = body.bytes(&letter)?;
    let forecast = dead_letters::dry_run_edit(store, &backends.sources, &letter, &body).await?;
    let forecast = forecast.unwrap_or_default();
    if is_dry {
        let view = DeadLetterCommandView::of_dry_run(name, &forecast);
        return Ok((StatusCode::OK, Json(view)));
    }
    let edited = in_time(dead_letters::edit(&backends.broker, store, name, &body)).await?;
    let (status, Json(view)) = answer(name, edited)?;
    Ok((status, Json(view.with_forecast(&forecast))))
}

/// The dead letter that a command is about, or why there can be no command.
fn free(id: MessageId, found: Result<Target, StoreError>) -> Result<DeadLetterName, Problem> {
    match found? {
        Target::Free(name) => Ok(name),
        Target::InReplay(replay) => {
            let detail =
                format!("it is in replay {replay}; cancel the replay, or wait until it is done");
            Err(Problem::new(ProblemCode::DeadLetterInReplay, detail))
        }
        Target::Ended(ended) => Err(gone(id, Some(ended))),
        Target::Unknown => Err(gone(id, None)),
    }
}

fn gone(id: MessageId, ended: Option<Ended>) -> Problem {
    Problem::new(ProblemCode::DeadLetterUnknown, dead_letters::why_gone(id, ended))
}

/// The answer to a command with this progress.
fn answer(
    name: DeadLetterName,
    Commanded { message_id, progress }: Commanded,
) -> Result<(StatusCode, Json<DeadLetterCommandView>), Problem> {
    let (status, applied) = match progress {
        Progress::Applied => (StatusCode::OK, true),
        Progress::Queued => (StatusCode::ACCEPTED, false),
        Progress::Ended => {
            let detail = "the dead letter ended before it could be edited; nothing was changed";
            return Err(Problem::new(ProblemCode::DeadLetterUnknown, detail));
        }
    };
    Ok((status, Json(DeadLetterCommandView::new(name, message_id, applied))))
}
