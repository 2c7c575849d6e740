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
//! `ingress.expired` says; one beyond its source's quota is refused.
//!
//! A client that hangs up while its webhook is being published hears nothing, and the envelope
//! may or may not be on the queue. So it is with any answer but 200: the sender sends again, and
//! a webhook that arrives twice counts once.
//!
//! # Invariants
//! - 200 is answered only after [`Broker::publish`] or [`Broker::publish_dead`] said `Ok`.
//! - What requests can make the process hold is limited: 128 KiB for each of `connections_max`, which
//!   are the first 64 KiB of a body, the buffers of hyper and what a task takes; the same 64 KiB for
//!   each of `in_flight_max`; and `reading_bytes_max` for all that bodies have beyond that, from
//!   their first byte until the broker has let go of them. While they are read, for no longer than
//!   `body_timeout`. `tests/it/ingress/memory.rs` compares this with what the system counts.
//! - No body, token, signature or path enters a log line or an answer.

mod body;
mod envelope;
mod in_flight;
mod quota;
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
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;

use crate::broker::{Broker, BrokerError, Envelope};
use crate::clock;
use crate::config::{Expired, IngressSettings};
use crate::domain::{Code, MessageId, Rejection};
use crate::http::problem::ProblemCode;
use crate::http::{NO_ROUTE, Peer, check_local};
use crate::metrics::Metrics;
use refusal::Refusal;
use signature::SignatureError;
use source::{Source, Sources};

/// Where webhooks are taken.
const ROUTE: &str = "/webhooks/duda";
/// Where webhooks are taken when a token is configured.
const ROUTE_WITH_TOKEN: &str = "/webhooks/duda/{token}";
/// What an accepted webhook is counted as.
const OK: &str = "ok";

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
        let methods = any(webhook).layer(catch_panics(&ingress, ROUTE));
        router = with_slash(router, ROUTE, &methods);
    }
    if ingress.sources.has_hidden() {
        let layer = catch_panics(&ingress, ROUTE_WITH_TOKEN);
        router = with_slash(router, ROUTE_WITH_TOKEN, &any(webhook_with_token).layer(layer));
    }
    router.fallback(nothing).with_state(ingress)
}

/// Adds a route, and the same with a slash at its end: who wrote the address with one would lose
/// every webhook.
fn with_slash(
    router: Router<Arc<Ingress>>,
    path: &str,
    methods: &MethodRouter<Arc<Ingress>>,
) -> Router<Arc<Ingress>> {
    router.route(path, methods.clone()).route(&format!("{path}/"), methods.clone())
}

/// What to call for each request that reaches no route, as it is not valid HTTP.
pub fn count_invalid(metrics: Arc<Metrics>) -> impl Fn() + Clone + Send + Sync + 'static {
    move || metrics.count_answer(ProblemCode::RequestInvalid.as_str())
}

/// Answers for a panic. Its own text may hold anything, so it stays with the panic hook.
fn catch_panics(
    ingress: &Arc<Ingress>,
    route: &'static str,
) -> CatchPanicLayer<impl FnMut(Box<dyn Any + Send + 'static>) -> Response + Clone + Send + use<>> {
    let ingress = Arc::clone(ingress);
    CatchPanicLayer::custom(move |_| ingress.answer(route, None, Err(Refusal::Panicked)))
}

/// Answers a request at the route without a token.
async fn webhook(State(ingress): State<Arc<Ingress>>, request: Request) -> Response {
    let peer = request.extensions().get().copied();
    let received = ingress.receive(None, request).await;
    ingress.answer(ROUTE, peer, received)
}

/// Answers a request at the route with a token.
async fn webhook_with_token(
    State(ingress): State<Arc<Ingress>>,
    token: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    // One that is not UTF-8 is as wrong as any other.
    let token = token.map(|Path(token)| token).unwrap_or_default();
    let peer = request.extensions().get().copied();
    let received = ingress.receive(Some(&token), request).await;
    ingress.answer(ROUTE_WITH_TOKEN, peer, received)
}

/// Answers a request at any other path.
async fn nothing(State(ingress): State<Arc<Ingress>>, request: Request) -> Response {
    let peer = request.extensions().get().copied();
    ingress.answer(NO_ROUTE, peer, Err(Refusal::NothingHere))
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
    /// A permit for each byte that large bodies may hold.
    reading: Arc<Semaphore>,
    /// A permit for each webhook on its way to the queue.
    in_flight: Arc<Semaphore>,
}

impl Ingress {
    fn new(broker: Arc<dyn Broker>, settings: &IngressSettings, metrics: Arc<Metrics>) -> Self {
        metrics.expect_answers(refusal::CODES.map(ProblemCode::as_str).into_iter().chain([OK]));
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
            reading: Arc::new(semaphore(usize::try_from(settings.reading_bytes_max.0))),
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
        self.check_sender(&request)?;
        check_encoding(request.headers())?;
        body::check_announced(request.body(), self.body_limits)?;
        let (head, body) = request.into_parts();
        let (body, share) = body::read(body, self.body_limits, &self.reading).await?;
        let received_at = clock::now();
        let authentic = source::authenticate(sources, &head.headers, &body)?;
        let in_time = authentic.signed_at.map_or(Ok(()), |signed_at| {
            signature::check_age(signed_at, received_at, self.replay_window)
        });
        if let (Err(expired), Expired::Reject) = (&in_time, self.expired) {
            return Err(Refusal::Signature(*expired));
        }
        let Source { name: source, quota, .. } = authentic.source;
        quota
            .take(body.len(), Instant::now())
            .map_err(|retry_after| Refusal::Quota { source_name: source.clone(), retry_after })?;
        // Not waited for: a sender that gets this answer at once knows that it has to send again.
        let in_flight = Arc::clone(&self.in_flight).try_acquire_owned();
        let body = in_flight::keep_place(body, in_flight.map_err(|_| Refusal::Busy)?, share);
        let envelope = envelope::seal(&head.headers, body, received_at, source);
        let published = match in_time {
            Ok(()) => self.publish(envelope).await,
            Err(expired) => self.publish_expired(envelope, &expired).await,
        };
        published.inspect(|_| self.metrics.record_received(source, received_at))
    }

    /// Who may send to this path.
    fn sources_at(&self, token: Option<&str>) -> Result<&[Source], Refusal> {
        let sources = self.sources.at(token);
        if sources.is_empty() { Err(Refusal::NothingHere) } else { Ok(sources) }
    }

    /// While nothing is verified, takes webhooks of this machine only: a service that listens on
    /// loopback, and takes everything for that reason, may have been made public by a proxy.
    fn check_sender(&self, request: &Request) -> Result<(), Refusal> {
        if !self.sources.is_open() || self.allow_unsigned {
            return Ok(());
        }
        check_local(request.uri(), request.headers()).map_err(Refusal::Foreign)
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
    fn answer(
        &self,
        route: &'static str,
        peer: Option<Peer>,
        received: Result<MessageId, Refusal>,
    ) -> Response {
        let code = match &received {
            Ok(_) => OK,
            Err(refusal) => refusal.code().as_str(),
        };
        self.metrics.count_answer(code);
        match received {
            Ok(id) => axum::Json(Accepted { id }).into_response(),
            Err(refusal) => {
                refusal.log(route, peer);
                refusal.into_response()
            }
        }
    }
}

/// Refuses a body that would have to be decoded: what is signed and limited is what is sent.
fn check_encoding(headers: &HeaderMap) -> Result<(), Refusal> {
    let is_identity = |value: &HeaderValue| {
        let mut codings = value.as_bytes().split(|byte| *byte == b',');
        codings.all(|coding| {
            let coding = coding.trim_ascii();
            coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")
        })
    };
    let is_plain = headers.get_all(header::CONTENT_ENCODING).iter().all(is_identity);
    if is_plain { Ok(()) } else { Err(Refusal::Encoding) }
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
