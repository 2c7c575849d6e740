//! From errors of Redis to what a caller can do about them.
//!
//! There are three kinds. What our own scripts say of stored values is about the call, and a server
//! that says how it is, or nothing, is away. Every other answer may be either: a proxy has words of
//! its own, and so has a script that fails half way. Such a call is rejected, and whoever made it asks
//! by [`check`](crate::store::StateStore::check) whether the Store commits at all; the connection ends,
//! so that the next one is looked at again, rights included.
//!
//! # Invariants
//! - Whatever may pass by itself, or after an operator's work on the server, is `Unavailable`: the
//!   call is repeated, and no message is given up for it.
//! - Every error has the server's address and its words, and none has a password or a stored value.

use redis::{ErrorKind, RedisError, ServerErrorKind, Value};

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
const ELSEWHERE: [&str; 5] = ["READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "NOPERM"];

/// What a person can do about a code, where its words do not say so.
const ADVICE: [(&str, &str); 4] = [
    ("OOM", "it is full: raise its maxmemory, or remove what is not needed"),
    ("READONLY", "it is a replica: name the server that takes writes"),
    ("NOPERM", "deploy/README.md has the rights that are needed"),
    ("MOVED", "for a node of a cluster, set redis.mode to cluster"),
];

/// The error of the port for a failed command or script; `what` names it.
pub(super) fn of(server: &str, what: &str, error: &RedisError) -> StoreError {
    match error.code() {
        Some("CORRUPT") => {
            return corrupt(format!("{} cannot be used", error.detail().unwrap_or(what)));
        }
        Some("WRONGTYPE") => return odd_value(what),
        _ => {}
    }
    let text = format!("{server} did not do {what}: {}", in_words(error));
    if may_pass(error) { unavailable(text) } else { rejected(text) }
}

/// The server's own words, with its code as it sent it, and what to do.
pub(super) fn in_words(error: &RedisError) -> String {
    let Some(code) = error.code() else {
        // The library adds its own name of the kind where there is nothing else to say.
        let text = error.to_string();
        let kind = format!(" - {:?}", error.kind());
        return text.strip_suffix(&kind).unwrap_or(&text).to_owned();
    };
    let detail = error.detail().map(|detail| format!(" {detail}")).unwrap_or_default();
    let advice = ADVICE.iter().find(|(about, _)| *about == code);
    let advice = advice.map(|(_, advice)| format!("; {advice}")).unwrap_or_default();
    format!("{code}{detail}{advice}")
}

/// Whether the server does not know the script that it should run; it did not run.
pub(super) fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// The error that an answer is, if it is one.
pub(super) fn error_of(value: &Value) -> Option<RedisError> {
    if let Value::ServerError(error) = value { Some(error.clone().into()) } else { None }
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

/// Whether the connection is of no use any more, or has to be looked at again.
pub(super) fn ends_connection(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.code().is_some_and(|code| ELSEWHERE.contains(&code) || is_unclear(code))
}

/// Whether a code says neither how the server is nor what it found in a key.
fn is_unclear(code: &str) -> bool {
    !PASSING.contains(&code) && !["CORRUPT", "WRONGTYPE"].contains(&code)
}

fn may_pass(error: &RedisError) -> bool {
    match error.code() {
        Some(code) => PASSING.contains(&code),
        None => !matches!(error.kind(), ErrorKind::InvalidClientConfig | ErrorKind::Client),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error of an answer in Redis's protocol.
    fn told(answer: &str) -> StoreError {
        let answer = redis::parse_redis_value(format!("-{answer}\r\n").as_bytes()).unwrap();
        let error = answer.extract_error().unwrap_err();
        of("redis at h:1", "SET sk:probe", &error)
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
        for answer in ["ERR unknown command", "CROSSSLOT Keys", "EXECABORT", "upstream failure"] {
            assert!(matches!(told(answer), StoreError::Rejected { .. }), "{answer}");
        }
    }

    #[test]
    fn an_error_has_the_server_its_words_and_what_to_do() {
        for (answer, text) in [
            (
                "OOM command not allowed when used memory > 'maxmemory'.",
                "OOM command not allowed when used memory > 'maxmemory'.; it is full: raise its \
                 maxmemory, or remove what is not needed",
            ),
            ("MOVED 5 h:2", "MOVED 5 h:2; for a node of a cluster, set redis.mode to cluster"),
            ("ERR max daily request limit", "ERR max daily request limit"),
            ("upstream failure", "upstream failure"),
        ] {
            let expected = format!("redis at h:1 did not do SET sk:probe: {text}");
            let error = told(answer);
            assert_eq!(std::error::Error::source(&error).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn an_answer_that_nobody_knows_ends_the_connection() {
        for (answer, ends) in [
            ("ERR max daily request limit", true),
            ("NOPERM this user has no permissions", true),
            ("READONLY You can't write", true),
            ("NOSCRIPT No matching script", false),
            ("OOM command not allowed", false),
            ("CORRUPT sk:{a}:stock", false),
            ("WRONGTYPE Operation", false),
        ] {
            let answer = redis::parse_redis_value(format!("-{answer}\r\n").as_bytes()).unwrap();
            assert_eq!(ends_connection(&answer.extract_error().unwrap_err()), ends, "{ends}");
        }
    }

    #[test]
    fn a_lost_connection_passes() {
        let lost = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(of("redis at h:1", "GET", &RedisError::from(lost)).is_transient());
    }
}
