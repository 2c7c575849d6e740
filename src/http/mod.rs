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

mod idle;
pub mod problem;
mod stream;

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

pub use axum::Router;
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
use stream::Stream;

/// How long to pause accepting when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The most that headers may take, in bytes.
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// The most headers of one request.
const HEADERS_MAX: usize = 64;
/// How long a client may read nothing of an answer that waits for it.
const WRITE_STALL_MAX: Duration = Duration::from_secs(30);
/// How long a closed connection still reads what the client sends.
const LINGER: Duration = Duration::from_secs(1);

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
    serve_current(listener, router, limits, stop).await;
}

/// Serves requests until `stop`, then finishes those under way. Each goes to the router that is the
/// current one when the request arrives.
///
/// Requests with incomplete headers end at their header timeout. The others have no timeout here:
/// the caller drops the future to end them all.
pub async fn serve_current(
    listener: TcpListener,
    router: watch::Receiver<Router>,
    limits: Limits,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    let idle = Arc::new(IdleConnections::default());
    // Accepted and not served yet: it needs a place.
    let mut waiting: Option<TcpStream> = None;
    // Whether a connection was told to close and none has ended since.
    let mut is_shedding = false;
    loop {
        if connections.len() < limits.connections_max
            && let Some(stream) = waiting.take()
        {
            let (router, activity, stop) = (router.clone(), idle.add(), stop.clone());
            connections.spawn(serve_connection(stream, router, activity, limits, stop));
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
                    Ok((stream, _)) => waiting = Some(stream),
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

/// Serves one connection until it ends, until it is shed, or until `stop` and the end of the
/// request under way.
async fn serve_connection(
    stream: TcpStream,
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
    let service = service_fn(|request: Request<Incoming>| {
        let under_way = activity.begin_request();
        let current = router.borrow().clone();
        let answer = TowerToHyperService::new(current).call(request);
        async move {
            let answer = answer.await?;
            Ok::<_, Infallible>(answer.map(|body| body.map_err(move |error| under_way.keep(error))))
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(HEADER_BYTES_MAX)
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
    if let Err(error) = ended {
        tracing::debug!(error = causes(&error), "a connection ended early");
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
