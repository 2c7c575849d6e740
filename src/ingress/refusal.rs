//! Why a request was refused: the answer to its sender, and the line in the log.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::body::BodyError;
use super::signature::SignatureError;
use crate::broker::BrokerError;
use crate::domain::causes;
use crate::http::problem::{Problem, ProblemCode};

/// Why a request was refused. Its text is for the sender, so it reveals nothing of the server.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// No route, or not the token: the sender cannot tell which.
    #[error("there is nothing at this path")]
    NothingHere,
    /// Not a POST.
    #[error("webhooks are sent with POST")]
    Method,
    /// It came through a proxy, and nothing would be verified.
    #[error("this service verifies nothing, so it takes nothing through a proxy")]
    Forwarded,
    /// The body was not taken.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// It is not known to be authentic.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Too many webhooks are on their way to the queue.
    #[error("too many webhooks are under way; send it again")]
    Busy,
    /// The broker did not take the envelope.
    #[error("the webhook was not taken; send it again")]
    Unpublished(#[source] BrokerError),
    /// The broker did not confirm in time; the envelope may or may not be on the queue.
    #[error("the webhook was not taken in time; send it again")]
    Unconfirmed,
    /// The program failed.
    #[error("the request could not be answered; send it again")]
    Panicked,
}

/// What is answered when a webhook may get lost: this service failed, or its secret is not that of
/// the sender. Alerts fire when these grow.
pub(super) const WATCHED: [ProblemCode; 8] = [
    ProblemCode::BrokerBlocked,
    ProblemCode::BrokerFull,
    ProblemCode::BrokerUnavailable,
    ProblemCode::IngressBusy,
    ProblemCode::Internal,
    ProblemCode::SignatureExpired,
    ProblemCode::SignatureMalformed,
    ProblemCode::SignatureMismatch,
];

impl Refusal {
    /// The code that is answered and counted.
    pub(super) const fn code(&self) -> ProblemCode {
        match self {
            Self::NothingHere => ProblemCode::RouteUnknown,
            Self::Method => ProblemCode::Method,
            Self::Forwarded => ProblemCode::AuthForbidden,
            Self::Body(BodyError::TooLarge { .. }) => ProblemCode::BodyTooLarge,
            Self::Body(BodyError::Slow) => ProblemCode::BodySlow,
            Self::Body(BodyError::Empty | BodyError::Broken) => ProblemCode::RequestInvalid,
            Self::Signature(SignatureError::Missing(_)) => ProblemCode::SignatureMissing,
            Self::Signature(SignatureError::Malformed(_)) => ProblemCode::SignatureMalformed,
            Self::Signature(SignatureError::Mismatch) => ProblemCode::SignatureMismatch,
            Self::Signature(SignatureError::Expired { .. }) => ProblemCode::SignatureExpired,
            Self::Busy | Self::Body(BodyError::Crowded) => ProblemCode::IngressBusy,
            Self::Unpublished(BrokerError::Blocked) => ProblemCode::BrokerBlocked,
            Self::Unpublished(BrokerError::Full) => ProblemCode::BrokerFull,
            // What the broker will never take is not the sender's fault: it may send again, and
            // the log asks a person to act.
            Self::Unpublished(
                BrokerError::Unavailable { .. }
                | BrokerError::Rejected { .. }
                | BrokerError::Corrupt { .. },
            )
            | Self::Unconfirmed => ProblemCode::BrokerUnavailable,
            Self::Panicked => ProblemCode::Internal,
        }
    }

    /// Writes the one line of the log that a refused request has.
    pub(super) fn log(&self, route: &'static str) {
        let code = self.code().as_str();
        match self {
            Self::Unpublished(error) if !error.is_transient() => {
                tracing::error!(route, code, cause = causes(error), "the broker refused a webhook");
            }
            Self::Unpublished(error) => {
                tracing::warn!(
                    route,
                    code,
                    cause = causes(error),
                    "the broker did not take a webhook"
                );
            }
            Self::Unconfirmed => {
                tracing::warn!(route, code, "the broker did not confirm a webhook in time");
            }
            Self::Panicked => tracing::error!(route, code, "the answer to a request panicked"),
            Self::Busy => tracing::info!(route, code, "more webhooks than ingress.in_flight_max"),
            Self::Body(BodyError::Crowded) => {
                tracing::info!(route, code, "larger bodies than ingress.reading_bytes_max allows");
            }
            Self::Forwarded => tracing::info!(
                route,
                code,
                "refused a forwarded request: set ingress.secrets, ingress.path_token or \
                 ingress.credentials, or ingress.allow_unsigned = true"
            ),
            Self::Signature(error) => tracing::info!(route, code, "refused a webhook: {error}"),
            Self::NothingHere | Self::Method | Self::Body(_) => {
                tracing::debug!(route, code, "refused a request: {self}");
            }
        }
    }

    /// Whether the sender may still be sending a body that nobody reads.
    const fn leaves_body_unread(&self) -> bool {
        matches!(
            self,
            Self::Body(
                BodyError::TooLarge { .. }
                    | BodyError::Slow
                    | BodyError::Crowded
                    | BodyError::Broken
            )
        )
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut problem = Problem::new(self.code(), self.to_string());
        if matches!(self, Self::Method) {
            problem = problem.with_header(header::ALLOW, HeaderValue::from_static("POST"));
        }
        if self.leaves_body_unread() {
            problem = problem.with_header(header::CONNECTION, HeaderValue::from_static("close"));
        }
        problem.into_response()
    }
}
