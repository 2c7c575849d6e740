//! The retry ladder: for failures of one message, never for a Store that is away.

use std::time::Duration;

use crate::config::RetrySettings;

/// The delays before the second, third, ... attempt, and when to give up.
#[derive(Debug, Clone)]
pub(super) struct Ladder(pub(super) RetrySettings);

impl Ladder {
    /// The delay after a failed attempt (the first is 1) of an envelope whose first attempt failed
    /// so many microseconds ago; `None` once that is too long. The last rung is repeated.
    ///
    /// Its age since receipt does not count: what waited long, or is replayed after weeks, gets its
    /// retries too.
    pub(super) fn delay(&self, attempt: u32, failing_for_micros: i64) -> Option<Duration> {
        let failing_for = Duration::from_micros(u64::try_from(failing_for_micros).unwrap_or(0));
        let delay = self.rung(attempt);
        (failing_for.saturating_add(delay) <= self.0.max_age).then_some(delay)
    }

    /// The delay after a failed attempt, for what is never given up.
    pub(super) fn rung(&self, attempt: u32) -> Duration {
        let rung = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
        // The settings refuse a ladder without rungs.
        let RetrySettings { ladder, max_age } = &self.0;
        ladder.get(rung).or_else(|| ladder.last()).copied().unwrap_or(*max_age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn ladder(rungs: &[u64], max_age: u64) -> Ladder {
        let ladder = rungs.iter().copied().map(Duration::from_secs).collect();
        Ladder(RetrySettings { ladder, max_age: Duration::from_secs(max_age) })
    }

    #[test]
    fn the_last_rung_is_repeated_until_it_has_failed_for_too_long() {
        let ladder = ladder(&[5, 30], 100);
        let delays: Vec<_> = (1..6)
            .scan(0, |age, attempt| {
                let delay = ladder.delay(attempt, *age * SECOND)?.as_secs();
                *age += i64::try_from(delay).unwrap();
                Some(delay)
            })
            .collect();
        assert_eq!(delays, [5, 30, 30, 30]);
    }

    #[test]
    fn a_first_failure_in_the_future_is_as_good_as_now() {
        let ladder = ladder(&[5], 5);
        assert_eq!(ladder.delay(1, -SECOND), Some(Duration::from_secs(5)));
        assert_eq!(ladder.delay(1, 1), None);
    }
}
