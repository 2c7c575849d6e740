//! Why there is no connection.

use super::failure::{rejected, unavailable};
use crate::store::StoreError;

/// Why there is no connection.
#[derive(Debug, Clone)]
pub(super) enum Refusal {
    /// Nobody answers.
    Away(String),
    /// Who answers must not hold the Store.
    Unfit(String),
    /// The data is of an older release.
    Older(String),
    /// The data is of a newer release.
    Newer(String),
}

impl Refusal {
    /// For calls, a server that is set wrong may pass as one that is away does: an operator may set
    /// it right while it runs.
    pub(super) fn for_calls(self) -> StoreError {
        match self {
            Self::Unfit(why) => unavailable(why),
            Self::Away(_) | Self::Older(_) | Self::Newer(_) => self.for_start(),
        }
    }

    /// For who may still give up, a server that is set wrong is told from one that is away.
    pub(super) fn for_start(self) -> StoreError {
        match self {
            Self::Away(why) => unavailable(why),
            Self::Unfit(why) => rejected(why),
            Self::Older(detail) => StoreError::Older { detail },
            Self::Newer(detail) => StoreError::Newer { detail },
        }
    }
}
