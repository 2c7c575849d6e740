//! The pace of a replay: how many dead letters it may send now.

use std::time::Duration;

use super::Pace;

/// The most dead letters sent in one step.
const STEP_MAX: u64 = 64;
/// The most dead letters without an outcome, so that failures are seen before much more is sent.
const OPEN_MAX: u64 = 256;

/// How many dead letters may be sent now, given how many were sent, are open and have failed.
pub fn allowed(pace: &Pace, elapsed: Duration, sent: u64, open: u64, failed: u64) -> usize {
    let due = pace.rate.map_or(u64::MAX, |rate| due(rate, pace.ramp_millis, elapsed));
    // All open ones may fail, and no more may fail than the replay tolerates.
    let bearable = pace.abort_after.map_or(OPEN_MAX, |most| u64::from(most).saturating_sub(failed));
    let room = OPEN_MAX.min(bearable.max(1)).saturating_sub(open);
    usize::try_from(due.saturating_sub(sent).min(room).min(STEP_MAX)).unwrap_or(0)
}

/// How many are due after a time: the rate rises linearly from zero, then stays.
fn due(rate: u32, ramp_millis: u64, elapsed: Duration) -> u64 {
    let (rate, ramp, elapsed) = (u128::from(rate), u128::from(ramp_millis), elapsed.as_millis());
    let ramping = elapsed.min(ramp);
    // The area under the rate, in dead letters x 1000: a triangle, then a rectangle.
    let triangle =
        if ramp == 0 { 0 } else { (rate * ramping).saturating_mul(ramping) / (2 * ramp) };
    let letters = (triangle + rate * (elapsed - ramping)) / 1000;
    // The first is due at once, so that even a slow replay visibly starts.
    u64::try_from(letters).unwrap_or(u64::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_rate_is_kept() {
        let sent = [0, 500, 1_000, 10_000].map(|at| due(10, 0, millis(at)));
        assert_eq!(sent, [1, 6, 11, 101]);
    }

    #[test]
    fn a_ramp_sends_half_of_the_rate_while_it_lasts() {
        let sent = [0, 5_000, 10_000, 11_000].map(|at| due(10, 10_000, millis(at)));
        assert_eq!(sent, [1, 13, 51, 61]);
        assert_eq!(due(u32::MAX, u64::MAX, Duration::MAX), u64::MAX);
    }

    #[test]
    fn no_more_is_open_than_may_come_back() {
        let pace = Pace { abort_after: Some(3), ..Pace::default() };
        assert_eq!(allowed(&pace, millis(0), 0, 0, 0), 3);
        assert_eq!(allowed(&pace, millis(0), 3, 2, 0), 1);
        assert_eq!(allowed(&pace, millis(0), 3, 0, 2), 1);
        assert_eq!(allowed(&Pace::default(), millis(0), 0, 0, 0), 64);
        assert_eq!(allowed(&Pace::default(), millis(0), 300, 256, 0), 0);
        let slow = Pace { rate: Some(1), ..Pace::default() };
        assert_eq!(allowed(&slow, millis(2_500), 2, 0, 0), 1);
    }
}
