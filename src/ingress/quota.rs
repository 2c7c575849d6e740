//! How much one source may send within a minute.
//!
//! Only authentic webhooks count, so nobody can use up the quota of somebody else. A minute begins
//! with its first webhook. Each process counts for itself.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const MINUTE: Duration = Duration::from_mins(1);

/// What a source may send within a minute; `None` is any amount.
#[derive(Debug, Clone, Copy)]
pub(super) struct QuotaLimits {
    pub(super) webhooks: Option<u64>,
    pub(super) bytes: Option<u64>,
}

/// What a source has sent within its current minute.
#[derive(Debug)]
pub(super) struct Quota {
    limits: QuotaLimits,
    minute: Mutex<Minute>,
}

#[derive(Debug)]
struct Minute {
    begun: Instant,
    webhooks: u64,
    bytes: u64,
}

impl Quota {
    pub(super) fn new(limits: QuotaLimits) -> Self {
        let minute = Minute { begun: Instant::now(), webhooks: 0, bytes: 0 };
        Self { limits, minute: Mutex::new(minute) }
    }

    /// Counts a webhook with a body of so many bytes; if it is too much, says when to try again.
    pub(super) fn take(&self, bytes: usize, now: Instant) -> Result<(), Duration> {
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        let age = now.saturating_duration_since(minute.begun);
        if age >= MINUTE {
            *minute = Minute { begun: now, webhooks: 0, bytes: 0 };
        }
        let webhooks = minute.webhooks + 1;
        let bytes = minute.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        let is_within = |sent, most: Option<u64>| most.is_none_or(|most| sent <= most);
        if !is_within(webhooks, self.limits.webhooks) || !is_within(bytes, self.limits.bytes) {
            return Err(MINUTE.saturating_sub(age));
        }
        (minute.webhooks, minute.bytes) = (webhooks, bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_minute_has_room_for_the_quota_and_the_next_one_again() {
        let quota = Quota::new(QuotaLimits { webhooks: Some(2), bytes: None });
        let start = Instant::now() + seconds(3600);
        assert_eq!(quota.take(usize::MAX, start), Ok(()));
        assert_eq!(quota.take(usize::MAX, start + seconds(20)), Ok(()));
        assert_eq!(quota.take(1, start + seconds(20)), Err(seconds(40)));
        assert_eq!(quota.take(1, start + seconds(59)), Err(seconds(1)));
        assert_eq!(quota.take(1, start + seconds(60)), Ok(()));
    }

    #[test]
    fn what_was_refused_does_not_count() {
        let quota = Quota::new(QuotaLimits { webhooks: None, bytes: Some(10) });
        let now = Instant::now();
        assert_eq!(quota.take(6, now), Ok(()));
        assert!(quota.take(5, now).is_err());
        assert_eq!(quota.take(4, now), Ok(()));
        assert!(quota.take(1, now).is_err());
        assert_eq!(quota.take(0, now), Ok(()));
    }

    #[test]
    fn without_limits_anything_is_taken() {
        let quota = Quota::new(QuotaLimits { webhooks: None, bytes: None });
        let now = Instant::now();
        assert!((0..1000).all(|_| quota.take(usize::MAX, now).is_ok()));
    }
}
