//! Why there is no connection.

use super::failure::{rejected, unavailable};
use crate::store::StoreError;

/// Why there is no connection.
#[derive(Debug, Clone)]
pub(super) enum ConnectRefusal {
    /// There is no answer.
    Away(String),
    /// The server must not hold the Store.
    Unfit(String),
    /// The data is of an older release.
    Older(String),
    /// The data is of a newer release.
    Newer(String),
}

impl ConnectRefusal {
    /// For calls, a misconfigured server is as temporary as one that is away: an operator may fix it
    /// while it runs.
    pub(super) fn for_calls(self) -> StoreError {
        match self {
            Self::Unfit(why) => unavailable(why),
            Self::Away(_) | Self::Older(_) | Self::Newer(_) => self.for_start(),
        }
    }

    /// For callers that may still give up, a misconfigured server differs from one that is away.
    pub(super) fn for_start(self) -> StoreError {
        match self {
            Self::Away(why) => unavailable(why),
            Self::Unfit(why) => rejected(why),
            Self::Older(detail) => StoreError::Older { detail },
            Self::Newer(detail) => StoreError::Newer { detail },
        }
    }
}
