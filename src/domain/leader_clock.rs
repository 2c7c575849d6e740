//! Whether the leader's clock may be trusted to remove what has outlived its retention.
//!
//! A clock that is far ahead makes everything old at once. So the leader records its time; by a time
//! that does not fit the recorded one nothing is removed until a person trusts it, or until it has
//! gone on evenly for a day.

use super::Timestamp;

const HOUR_MICROS: i64 = 3_600_000_000;
/// The longest time between two records that needs no explanation.
const APART_MAX_MICROS: i64 = 7 * 24 * HOUR_MICROS;
/// How long a clock that is doubted must go on.
const DOUBTED_MICROS: i64 = 24 * HOUR_MICROS;

/// The times of the leader that were recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaderClock {
    /// The last one that was trusted.
    pub trusted: Timestamp,
    /// The first one that did not fit it, if the clock is doubted.
    pub doubted: Option<Timestamp>,
}

impl LeaderClock {
    /// What is recorded at a time, after what was recorded before.
    pub fn at(now: Timestamp, before: Option<Self>) -> Self {
        let trusted = Self { trusted: now, doubted: None };
        let Some(before) = before else { return trusted };
        let fits = |earlier: Timestamp| {
            now >= earlier && now.micros().saturating_sub(earlier.micros()) <= APART_MAX_MICROS
        };
        let Some(since) = before.doubted.filter(|since| !fits(before.trusted) && fits(*since))
        else {
            let doubted = Self { doubted: Some(now), ..before };
            return if fits(before.trusted) { trusted } else { doubted };
        };
        let lasts = now.micros().saturating_sub(since.micros());
        if lasts >= DOUBTED_MICROS { trusted } else { before }
    }

    /// What is recorded once a person trusts the clock.
    #[must_use]
    pub fn confirmed(self) -> Self {
        Self { trusted: self.doubted.unwrap_or(self.trusted), doubted: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(hours: i64) -> Timestamp {
        Timestamp::from_micros(hours * HOUR_MICROS)
    }

    fn trusted(at: i64) -> LeaderClock {
        LeaderClock { trusted: hours(at), doubted: None }
    }

    fn doubted(at: i64, since: i64) -> LeaderClock {
        LeaderClock { trusted: hours(at), doubted: Some(hours(since)) }
    }

    #[test]
    fn the_first_time_and_one_that_follows_are_trusted() {
        assert_eq!(LeaderClock::at(hours(9), None), trusted(9));
        assert_eq!(LeaderClock::at(hours(9), Some(trusted(9))), trusted(9));
        assert_eq!(LeaderClock::at(hours(9 + 168), Some(trusted(9))), trusted(9 + 168));
    }

    #[test]
    fn a_time_before_the_recorded_one_or_a_week_after_it_is_doubted() {
        assert_eq!(LeaderClock::at(hours(8), Some(trusted(9))), doubted(9, 8));
        assert_eq!(LeaderClock::at(hours(9 + 169), Some(trusted(9))), doubted(9, 9 + 169));
    }

    #[test]
    fn a_doubted_clock_is_trusted_after_a_day_or_when_it_is_put_right() {
        let before = Some(doubted(9, 900));
        assert_eq!(LeaderClock::at(hours(923), before), doubted(9, 900));
        assert_eq!(LeaderClock::at(hours(924), before), trusted(924));
        assert_eq!(LeaderClock::at(hours(10), before), trusted(10));
    }

    #[test]
    fn a_doubted_clock_that_jumps_again_is_doubted_anew() {
        let before = Some(doubted(9, 900));
        assert_eq!(LeaderClock::at(hours(9000), before), doubted(9, 9000));
        assert_eq!(LeaderClock::at(hours(899), before), doubted(9, 899));
    }

    #[test]
    fn a_person_can_trust_it() {
        assert_eq!(doubted(9, 900).confirmed(), trusted(900));
        assert_eq!(LeaderClock::at(hours(901), Some(trusted(900))), trusted(901));
        assert_eq!(trusted(9).confirmed(), trusted(9));
    }
}
