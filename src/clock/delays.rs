//! Delays between attempts to reach an unavailable service.
//!
//! This is the only module that uses the `backoff` crate (unmaintained, RUSTSEC-2025-0012). It uses
//! nothing of it except to turn the number of attempts into growing, jittered delays. The caller
//! decides how long to go on; the delays never end. Retries of a *message* do not use them: they
//! follow the ladder of `retry.ladder`.

use std::time::Duration;

use ::backoff::backoff::Backoff;
use ::backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

/// How far a delay may be from its step, each way, so that many waiters do not retry at once.
const SPREAD: f64 = 0.5;

/// Growing delays, from about `initial` up to `max`.
#[derive(Debug)]
pub struct Delays {
    steps: ExponentialBackoff,
    max: Duration,
}

impl Delays {
    /// Creates delays: the first is `initial`, plus or minus half of it, and none exceeds `max`.
    pub fn new(initial: Duration, max: Duration) -> Self {
        // The last step and its spread end at `max`, so that late delays are spread too.
        let last = max.div_f64(1.0 + SPREAD);
        let steps = ExponentialBackoffBuilder::new()
            .with_initial_interval(initial.min(last))
            .with_max_interval(last)
            .with_randomization_factor(SPREAD)
            .with_max_elapsed_time(None)
            .build();
        Self { steps, max }
    }

    /// Returns the delay before the next attempt.
    #[expect(clippy::should_implement_trait, reason = "an iterator may end, and these never do")]
    pub fn next(&mut self) -> Duration {
        self.steps.next_backoff().map_or(self.max, |delay| delay.min(self.max))
    }

    /// Restarts at the first delay, after an attempt that succeeded.
    pub fn reset(&mut self) {
        self.steps.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INITIAL: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(10);

    #[test]
    fn delays_start_near_the_initial_one_and_again_after_a_reset() {
        let mut delays = Delays::new(INITIAL, MAX);
        for _ in 0..100 {
            let first = delays.next();
            assert!(first >= INITIAL / 2 && first <= INITIAL * 3 / 2 + Duration::from_nanos(1));
            delays.next();
            delays.reset();
        }
    }

    #[test]
    fn delays_grow_to_the_maximum_and_never_pass_it_or_end() {
        let mut delays = Delays::new(INITIAL, MAX);
        let early: Duration = (0..5).map(|_| delays.next()).sum();
        let late: Vec<Duration> = (0..10_000).map(|_| delays.next()).skip(20).collect();
        assert!(late.iter().all(|delay| *delay >= MAX / 4 && *delay <= MAX));
        assert!(late.iter().max() > Some(&(MAX * 9 / 10)), "the maximum is never approached");
        assert!(early < MAX / 4, "five delays took {early:?}");
    }

    #[test]
    fn delays_are_spread() {
        let mut delays = Delays::new(MAX, MAX);
        let first = delays.next();
        assert!((0..100).any(|_| delays.next() != first));
    }
}
