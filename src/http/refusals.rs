//! The line of the log that a refused request has.

use std::fmt::Display;
use std::net::SocketAddr;

use super::problem::ProblemCode;

/// The address of the client; [`super::serve`] puts it into the extensions of each request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Logs a refused request. `detail` must hold nothing of the request's content.
///
/// A stranger can cause any number of these lines, so all of them are written here.
pub fn log_refusal(peer: Option<Peer>, route: &str, code: ProblemCode, detail: &dyn Display) {
    let peer = peer.map(|Peer(address)| tracing::field::display(address.ip().to_canonical()));
    tracing::info!(route, code = code.as_str(), peer, "refused a request: {detail}");
}
