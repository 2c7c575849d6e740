//! Why a request was refused: the answer to its sender, and the line in the log.

use std::fmt::Display;
use std::time::Duration;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::body::BodyError;
use super::signature::SignatureError;
use crate::broker::BrokerError;
use crate::domain::causes;
use crate::http::problem::{Problem, ProblemCode};
use crate::http::{Peer, log_refusal};

/// Why a request was refused. Its text is for the sender, so it reveals nothing of the server.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// No route, or not the token: the sender cannot tell which.
    #[error("there is nothing at this path")]
    NothingHere,
    /// Not a POST.
    #[error("webhooks are sent with POST")]
    Method,
    /// It is not of this machine, and nothing would be verified.
    #[error("{0}")]
    Foreign(&'static str),
    /// The body is compressed: the signature and the limits are of what is sent.
    #[error("Content-Encoding: bodies are taken as they are, without an encoding")]
    Encoding,
    /// The body was not taken.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// It is not known to be authentic.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The source has sent as much within a minute as it may.
    #[error("the source has used up its quota; send it again in {} s", whole_seconds(.retry_after))]
    Quota {
        /// The name of the source.
        source_name: String,
        /// When the next minute begins.
        retry_after: Duration,
    },
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

/// Every code that is answered. Each may mean that webhooks are lost: this service failed, its
/// settings are not those of the sender, or the sender's address for it is wrong.
pub(super) const CODES: [ProblemCode; 17] = [
    ProblemCode::AuthForbidden,
    ProblemCode::BodySlow,
    ProblemCode::BodyTooLarge,
    ProblemCode::BrokerBlocked,
    ProblemCode::BrokerFull,
    ProblemCode::BrokerUnavailable,
    ProblemCode::IngressBusy,
    ProblemCode::IngressQuota,
    ProblemCode::Internal,
    ProblemCode::Method,
    ProblemCode::RequestEncoding,
    ProblemCode::RequestInvalid,
    ProblemCode::RouteUnknown,
    ProblemCode::SignatureExpired,
    ProblemCode::SignatureMalformed,
    ProblemCode::SignatureMismatch,
    ProblemCode::SignatureMissing,
];

impl Refusal {
    /// The code that is answered and counted.
    pub(super) const fn code(&self) -> ProblemCode {
        match self {
            Self::NothingHere => ProblemCode::RouteUnknown,
            Self::Method => ProblemCode::Method,
            Self::Foreign(_) => ProblemCode::AuthForbidden,
            Self::Encoding => ProblemCode::RequestEncoding,
            Self::Quota { .. } => ProblemCode::IngressQuota,
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
    pub(super) fn log(&self, route: &'static str, peer: Option<Peer>) {
        let code = self.code().as_str();
        let refuse = |detail: &dyn Display| log_refusal(peer, route, self.code(), detail);
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
            Self::Quota { source_name: source, .. } => refuse(&format_args!(
                "source {source:?} has sent more than ingress.quota_per_minute or \
                 ingress.quota_bytes_per_minute allows"
            )),
            Self::Busy => refuse(&"more webhooks than ingress.in_flight_max"),
            Self::Body(BodyError::Crowded) => {
                refuse(&"larger bodies than ingress.reading_bytes_max allows");
            }
            Self::Foreign(detail) => refuse(&format_args!(
                "{detail}; set ingress.secrets, ingress.path_token or ingress.credentials, or \
                 ingress.allow_unsigned = true"
            )),
            Self::Signature(_)
            | Self::NothingHere
            | Self::Method
            | Self::Encoding
            | Self::Body(_) => refuse(self),
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

/// So many seconds that waiting for them is enough.
const fn whole_seconds(time: &Duration) -> u64 {
    time.as_secs() + if time.subsec_nanos() > 0 { 1 } else { 0 }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut problem = Problem::new(self.code(), self.to_string());
        if matches!(self, Self::Method) {
            problem = problem.with_header(header::ALLOW, HeaderValue::from_static("POST"));
        }
        if matches!(self, Self::Encoding) {
            let identity = HeaderValue::from_static("identity");
            problem = problem.with_header(header::ACCEPT_ENCODING, identity);
        }
        if let Self::Quota { retry_after, .. } = self {
            let seconds = HeaderValue::from(whole_seconds(&retry_after));
            problem = problem.with_header(header::RETRY_AFTER, seconds);
        }
        if self.leaves_body_unread() {
            problem = problem.with_header(header::CONNECTION, HeaderValue::from_static("close"));
        }
        problem.into_response()
    }
}
