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
use crate::http::problem::{Body, Problem, ProblemCode};
use crate::store::{DeadLetterName, StoreError};

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
}

impl NewBody {
    fn bytes(self) -> Result<Vec<u8>, Problem> {
        let bytes = match (self.text, self.base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(base64)) => {
                STANDARD.decode(base64).map_err(|_| invalid("base64: is not standard base64"))?
            }
            (Some(_), Some(_)) | (None, None) => {
                return Err(invalid("expected either text or base64"));
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
            return Err(unknown());
        }
    }
    let name = free(dead_letters::find_to_discard(&*backends.store, id).await)?;
    let done = in_time(dead_letters::discard(&backends.broker, &*backends.store, name)).await?;
    answer(name, done)
}

/// Edits the body of a dead letter; the original body is kept
#[utoipa::path(
    put,
    path = "/v1/dead-letters/{id}/body",
    tag = "dead letters",
    params(("id" = String, Path, description = "The message's id.")),
    request_body = NewBody,
    responses(
        (status = 200, description = "The dead letter has the new body.", body = DeadLetterCommandView),
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
    let name = free(dead_letters::find(&*backends.store, parse_message_id(&id)?).await)?;
    let body = body.bytes()?;
    let edited = dead_letters::edit(&backends.broker, &*backends.store, name, &body);
    answer(name, in_time(edited).await?)
}

/// The dead letter that a command is about, or why there can be no command.
fn free(found: Result<Target, StoreError>) -> Result<DeadLetterName, Problem> {
    match found? {
        Target::Free(name) => Ok(name),
        Target::InReplay(replay) => {
            let detail =
                format!("it is in replay {replay}; cancel the replay, or wait until it is done");
            Err(Problem::new(ProblemCode::DeadLetterInReplay, detail))
        }
        Target::Unknown => Err(unknown()),
    }
}

fn unknown() -> Problem {
    Problem::new(ProblemCode::DeadLetterUnknown, "no such message is parked")
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
