//! HTTP in: a webhook becomes an envelope on the queue, and its sender gets an answer.
//!
//! A request is checked (method, token, size, signature, time, in this order), read completely,
//! given a message id and published; the answer 200 follows the broker's confirm. The body is not
//! parsed: what is authentic is kept, whatever it says. [`crate::http::serve`] serves the
//! [`router`]. The places of `in_flight_max` are for what is authentic, so strangers cannot take
//! them.
//!
//! Several sources may send, each with its own token or secrets; the envelope names the one that
//! did. A webhook that is authentic but too old is refused, or taken as a dead letter, as
//! `ingress.expired` says.
//!
//! A client that hangs up while its webhook is being published hears nothing, and the envelope
//! may or may not be on the queue. So it is with any answer but 200: the sender sends again, and
//! a webhook that arrives twice counts once.
//!
//! # Invariants
//! - 200 is answered only after [`Broker::publish`] or [`Broker::publish_dead`] said `Ok`.
//! - What requests can make the process hold is limited. While bodies are read: 64 KiB for each of
//!   `connections_max`, and `reading_bytes_max` together, for no longer than `body_timeout`. After
//!   that: `body_bytes_max` for each of `in_flight_max`, until the broker has let go of the body.
//! - No body, token, signature or path enters a log line or an answer.

mod body;
mod envelope;
mod in_flight;
mod refusal;
pub mod signature;
mod source;

use std::any::Any;
use std::fmt;
use std::num::TryFromIntError;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde::Serialize;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

use crate::broker::{Broker, BrokerError, Envelope};
use crate::clock;
use crate::config::{Expired, IngressSettings};
use crate::domain::{Code, MessageId, Rejection};
use crate::http::problem::ProblemCode;
use crate::metrics::{CodeLabel, Metrics};
use refusal::Refusal;
use signature::SignatureError;
use source::{Source, Sources};

/// Where webhooks are taken.
const ROUTE: &str = "/webhooks/duda";
/// Where webhooks are taken when a token is configured.
const ROUTE_WITH_TOKEN: &str = "/webhooks/duda/{token}";
/// What an accepted webhook is counted as.
const OK: &str = "ok";
/// What log lines call the paths at which there is nothing.
const NO_ROUTE: &str = "none";

/// The answer to a webhook that is on the queue.
#[derive(Serialize)]
struct Accepted {
    id: MessageId,
}

/// The routes of the ingress: those of webhooks, and problems everywhere else.
pub fn router(
    broker: Arc<dyn Broker>,
    settings: &IngressSettings,
    metrics: Arc<Metrics>,
) -> Router {
    let ingress = Arc::new(Ingress::new(broker, settings, metrics));
    let mut router = Router::new();
    if ingress.sources.has_plain() {
        router = router.route(ROUTE, any(webhook).layer(catch_panics(&ingress, ROUTE)));
    }
    if ingress.sources.has_hidden() {
        let layer = catch_panics(&ingress, ROUTE_WITH_TOKEN);
        router = router.route(ROUTE_WITH_TOKEN, any(webhook_with_token).layer(layer));
    }
    router.fallback(nothing).with_state(ingress)
}

/// Answers for a panic. Its own text may hold anything, so it stays with the panic hook.
fn catch_panics(
    ingress: &Arc<Ingress>,
    route: &'static str,
) -> CatchPanicLayer<impl FnMut(Box<dyn Any + Send + 'static>) -> Response + Clone + Send + use<>> {
    let ingress = Arc::clone(ingress);
    CatchPanicLayer::custom(move |_| ingress.answer(route, Err(Refusal::Panicked)))
}

/// Answers a request at the route without a token.
async fn webhook(State(ingress): State<Arc<Ingress>>, request: Request) -> Response {
    let received = ingress.receive(None, request).await;
    ingress.answer(ROUTE, received)
}

/// Answers a request at the route with a token.
async fn webhook_with_token(
    State(ingress): State<Arc<Ingress>>,
    token: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    // One that is not UTF-8 is as wrong as any other.
    let token = token.map(|Path(token)| token).unwrap_or_default();
    let received = ingress.receive(Some(&token), request).await;
    ingress.answer(ROUTE_WITH_TOKEN, received)
}

/// Answers a request at any other path.
async fn nothing(State(ingress): State<Arc<Ingress>>) -> Response {
    ingress.answer(NO_ROUTE, Err(Refusal::NothingHere))
}

/// What the routes share.
struct Ingress {
    broker: Arc<dyn Broker>,
    metrics: Arc<Metrics>,
    sources: Sources,
    allow_unsigned: bool,
    replay_window: Duration,
    expired: Expired,
    body_limits: body::BodyLimits,
    publish_timeout: Duration,
    /// A permit for each byte that large bodies may hold while they are read.
    reading: Semaphore,
    /// A permit for each webhook on its way to the queue.
    in_flight: Arc<Semaphore>,
}

impl Ingress {
    fn new(broker: Arc<dyn Broker>, settings: &IngressSettings, metrics: Arc<Metrics>) -> Self {
        metrics.expect_answers(refusal::WATCHED.map(ProblemCode::as_str).into_iter().chain([OK]));
        Self {
            broker,
            metrics,
            sources: Sources::new(settings),
            allow_unsigned: settings.allow_unsigned,
            replay_window: settings.replay_window,
            expired: settings.expired,
            body_limits: body::BodyLimits {
                bytes_max: settings.body_bytes_max,
                timeout: settings.body_timeout,
            },
            publish_timeout: settings.publish_timeout,
            reading: semaphore(usize::try_from(settings.reading_bytes_max.0)),
            in_flight: Arc::new(semaphore(Ok(settings.in_flight_max))),
        }
    }

    /// Checks a webhook and publishes it.
    ///
    /// Dies or is dropped before the confirm: the envelope may or may not be on the queue, and
    /// the sender, which heard nothing, sends again.
    async fn receive(&self, token: Option<&str>, request: Request) -> Result<MessageId, Refusal> {
        if request.method() != Method::POST {
            return Err(Refusal::Method);
        }
        let sources = self.sources_at(token)?;
        self.check_direct(request.headers())?;
        body::check_announced(request.body(), self.body_limits)?;
        let (head, body) = request.into_parts();
        let body = body::read(body, self.body_limits, &self.reading).await?;
        let received_at = clock::now();
        let authentic = source::authenticate(sources, &head.headers, &body)?;
        let in_time = authentic.signed_at.map_or(Ok(()), |signed_at| {
            signature::check_age(signed_at, received_at, self.replay_window)
        });
        if let (Err(expired), Expired::Reject) = (&in_time, self.expired) {
            return Err(Refusal::Signature(*expired));
        }
        // Not waited for: a sender that gets this answer at once knows that it has to send again.
        let in_flight = Arc::clone(&self.in_flight).try_acquire_owned();
        let body = in_flight::keep_place(body, in_flight.map_err(|_| Refusal::Busy)?);
        let source = &authentic.source.name;
        let envelope = envelope::seal(&head.headers, body, received_at, source);
        match in_time {
            Ok(()) => self.publish(envelope).await,
            Err(expired) => self.publish_expired(envelope, &expired).await,
        }
    }

    /// Who may send to this path.
    fn sources_at(&self, token: Option<&str>) -> Result<&[Source], Refusal> {
        let sources = self.sources.at(token);
        if sources.is_empty() { Err(Refusal::NothingHere) } else { Ok(sources) }
    }

    /// Refuses what came through a proxy while nothing is verified: a service that listens on
    /// loopback, and takes everything for that reason, may have been made public by the proxy.
    fn check_direct(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let forwarded =
            headers.contains_key(header::FORWARDED) || headers.contains_key("x-forwarded-for");
        if self.sources.is_open() && forwarded && !self.allow_unsigned {
            return Err(Refusal::Forwarded);
        }
        Ok(())
    }

    async fn publish(&self, envelope: Envelope) -> Result<MessageId, Refusal> {
        let message_id = envelope.message_id;
        self.confirmed(self.broker.publish(envelope)).await?;
        Ok(message_id)
    }

    /// Publishes an authentic webhook that came too late as a dead letter.
    ///
    /// Dies before the confirm: as for [`receive`](Self::receive). A webhook that is sent again is
    /// a dead letter of its own; replaying both counts once.
    async fn publish_expired(
        &self,
        envelope: Envelope,
        expired: &SignatureError,
    ) -> Result<MessageId, Refusal> {
        let message_id = envelope.message_id;
        let rejection = Rejection::new(Code::SignatureExpired, expired.to_string());
        self.confirmed(self.broker.publish_dead(envelope, rejection)).await?;
        self.metrics.count_dead_letter(Code::SignatureExpired);
        tracing::warn!(%message_id, code = %Code::SignatureExpired, "dead letter");
        Ok(message_id)
    }

    async fn confirmed(
        &self,
        publishing: impl Future<Output = Result<(), BrokerError>>,
    ) -> Result<(), Refusal> {
        tokio::time::timeout(self.publish_timeout, publishing)
            .await
            .map_err(|_| Refusal::Unconfirmed)?
            .map_err(Refusal::Unpublished)
    }

    /// Counts an answer, logs a refusal, and writes the response.
    fn answer(&self, route: &'static str, received: Result<MessageId, Refusal>) -> Response {
        let code = match &received {
            Ok(_) => OK,
            Err(refusal) => refusal.code().as_str(),
        };
        self.metrics.webhooks_received.get_or_create(&CodeLabel { code }).inc();
        match received {
            Ok(id) => axum::Json(Accepted { id }).into_response(),
            Err(refusal) => {
                refusal.log(route);
                refusal.into_response()
            }
        }
    }
}

/// So many permits, or as many as there can be.
fn semaphore(permits: Result<usize, TryFromIntError>) -> Semaphore {
    let most = Semaphore::MAX_PERMITS;
    Semaphore::new(permits.map_or(most, |permits| permits.min(most)))
}

/// Nothing of the secrets is shown, not even how many there are.
impl fmt::Debug for Ingress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ingress").finish_non_exhaustive()
    }
}
