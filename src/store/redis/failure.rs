//! From errors of Redis to what a caller can do about them.
//!
//! # Invariants
//! - Whatever may pass by itself, or after an operator's work on the server, is `Unavailable`: the
//!   call is repeated, and no message is given up for it.
//! - No error holds an address's password or a stored value.

use redis::{ErrorKind, RedisError};

use crate::store::StoreError;

/// Codes of servers that will not always refuse.
const PASSING: [&str; 16] = [
    "OOM",
    "READONLY",
    "LOADING",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "NOREPLICAS",
    "MISCONF",
    "TRYAGAIN",
    "MOVED",
    "ASK",
    "BUSY",
    "NOSCRIPT",
    "NOAUTH",
    "WRONGPASS",
    "NOPERM",
    "UNBLOCKED",
];

/// Codes that call for another server, or for a new connection to this one.
const ELSEWHERE: [&str; 4] = ["READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN"];

/// A failed command or script, and the error.
#[derive(Debug, thiserror::Error)]
#[error("redis did not do {what}")]
struct Failure {
    what: String,
    source: RedisError,
}

/// The error of the port for a failed command or script; `what` names it.
pub(super) fn of(what: &str, error: RedisError) -> StoreError {
    if error.code() == Some("CORRUPT") {
        return corrupt(format!("{} cannot be used", error.detail().unwrap_or(what)));
    }
    if error.code() == Some("WRONGTYPE") {
        return odd_value(what);
    }
    let passes = may_pass(&error);
    let source = Failure { what: what.to_owned(), source: error }.into();
    if passes { StoreError::Unavailable { source } } else { StoreError::Rejected { source } }
}

/// A command or script found a value of another type than this program writes.
pub(super) fn odd_value(what: &str) -> StoreError {
    corrupt(format!("{what} found a value of another type"))
}

/// Redis holds what this program does not write.
pub(super) fn corrupt(found: impl std::fmt::Display) -> StoreError {
    let detail = format!("redis: {found}; restore it from a backup, or check redis.prefix");
    StoreError::Corrupt { detail }
}

/// A call that no Redis will ever take.
pub(super) fn rejected(why: impl Into<String>) -> StoreError {
    StoreError::Rejected { source: why.into().into() }
}

/// There is no answer.
pub(super) fn unavailable(why: impl Into<String>) -> StoreError {
    StoreError::Unavailable { source: why.into().into() }
}

/// Whether the connection is of no use any more.
pub(super) fn ends_connection(error: &RedisError) -> bool {
    error.is_unrecoverable_error() || error.code().is_some_and(|code| ELSEWHERE.contains(&code))
}

fn may_pass(error: &RedisError) -> bool {
    match error.code() {
        Some(code) => PASSING.contains(&code),
        None => !matches!(
            error.kind(),
            ErrorKind::InvalidClientConfig | ErrorKind::Client | ErrorKind::Extension
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error of an answer in Redis's protocol.
    fn told(answer: &str) -> StoreError {
        let answer = redis::parse_redis_value(format!("-{answer}\r\n").as_bytes()).unwrap();
        let error = answer.extract_error().unwrap_err();
        of("SET sk:probe", error)
    }

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        for code in PASSING {
            assert!(told(&format!("{code} for now")).is_transient(), "{code}");
        }
        for (answer, word) in [
            ("WRONGTYPE Operation against a key", "sk:probe"),
            ("CORRUPT sk:{a}:stock is a string", "sk:{a}:stock"),
        ] {
            let error = told(answer);
            assert!(matches!(&error, StoreError::Corrupt { .. }), "{error:?}");
            assert!(error.to_string().contains(word), "{error}");
        }
        for answer in ["ERR unknown command", "CROSSSLOT Keys", "EXECABORT"] {
            assert!(matches!(told(answer), StoreError::Rejected { .. }), "{answer}");
        }
    }

    #[test]
    fn a_lost_connection_passes() {
        let lost = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(of("GET", RedisError::from(lost)).is_transient());
    }
}
