//! Why a duty failed.

use crate::broker::BrokerError;
use crate::dead_letters::ReplayError;
use crate::store::StoreError;
use crate::upkeep::rebuild::RebuildError;

/// Why a duty failed.
#[derive(Debug, thiserror::Error)]
pub enum DutyError {
    /// The Store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The broker failed.
    #[error("the broker failed")]
    Broker(#[from] BrokerError),
    /// The journal was not replayed.
    #[error("the journal was not replayed")]
    Rebuild(#[from] RebuildError),
    /// A replay of dead letters was not continued.
    #[error("a replay was not continued")]
    Replay(#[from] ReplayError),
    /// The journal does not have all that the Store lacks.
    #[error(
        "store.db is new or an older copy, and the journal in broker.db no longer has all that it \
         lacks (journal.retention removed it): counts are wrong; put a newer copy of store.db in \
         its place, or run `storekeeper journal replay --partial` and count the stock"
    )]
    Gap,
    /// Another process holds the lease by now.
    #[error("another process leads by now")]
    Superseded,
}

impl DutyError {
    /// Whether only a person can resolve this.
    pub(super) const fn needs_a_person(&self) -> bool {
        matches!(self, Self::Gap | Self::Rebuild(RebuildError::InPart(_)))
    }
}
