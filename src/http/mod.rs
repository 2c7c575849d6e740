//! Serving HTTP: one accept loop for ingress, console and probes.
//!
//! `axum::serve` builds its connections without a timer, so a client that sends a byte of its
//! headers per minute would stay for ever. This loop limits what a client may use: connections,
//! headers, the time to send them, and the time to read the answers. The routes limit the bodies
//! and their time. HTTP/1 only; a proxy terminates TLS and HTTP/2.
//!
//! When all connections are taken and another client comes, the connection that is idle longest
//! is closed for it. If none is idle, the client waits.
//!
//! # Invariants
//! - A request that was read completely before `stop` is answered.
//! - No connection outlives the future of [`serve`].
//! - No client keeps a connection by doing nothing.
//! - What is not valid HTTP is answered 4xx, logged, and counted where the caller counts.

mod idle;
mod lines;
mod local;
pub mod problem;
mod refusals;
mod stream;

use std::convert::Infallible;
use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

pub use axum::Router;
use axum::http::{HeaderValue, Version, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::domain::causes;
use idle::{Activity, IdleConnections};
pub use local::check_local;
use problem::{Problem, ProblemCode};
pub use refusals::{Peer, log_refusal};
use stream::Stream;

/// How long to pause accepting when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The most that the request line and the headers may take together, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The most headers of one request.
const HEADERS_MAX: usize = 64;
/// How long a client may read nothing of an answer that waits for it.
const WRITE_STALL_MAX: Duration = Duration::from_secs(30);
/// How long a closed connection still reads what the client sends.
const LINGER: Duration = Duration::from_secs(1);
/// What log lines call the route of a request that reaches none.
pub const NO_ROUTE: &str = "none";

/// What one listener allows.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time; further ones take the places of idle ones, or wait for a place.
    pub connections_max: usize,
    /// How long a client may take to send its headers, or be silent between two requests.
    pub header_timeout: Duration,
}

/// Serves requests with one router; see [`serve_current`].
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: CancellationToken) {
    let (_routers, router) = watch::channel(router);
    serve_current(listener, router, limits, || (), stop).await;
}

/// Serves requests until `stop`, then finishes those under way. Each goes to the router that is the
/// current one when the request arrives. `count_invalid` is called for each that reaches none, as it
/// is not valid HTTP.
///
/// Requests with incomplete headers end at their header timeout. The others have no timeout here:
/// the caller drops the future to end them all.
pub async fn serve_current(
    listener: TcpListener,
    router: watch::Receiver<Router>,
    limits: Limits,
    count_invalid: impl Fn() + Clone + Send + Sync + 'static,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    let idle = Arc::new(IdleConnections::default());
    // Accepted and not served yet: it needs a place.
    let mut waiting: Option<(TcpStream, SocketAddr)> = None;
    // Whether a connection was told to close and none has ended since.
    let mut is_shedding = false;
    loop {
        if connections.len() < limits.connections_max
            && let Some((stream, peer)) = waiting.take()
        {
            let (router, activity, stop) = (router.clone(), idle.add(), stop.clone());
            let count_invalid = count_invalid.clone();
            let refuse = move |detail: &dyn Display| {
                count_invalid();
                log_refusal(Some(Peer(peer)), NO_ROUTE, ProblemCode::RequestInvalid, detail);
            };
            let client = Client { peer: Peer(peer), refuse };
            connections.spawn(serve_connection(stream, client, router, activity, limits, stop));
        }
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => {
                is_shedding = false;
                log_end(ended);
            }
            () = idle.shed_oldest(), if waiting.is_some() && !is_shedding => is_shedding = true,
            accepted = listener.accept(), if waiting.is_none() => {
                match accepted {
                    Ok(accepted) => waiting = Some(accepted),
                    Err(error) if is_of_one_connection(&error) => {
                        tracing::debug!(%error, "a connection was gone before it was accepted");
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        log_end(ended);
    }
}

/// Who has opened a connection, and what is done about a request of his that is not valid.
struct Client<R> {
    peer: Peer,
    refuse: R,
}

/// Serves one connection until it ends, until it is shed, or until `stop` and the end of the
/// request under way.
async fn serve_connection(
    stream: TcpStream,
    Client { peer, refuse }: Client<impl Fn(&dyn Display) + Sync>,
    router: watch::Receiver<Router>,
    activity: Activity,
    limits: Limits,
    stop: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let stream = Stream::new(stream, WRITE_STALL_MAX, LINGER);
    let activity = Arc::new(activity);
    let service = service_fn(|mut request: Request<Incoming>| {
        let under_way = activity.begin_request();
        request.extensions_mut().insert(peer);
        let current = router.borrow().clone();
        let answer = check_host(&request)
            .inspect_err(|detail| refuse(detail))
            .map(|()| TowerToHyperService::new(current).call(request));
        async move {
            let answer = match answer {
                Ok(answer) => answer.await?,
                Err(detail) => not_valid(detail),
            };
            Ok::<_, Infallible>(answer.map(|body| body.map_err(move |error| under_way.keep(error))))
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_header_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        // The connection first: a request that has arrived is read before `stop` is checked.
        biased;
        ended = connection.as_mut() => ended,
        // What has no request under way owes no answer, however much of a head it has sent.
        () = activity.shed() => {
            if activity.is_idle() {
                return;
            }
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    match ended {
        Ok(()) => {}
        Err(error) if error.is_parse() => refuse(&causes(&error)),
        Err(error) => tracing::debug!(error = causes(&error), "a connection ended early"),
    }
}

/// The answer to a request that is not valid; what follows it on the connection is not trusted.
fn not_valid(detail: &'static str) -> Response {
    Problem::new(ProblemCode::RequestInvalid, detail)
        .with_header(header::CONNECTION, HeaderValue::from_static("close"))
        .into_response()
}

/// Checks what RFC 9112 asks for, and hyper does not check: a request names one host, so that a
/// proxy and this service do not take it for requests to two.
fn check_host(request: &Request<Incoming>) -> Result<(), &'static str> {
    match (request.headers().get_all(header::HOST).iter().count(), request.version()) {
        (1, _) | (0, Version::HTTP_10) => Ok(()),
        (0, _) => Err("Host: the header is missing"),
        _ => Err("Host: the header is there more than once"),
    }
}

/// Whether accepting failed for one client only, so that the next one can be accepted at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    [ConnectionAborted, ConnectionRefused, ConnectionReset].contains(&error.kind())
}

fn log_end(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the task of a connection failed");
    }
}
