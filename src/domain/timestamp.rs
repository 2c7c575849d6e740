//! Points in time, as data: they are passed to the core, which never reads a clock.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

/// A point in time, in microseconds since 1970 UTC.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Creates a point from microseconds since 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Creates a point from milliseconds since 1970, saturating at 64 bits of microseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Returns the microseconds since 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Returns the whole milliseconds since 1970.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Parses an RFC 3339 date and time. Returns `None` if its offset moves it out of the years 0
    /// to 9999, as it could not be written in UTC.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let time = time.checked_to_offset(UtcOffset::UTC)?;
        if !(0..=9999).contains(&time.year()) {
            return None;
        }
        i64::try_from(time.unix_timestamp_nanos() / 1000).ok().map(Self)
    }

    /// Returns this point, moved by this many microseconds.
    #[must_use]
    pub const fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }
}

/// RFC 3339 in UTC with milliseconds: the format of all times in the API.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
        );
        match OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1000)
            .ok()
            .and_then(|time| time.format(form).ok())
        {
            Some(text) => f.write_str(&text),
            None => write!(f, "{}us", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_milliseconds_and_read_back() {
        let time = Timestamp::from_millis(1_673_547_263_361);
        assert_eq!(time.to_string(), "2023-01-12T18:14:23.361Z");
        assert_eq!(Timestamp::parse_rfc3339("2023-01-12T19:14:23.361+01:00"), Some(time));
        assert_eq!(Timestamp::from_micros(-1).millis(), -1);
    }

    #[test]
    fn a_time_that_is_outside_of_all_years_in_utc_is_none() {
        for text in ["0000-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"] {
            assert_eq!(Timestamp::parse_rfc3339(text), None, "{text}");
        }
        for text in ["0000-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z"] {
            assert_eq!(Timestamp::parse_rfc3339(text).unwrap().to_string(), text);
        }
    }
}
