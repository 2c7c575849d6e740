//! One duty, for as long as its process leads: its turns, its failures, its panics.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::Next;
use super::means::{Kind, Means};
use crate::clock::{self, Delays};
use crate::domain::causes;
use crate::store::Fence;

/// The shortest and longest pause after a failure.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How often a failure that goes on unchanged is logged again.
const LOG_EVERY: Duration = Duration::from_hours(1);

/// Runs a duty for ever, in a task of its own: where that panics, it begins anew after a pause.
pub(super) async fn supervise(means: Arc<Means>, kind: Kind, fence: Fence) {
    let mut pauses = Delays::new(PAUSE.0, PAUSE.1);
    loop {
        // Dropped with this future, it takes the task along.
        let mut task = JoinSet::new();
        task.spawn(run(Arc::clone(&means), kind, fence));
        let Some(Err(panic)) = task.join_next().await else { return };
        let why = format!("it panicked: {panic}; please report this");
        tracing::error!(duty = kind.name(), why, "a duty failed");
        means.report_failure(kind, &why);
        sleep(pauses.next()).await;
    }
}

/// Takes one turn after another; ends only where the process has no such duty.
async fn run(means: Arc<Means>, kind: Kind, fence: Fence) {
    let Some(mut duty) = means.duty(kind) else { return };
    let mut pauses = Delays::new(PAUSE.0, PAUSE.1);
    let mut logged = Logged::default();
    loop {
        let rest = match duty.turn(fence).await {
            Ok(Next::After(rest)) => {
                if logged.is_failing() {
                    tracing::info!(duty = kind.name(), "the duty is done again");
                }
                logged = Logged::default();
                pauses.reset();
                means.report_success(kind, clock::now());
                rest
            }
            Ok(Next::Postponed(rest, why)) => {
                tracing::debug!(duty = kind.name(), why, "postponed");
                means.report_postponed(kind, why);
                rest
            }
            Err(error) => {
                let why = causes(&error);
                if logged.is_news(&why) {
                    if error.needs_a_person() {
                        tracing::error!(duty = kind.name(), error = why, "a duty needs a person");
                    } else {
                        tracing::warn!(
                            duty = kind.name(),
                            error = why,
                            "a duty failed; it is tried again"
                        );
                    }
                }
                means.report_failure(kind, &why);
                pauses.next()
            }
        };
        sleep(rest).await;
    }
}

/// Which failure was logged last, and when: an outage is one line, not one a second.
#[derive(Debug, Default)]
struct Logged(Option<(String, Instant)>);

impl Logged {
    const fn is_failing(&self) -> bool {
        self.0.is_some()
    }

    /// Whether this is to be logged now.
    fn is_news(&mut self, why: &str) -> bool {
        let now = Instant::now();
        let is_old = |at: &Instant| now.duration_since(*at) >= LOG_EVERY;
        let is_news = self.0.as_ref().is_none_or(|(logged, at)| logged != why || is_old(at));
        if is_news {
            self.0 = Some((why.to_owned(), now));
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_logged_when_it_begins_changes_or_lasts() {
        let mut logged = Logged::default();
        assert!(logged.is_news("away"));
        assert!(!logged.is_news("away"));
        assert!(logged.is_news("refused"));
        sleep(LOG_EVERY).await;
        assert!(logged.is_news("refused"));
        assert!(!logged.is_news("refused"));
    }
}
