//! Serving HTTP: one accept loop for ingress, console and probes.
//!
//! `axum::serve` builds its connections without a timer, so a client that sends its headers a
//! byte a minute would stay for ever. This loop limits what a client may take: connections,
//! headers, the time to send them, and the time to read the answers. Bodies and the time they
//! take are for the routes to limit. HTTP/1 only; TLS and HTTP/2 end at the proxy in front.
//!
//! # Invariants
//! - A request that was read whole when `stop` came is answered.
//! - No connection outlives the future of [`serve`].
//! - No client keeps a connection by doing nothing.

pub mod problem;
mod stream;

use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use stream::Stream;

/// How long to leave the listener alone when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The most that headers may take, in bytes.
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// The most headers of one request.
const HEADERS_MAX: usize = 64;
/// How long a client may read nothing of an answer that waits for it.
const WRITE_STALL_MAX: Duration = Duration::from_secs(30);
/// How long a connection that was ended takes in what the client still sends.
const LINGER: Duration = Duration::from_secs(1);

/// What one listener allows.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time; more wait in the listener's backlog.
    pub connections_max: usize,
    /// How long a client may take to send its headers, or be silent between two requests.
    pub header_timeout: Duration,
}

/// Serves requests until `stop`, then finishes those under way.
///
/// Requests whose headers are incomplete have until their header timeout. There is no deadline
/// for the others: the caller drops the future when its patience ends, which ends them all.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => note_end(ended),
            accepted = listener.accept(), if connections.len() < limits.connections_max => {
                match accepted {
                    Ok((stream, _)) => {
                        let router = router.clone();
                        connections.spawn(serve_connection(stream, router, limits, stop.clone()));
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
        note_end(ended);
    }
}

/// Serves one connection until it ends, or until `stop` and the end of the request under way.
async fn serve_connection(
    stream: TcpStream,
    router: Router,
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
            .max_buf_size(HEADER_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
    );
    let ended = tokio::select! {
        // The connection first: a request that has arrived is read before `stop` is looked at.
        biased;
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Whether accepting failed for one client only, so that the next one can be accepted at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    [ConnectionAborted, ConnectionRefused, ConnectionReset].contains(&error.kind())
}

fn note_end(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the task of a connection failed");
    }
}
