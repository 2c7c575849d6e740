//! Reads the path, query and body of a request; whatever is malformed is `request.invalid`.

use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Backends;
use super::access::Caller;
use super::guard::WaitTimeout;
use crate::domain::{MessageId, Site};
use crate::http::problem::{Problem, ProblemCode};

/// The parameters in a path, each percent-decoded once.
pub(super) struct Path<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(path)| Self(path)).map_err(|error| invalid(error.body_text()))
    }
}

/// The parameters of the query. `T` refuses names that it does not know.
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::try_from_uri(&parts.uri);
        query.map(|axum::extract::Query(query)| Self(query)).map_err(|error| {
            use std::error::Error;
            let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            invalid(format!("query: {cause}"))
        })
    }
}

/// What every change of an item or an order comes with beside its body.
pub(super) struct ChangeRequest<P> {
    pub(super) backends: Backends,
    /// What the path names.
    pub(super) path: P,
    /// Who asks for the change.
    pub(super) caller: Caller,
    /// How long to wait until a worker has applied it.
    pub(super) timeout: Duration,
}

impl<P: DeserializeOwned + Send> FromRequestParts<Backends> for ChangeRequest<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, backends: &Backends) -> Result<Self, Problem> {
        let Path(path) = Path::from_request_parts(parts, backends).await?;
        let Query(NoParameters {}) = Query::from_request_parts(parts, backends).await?;
        let caller = Caller::from_request_parts(parts, backends).await?;
        let timeout = parts.extensions.get::<WaitTimeout>().expect("every request is guarded");
        Ok(Self { backends: backends.clone(), path, caller, timeout: timeout.0 })
    }
}

/// The query of a route that takes no parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoParameters {}

/// The largest body of a change, in bytes, unless a route sets another limit.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// The JSON body of a change, of so many bytes at most; the guard has checked its media type. `T`
/// refuses members that it does not know.
pub(super) struct JsonBody<T, const BYTES_MAX: usize = BODY_BYTES_MAX>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned, const BYTES_MAX: usize> FromRequest<S>
    for JsonBody<T, BYTES_MAX>
{
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let body = Limited::new(request.into_body(), BYTES_MAX).collect();
        // The rest of the body is dropped with its connection.
        let unread = |code, detail| {
            let close = HeaderValue::from_static("close");
            Problem::new(code, detail).with_header(header::CONNECTION, close)
        };
        let body = tokio::time::timeout(BODY_TIMEOUT, body).await.map_err(|_| {
            unread(ProblemCode::BodySlow, "the body did not arrive in time".to_owned())
        })?;
        let body = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => unread(
                ProblemCode::BodyTooLarge,
                format!("the body is larger than {BYTES_MAX} bytes"),
            ),
            None => unread(ProblemCode::RequestInvalid, "the body is not valid HTTP".to_owned()),
        })?;
        let body = body.to_bytes();
        // serde would also accept a list of the members' values.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(invalid("body: must be an object"));
        }
        serde_json::from_slice(&body).map(Self).map_err(|error| invalid(format!("body: {error}")))
    }
}

/// A malformed request.
pub(super) fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemCode::RequestInvalid, detail)
}

pub(super) fn parse_site(text: &str) -> Result<Site, Problem> {
    Site::parse(text).map_err(|error| invalid(format!("site: {error}")))
}

pub(super) fn parse_message_id(text: &str) -> Result<MessageId, Problem> {
    let id = text.parse().map_err(|error| invalid(format!("message id: {error}")))?;
    Ok(MessageId(id))
}
