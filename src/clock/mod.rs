//! The only place where the wall clock is read; the time is passed to everything else. This module
//! also parses times in the past as people write them, and [`Delays`] defines how long to wait
//! between attempts.

mod delays;

use std::time::Duration;

use crate::domain::Timestamp;

pub use delays::Delays;

/// Returns the current time.
#[expect(clippy::disallowed_methods, reason = "this is the clock function that the ban refers to")]
pub fn now() -> Timestamp {
    let since_1970 = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    Timestamp::from_micros(i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX))
}

/// A point in the past, as people write it on the command line and in queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PastTime {
    /// A duration before now.
    Ago(Duration),
    /// A fixed time.
    At(Timestamp),
}

impl PastTime {
    /// Parses a duration such as `2h`, or an RFC 3339 date and time.
    pub fn parse(text: &str) -> Result<Self, PastTimeError> {
        if let Some(time) = Timestamp::parse_rfc3339(text) {
            return Ok(Self::At(time));
        }
        humantime::parse_duration(text).map(Self::Ago).map_err(|_| PastTimeError)
    }

    /// Returns the point in time, given the current time.
    pub fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(ago) => {
                let micros = i64::try_from(ago.as_micros()).unwrap_or(i64::MAX);
                now.plus_micros(-micros)
            }
            Self::At(time) => time,
        }
    }
}

/// The text is not a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is neither a duration such as `2h` nor a time such as `2024-05-31T12:00:00Z`")]
pub struct PastTimeError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_past_time_is_resolved_against_now() {
        let now = Timestamp::from_millis(10_000);
        let resolve = |text| PastTime::parse(text).unwrap().resolve(now);
        assert_eq!(resolve("4s"), Timestamp::from_millis(6_000));
        assert_eq!(resolve("1970-01-01T00:00:03Z"), Timestamp::from_millis(3_000));
    }
}
