//! Why a duty was not done.

use crate::broker::BrokerError;
use crate::dead_letters::ReplayError;
use crate::store::StoreError;
use crate::upkeep::rebuild::RebuildError;

/// Why a duty was not done.
#[derive(Debug, thiserror::Error)]
pub enum DutyError {
    /// The Store did not do what was asked.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The queue did not do what was asked.
    #[error("the broker failed")]
    Broker(#[from] BrokerError),
    /// The journal was not replayed.
    #[error("the journal was not replayed")]
    Rebuild(#[from] RebuildError),
    /// A replay of dead letters was not continued.
    #[error("a replay was not continued")]
    Replay(#[from] ReplayError),
    /// The lease is another process's by now.
    #[error("another process leads by now")]
    Superseded,
}

impl DutyError {
    /// Whether only a person can end this.
    pub(super) const fn needs_a_person(&self) -> bool {
        matches!(self, Self::Rebuild(RebuildError::InPart(_)))
    }
}
