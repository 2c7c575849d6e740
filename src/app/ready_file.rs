//! The ready file: where the process listens, for whoever started it with port 0. Roles that the
//! process does not have are left out.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::RunError;

/// The addresses that a process listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// Where webhooks are taken, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<SocketAddr>,
    /// Where the operator API is, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<SocketAddr>,
    /// Where liveness, readiness and metrics are.
    pub probes: SocketAddr,
}

impl Addresses {
    /// Says in the log that all is up, and where.
    pub(super) fn log(&self) {
        let (ingress, console) =
            (self.ingress.map(tracing::field::display), self.console.map(tracing::field::display));
        tracing::info!(ingress, console, probes = %self.probes, "ready");
    }

    /// Writes the addresses as JSON; a reader finds all of the file or no file.
    pub(super) fn write_to(&self, path: &Path) -> Result<(), RunError> {
        let write = || {
            // A bare file name has an empty parent, which means the working directory.
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let directory = directory.unwrap_or_else(|| Path::new("."));
            let mut file = tempfile::NamedTempFile::new_in(directory)?;
            serde_json::to_writer(&mut file, self).map_err(io::Error::from)?;
            file.write_all(b"\n")?;
            file.persist(path)?;
            Ok(())
        };
        write().map_err(|source| RunError::ReadyFile { path: path.display().to_string(), source })
    }
}
