//! Runs one duty while its process leads, and handles its failures and panics.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, sleep};

use super::Next;
use super::means::{Kind, Means};
use crate::clock::{self, Delays};
use crate::domain::causes;
use crate::store::Fence;

/// The shortest and longest pause after a failure.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How often an unchanged failure is logged again.
const LOG_EVERY: Duration = Duration::from_hours(1);

/// Runs a duty until this future is dropped.
pub(super) async fn supervise(means: Arc<Means>, kind: Kind, fence: Fence) {
    restarted(
        || run(Arc::clone(&means), kind, fence),
        |panic| {
            let why = format!("it panicked: {panic}; please report this");
            tracing::error!(duty = kind.name(), why, "a duty failed");
            means.report_failure(kind, &why);
        },
    )
    .await;
}

/// Restarts a future after each panic. The future runs within this one and not as a task of its
/// own: an aborted task may still be polled once, after the lease was released.
async fn restarted<F: Future<Output = ()>>(start: impl Fn() -> F, report: impl Fn(&str)) {
    let mut pauses = Delays::new(PAUSE.0, PAUSE.1);
    while let Err(panic) = AssertUnwindSafe(start()).catch_unwind().await {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        report(text.unwrap_or("no text"));
        sleep(pauses.next()).await;
    }
}

/// Runs turn after turn; ends only if the process has no such duty.
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
                if logged.is_due(&why) {
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

/// The failure logged last, and when: an outage is one line, not one a second.
#[derive(Debug, Default)]
struct Logged(Option<(String, Instant)>);

impl Logged {
    const fn is_failing(&self) -> bool {
        self.0.is_some()
    }

    /// Whether this is to be logged now.
    fn is_due(&mut self, why: &str) -> bool {
        let now = Instant::now();
        let is_old = |at: &Instant| now.duration_since(*at) >= LOG_EVERY;
        let is_due = self.0.as_ref().is_none_or(|(logged, at)| logged != why || is_old(at));
        if is_due {
            self.0 = Some((why.to_owned(), now));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nothing_of_a_duty_runs_once_it_was_shut_down() {
        for _ in 0..20 {
            let polls = Arc::new(AtomicU64::new(0));
            let (counted, mut tasks) = (Arc::clone(&polls), JoinSet::new());
            tasks.spawn(async move {
                let busy = || async {
                    loop {
                        // A poll takes a while, so that the shutdown finds one under way.
                        let begun = Instant::now();
                        while begun.elapsed() < Duration::from_millis(5) {
                            std::hint::spin_loop();
                        }
                        counted.fetch_add(1, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                    }
                };
                restarted(busy, |_| ()).await;
            });
            while polls.load(Ordering::SeqCst) == 0 {
                sleep(Duration::from_millis(1)).await;
            }
            tasks.shutdown().await;
            let then = polls.load(Ordering::SeqCst);
            sleep(Duration::from_millis(15)).await;
            assert_eq!(polls.load(Ordering::SeqCst), then);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_duty_that_panics_begins_anew() {
        let (starts, reports) = (AtomicU64::new(0), AtomicU64::new(0));
        let start = || async {
            assert!(starts.fetch_add(1, Ordering::SeqCst) >= 2, "not yet");
        };
        restarted(start, |panic| {
            assert_eq!(panic, "not yet");
            reports.fetch_add(1, Ordering::SeqCst);
        })
        .await;
        assert_eq!((starts.into_inner(), reports.into_inner()), (3, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_logged_when_it_begins_changes_or_lasts() {
        let mut logged = Logged::default();
        assert!(logged.is_due("away"));
        assert!(!logged.is_due("away"));
        assert!(logged.is_due("refused"));
        sleep(LOG_EVERY).await;
        assert!(logged.is_due("refused"));
        assert!(!logged.is_due("refused"));
    }
}
