//! The log of webhooks whose source no `[[sources]]` section of this worker names.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often they are logged at most: each webhook comes again with every attempt.
const LOG_INTERVAL: Duration = Duration::from_mins(1);
/// How many sources are told apart.
const NAMES_MAX: usize = 64;
/// What the others are called together.
const OTHERS: &str = "others";

/// When such webhooks were logged last, and how many came since.
#[derive(Debug, Default)]
pub(super) struct UnknownSources(Mutex<Unlogged>);

#[derive(Debug, Default)]
struct Unlogged {
    logged_at: Option<Instant>,
    deliveries: BTreeMap<String, u64>,
}

impl UnknownSources {
    /// Logs a delivery of an unknown source, together with those that were not logged before.
    pub(super) fn log(&self, source: &str) {
        for (source, deliveries) in self.due(source, Instant::now()) {
            tracing::warn!(
                source,
                deliveries,
                "no [[sources]] section names the source of a webhook; it is retried until a \
                 worker knows its source"
            );
        }
    }

    /// Counts a delivery; answers with how many of which source there are to log, if it is time to.
    fn due(&self, source: &str, now: Instant) -> BTreeMap<String, u64> {
        let mut unlogged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room =
            unlogged.deliveries.len() < NAMES_MAX || unlogged.deliveries.contains_key(source);
        let source = if has_room { source } else { OTHERS };
        *unlogged.deliveries.entry(source.to_owned()).or_default() += 1;
        if unlogged.logged_at.is_some_and(|at| now.duration_since(at) < LOG_INTERVAL) {
            return BTreeMap::new();
        }
        unlogged.logged_at = Some(now);
        std::mem::take(&mut unlogged.deliveries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_minute_each_source_is_logged_with_the_number_of_its_own() {
        let (unknown, now) = (UnknownSources::default(), Instant::now());
        let after = |seconds, source: &str| unknown.due(source, now + Duration::from_secs(seconds));
        let logged = |counts: &[(&str, u64)]| {
            counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        assert_eq!(after(0, "a"), logged(&[("a", 1)]));
        for second in 1..60 {
            assert_eq!(after(second, "a"), logged(&[]));
        }
        assert_eq!(after(60, "b"), logged(&[("a", 59), ("b", 1)]));
        for number in 0..100 {
            assert_eq!(after(61, &number.to_string()), logged(&[]));
        }
        let many = after(120, "a");
        assert_eq!((many.len(), many.get(OTHERS)), (NAMES_MAX + 1, Some(&37)));
    }
}
