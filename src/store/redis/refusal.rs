//! Why there is no connection.

use super::failure::{rejected, unavailable};
use crate::store::StoreError;

/// Why there is no connection; what is said of the server, as "is too old".
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
    /// The same, with the server that it is said of.
    pub(super) fn at(self, server: &str) -> Self {
        let named = |why: String| format!("{server} {why}");
        match self {
            Self::Away(why) => Self::Away(named(why)),
            Self::Unfit(why) => Self::Unfit(named(why)),
            Self::Older(why) => Self::Older(named(why)),
            Self::Newer(why) => Self::Newer(named(why)),
        }
    }

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
