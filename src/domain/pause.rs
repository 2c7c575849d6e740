//! A pause of the work queue, which a person asked for and a person ends.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Identifier, Timestamp};

/// Workers take nothing from the work queue until somebody resumes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// The person.
    pub actor: Identifier,
    /// When the queue was paused.
    pub at: Timestamp,
    /// The reason, if one was given.
    pub reason: Option<Identifier>,
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "paused by {} at {}", self.actor, self.at)?;
        match &self.reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}
