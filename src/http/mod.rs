//! Serving HTTP: one accept loop for ingress, console and probes.
//!
//! `axum::serve` builds its connections without a timer, so a client that sends a byte of its
//! headers per minute would stay for ever. This loop limits what a client may use: connections,
//! headers, the time to send them, and the time to read the answers. The routes limit the bodies
//! and their time. HTTP/1 only; a proxy terminates TLS and HTTP/2.
//!
//! # Invariants
//! - A request that was read completely before `stop` is answered.
//! - No connection outlives the future of [`serve`].
//! - No client keeps a connection by doing nothing.
//! - What is not valid HTTP is answered 4xx, logged, and counted where the caller counts.

mod lines;
mod local;
pub mod problem;
mod refusals;
mod stream;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, Version, header};
use axum::response::{IntoResponse, Response};
use futures_util::future::Either;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::{TowerToHyperService, TowerToHyperServiceFuture};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

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
    /// Connections at a time; others wait in the listener's backlog.
    pub connections_max: usize,
    /// How long a client may take to send its headers, or be silent between two requests.
    pub header_timeout: Duration,
}

/// Serves requests until `stop`, then finishes those under way.
///
/// Requests with incomplete headers end at their header timeout. The others have no timeout here:
/// the caller drops the future to end them all.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: CancellationToken) {
    serve_and_count(listener, router, limits, || (), stop).await;
}

/// As [`serve`]; calls `count_invalid` for each request that reaches no route, as it is not valid.
pub async fn serve_and_count(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    count_invalid: impl Fn() + Clone + Send + Sync + 'static,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => log_end(ended),
            accepted = listener.accept(), if connections.len() < limits.connections_max => {
                match accepted {
                    Ok((stream, peer)) => {
                        let router = TowerToHyperService::new(router.clone());
                        let count_invalid = count_invalid.clone();
                        let requests = Requests { router, peer: Peer(peer), count_invalid };
                        connections.spawn(serve_connection(stream, requests, limits, stop.clone()));
                    }
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

/// Serves one connection until it ends, or until `stop` and the end of the request under way.
async fn serve_connection(
    stream: TcpStream,
    requests: Requests<impl Fn() + Sync>,
    limits: Limits,
    stop: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let stream = Stream::new(stream, WRITE_STALL_MAX, LINGER);
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_header_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(stream), &requests)
    );
    let ended = tokio::select! {
        // The connection first: a request that has arrived is read before `stop` is checked.
        biased;
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    match ended {
        Ok(()) => {}
        Err(error) if error.is_parse() => requests.refuse(&error),
        Err(error) => tracing::debug!(%error, "a connection ended early"),
    }
}

/// What the requests of one connection pass before the routes.
struct Requests<C> {
    router: TowerToHyperService<Router>,
    peer: Peer,
    count_invalid: C,
}

impl<C: Fn()> Requests<C> {
    /// Logs and counts a request that is not valid.
    fn refuse(&self, detail: &dyn std::fmt::Display) {
        (self.count_invalid)();
        log_refusal(Some(self.peer), NO_ROUTE, ProblemCode::RequestInvalid, detail);
    }
}

impl<C: Fn()> Service<Request<Incoming>> for Requests<C> {
    type Response = Response;
    type Error = Infallible;
    type Future = Either<
        TowerToHyperServiceFuture<Router, Request<Incoming>>,
        Ready<Result<Response, Infallible>>,
    >;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if let Err(detail) = check_host(&request) {
            self.refuse(&detail);
            let problem = Problem::new(ProblemCode::RequestInvalid, detail)
                .with_header(header::CONNECTION, HeaderValue::from_static("close"));
            return Either::Right(ready(Ok(problem.into_response())));
        }
        request.extensions_mut().insert(self.peer);
        Either::Left(self.router.call(request))
    }
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
