//! Why there is no connection.

use redis::{ErrorKind, RedisError};

use super::failure::{rejected, unavailable};
use crate::store::StoreError;

/// What no server says that will take the connection later, and which setting to look at.
const LASTING: [(&str, &str); 7] = [
    ("NOAUTH", "redis.url has no password, and it asks for one"),
    ("WRONGPASS", "check the user and the password of redis.url"),
    ("without any password configured", "it has no password: take that of redis.url away"),
    (
        "DB index is out of range",
        "it has no such database: check the number after the host of redis.url",
    ),
    ("SELECT is not allowed", "a cluster has no databases: leave out the number of redis.url"),
    ("cluster support disabled", "it is no cluster: set redis.mode to single"),
    (
        "not point to a sentinel",
        "it is no Sentinel: set redis.mode to single, or redis.url to the Sentinels",
    ),
];

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
    /// The refusal that a failure to connect is, said in these words. What only another setting, or
    /// another server, can change does not pass by itself.
    pub(super) fn of_connecting(error: &RedisError, why: &str) -> Self {
        if let Some((_, advice)) = LASTING.iter().find(|(words, _)| why.contains(words)) {
            return Self::Unfit(format!("cannot be used: {why}; {advice}"));
        }
        let kind = error.kind();
        if matches!(kind, ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig) {
            return Self::Unfit(format!("cannot be used: {why}; check redis.url"));
        }
        Self::Away(format!("cannot be reached: {why}"))
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(answer: &str) -> StoreError {
        let answer = redis::parse_redis_value(format!("-{answer}\r\n").as_bytes()).unwrap();
        let error = answer.extract_error().unwrap_err();
        let why = super::super::failure::in_words(&error);
        ConnectRefusal::of_connecting(&error, &why).at("redis at h:1").for_start()
    }

    #[test]
    fn what_a_setting_has_to_change_does_not_pass_by_itself() {
        for answer in [
            "NOAUTH Authentication required.",
            "WRONGPASS invalid username-password pair or user is disabled.",
            "ERR DB index is out of range",
            "ERR This instance has cluster support disabled",
        ] {
            let error = refusal(answer);
            assert!(matches!(error, StoreError::Rejected { .. }), "{answer}: {error:?}");
        }
        for answer in ["LOADING Redis is loading", "ERR max number of clients reached", "MOVED 1"] {
            assert!(refusal(answer).is_transient(), "{answer}");
        }
    }
}
