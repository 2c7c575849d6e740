//! The log of webhooks whose source no `[[sources]]` section of this worker names.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often a line is logged at most: each webhook comes again with every attempt.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// When such a webhook was logged last, and how many came since.
#[derive(Debug, Default)]
pub(super) struct UnknownSources(Mutex<Unlogged>);

#[derive(Debug, Default)]
struct Unlogged {
    logged_at: Option<Instant>,
    deliveries: u64,
}

impl UnknownSources {
    /// Logs a delivery of an unknown source, together with those that were not logged before.
    pub(super) fn log(&self, source: &str) {
        if let Some(deliveries) = self.due(Instant::now()) {
            tracing::warn!(
                source,
                deliveries,
                "no [[sources]] section names the source of a webhook; it is retried until a \
                 worker knows its source"
            );
        }
    }

    /// Counts a delivery; answers with how many there are to log, if it is time to.
    fn due(&self, now: Instant) -> Option<u64> {
        let mut unlogged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unlogged.deliveries += 1;
        if unlogged.logged_at.is_some_and(|at| now.duration_since(at) < LOG_INTERVAL) {
            return None;
        }
        unlogged.logged_at = Some(now);
        Some(std::mem::take(&mut unlogged.deliveries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_minute_has_the_number_of_all() {
        let (unknown, now) = (UnknownSources::default(), Instant::now());
        let after = |seconds| unknown.due(now + Duration::from_secs(seconds));
        assert_eq!([0, 1, 59, 60, 61].map(after), [Some(1), None, None, Some(3), None]);
    }
}
