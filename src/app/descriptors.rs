//! File descriptors: the default limit of many systems is below the connections that are allowed.
//!
//! A process that runs out of them cannot answer its probes either, and is restarted for a load
//! that it could have carried.

use rustix::process::{Resource, getrlimit, setrlimit};

/// What files, backends and the listeners themselves need beside the connections.
const BESIDE_CONNECTIONS: u64 = 128;

/// Raises the limit to what the system allows; says so if that is too little for so many
/// connections.
pub(super) fn raise(connections_max: usize) {
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    let wanted =
        u64::try_from(connections_max).unwrap_or(u64::MAX).saturating_add(BESIDE_CONNECTIONS);
    // No limit at all is `None`.
    if let Some(allowed) = getrlimit(Resource::Nofile).current.filter(|allowed| *allowed < wanted) {
        tracing::warn!(
            allowed,
            wanted,
            "too few open files are allowed for ingress.connections_max: raise `ulimit -n`, or \
             lower the setting"
        );
    }
}
