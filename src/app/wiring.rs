//! The tasks of a process: noticing one that ends by itself, and ending them in order.

use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::RunError;
use crate::worker::{Drained, PoolError};

/// How long requests to console and probes may take after everything else has stopped.
const OPERATORS_GRACE: Duration = Duration::from_secs(1);

/// What stops each part.
#[derive(Debug, Default)]
pub(super) struct Stops {
    pub(super) ingress: CancellationToken,
    pub(super) consuming: CancellationToken,
    /// Cancelled when the drain deadline has passed.
    pub(super) abandoned: CancellationToken,
    pub(super) operators: CancellationToken,
}

/// The tasks of the process; those of roles that it does not have are `None`, and so is one whose
/// end was reported.
#[derive(Debug)]
pub(super) struct Tasks {
    pub(super) ingress: Option<JoinHandle<()>>,
    pub(super) worker: Option<JoinHandle<Result<Drained, PoolError>>>,
    pub(super) leader: Option<JoinHandle<()>>,
    pub(super) console: Option<JoinHandle<()>>,
    pub(super) probes: Option<JoinHandle<()>>,
}

impl Tasks {
    /// Waits until a part ends, which none should do before it is stopped. Cancel safe.
    pub(super) async fn one_ends(&mut self) -> RunError {
        let ended = |name, ended: Result<(), JoinError>| match ended {
            Ok(()) => RunError::Ended(name),
            Err(error) => RunError::Panicked(error),
        };
        tokio::select! {
            end = end_of(&mut self.ingress) => ended("the ingress", end),
            end = end_of(&mut self.console) => ended("the console", end),
            end = end_of(&mut self.probes) => ended("the probes", end),
            end = end_of(&mut self.leader) => ended("the leader", end),
            end = end_of(&mut self.worker) => match ended_worker(end) {
                Ok(_) => RunError::Ended("the worker pool"),
                Err(error) => error,
            },
        }
    }

    /// Stops every part in its order, and returns how that went: a part that fails while others are
    /// being stopped has failed all the same.
    ///
    /// The ingress has half of the time at most. What it is cut off from is repeated by its sender;
    /// a worker that has no time left would abandon what it could have done.
    pub(super) async fn drain(
        mut self,
        stops: &Stops,
        timeout: Duration,
    ) -> Result<Drained, RunError> {
        let begun = Instant::now();
        stops.ingress.cancel();
        let mut failed = end_by(&mut self.ingress, begun + timeout / 2).await.err();
        stops.consuming.cancel();
        let drained = self.drain_worker(stops, begun + timeout).await;
        stops.operators.cancel();
        let deadline = Instant::now() + OPERATORS_GRACE;
        let parts = [self.leader, self.console, self.probes];
        for mut part in parts {
            failed = failed.or(end_by(&mut part, deadline).await.err());
        }
        let drained = drained?;
        failed.map_or(Ok(drained), |error| Err(RunError::Panicked(error)))
    }

    async fn drain_worker(
        &mut self,
        stops: &Stops,
        deadline: Instant,
    ) -> Result<Drained, RunError> {
        let Some(worker) = &mut self.worker else { return Ok(Drained::Whole) };
        tokio::select! {
            // The worker first: one that is done by the deadline, or failed before, abandons
            // nothing.
            biased;
            end = &mut *worker => ended_worker(end),
            () = tokio::time::sleep_until(deadline) => {
                stops.abandoned.cancel();
                ended_worker(worker.await)
            }
        }
    }
}

/// Waits for a part to end; for ever, if the process does not have it, or its end was reported.
/// Cancel safe.
async fn end_of<T>(part: &mut Option<JoinHandle<T>>) -> Result<T, JoinError> {
    let Some(running) = part else { return std::future::pending().await };
    let end = running.await;
    // The end is reported once: whoever asks again would wait for a task that is gone.
    *part = None;
    end
}

fn ended_worker(end: Result<Result<Drained, PoolError>, JoinError>) -> Result<Drained, RunError> {
    Ok(end.map_err(RunError::Panicked)??)
}

/// Waits for a part that was stopped, and aborts it when the deadline has passed. Fails if the
/// part did.
async fn end_by(part: &mut Option<JoinHandle<()>>, deadline: Instant) -> Result<(), JoinError> {
    let Some(running) = part else { return Ok(()) };
    if let Ok(end) = tokio::time::timeout_at(deadline, &mut *running).await {
        return end;
    }
    running.abort();
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;
    use tokio_util::task::TaskTracker;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(20);

    /// Tasks that do nothing until they are stopped.
    fn idle(stops: &Stops) -> Tasks {
        let operators = stops.operators.clone();
        Tasks {
            ingress: None,
            worker: None,
            leader: None,
            console: None,
            probes: Some(TaskTracker::new().spawn(async move { operators.cancelled().await })),
        }
    }

    /// A worker that takes so long for what it has in flight.
    fn worker(stops: &Stops, takes: Duration) -> JoinHandle<Result<Drained, PoolError>> {
        let (consuming, abandoned) = (stops.consuming.clone(), stops.abandoned.clone());
        TaskTracker::new().spawn(async move {
            consuming.cancelled().await;
            tokio::select! {
                () = sleep(takes) => Ok(Drained::Whole),
                () = abandoned.cancelled() => Ok(Drained::InPart),
            }
        })
    }

    #[tokio::test(start_paused = true)]
    async fn an_ingress_that_does_not_end_leaves_half_of_the_time_to_the_worker() {
        for (takes, expected) in [(9, Drained::Whole), (11, Drained::InPart)] {
            let stops = Stops::default();
            let parts = Tasks {
                ingress: Some(TaskTracker::new().spawn(std::future::pending())),
                worker: Some(worker(&stops, Duration::from_secs(takes))),
                ..idle(&stops)
            };
            let begun = Instant::now();
            assert_eq!(parts.drain(&stops, TIMEOUT).await.unwrap(), expected);
            assert!(begun.elapsed() <= TIMEOUT);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_ingress_that_ends_leaves_the_rest_to_the_worker() {
        let stops = Stops::default();
        let stopped = stops.ingress.clone();
        let parts = Tasks {
            ingress: Some(TaskTracker::new().spawn(async move {
                stopped.cancelled().await;
                sleep(Duration::from_secs(1)).await;
            })),
            worker: Some(worker(&stops, Duration::from_secs(18))),
            ..idle(&stops)
        };
        assert_eq!(parts.drain(&stops, TIMEOUT).await.unwrap(), Drained::Whole);
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_fails_while_the_ingress_drains_is_told() {
        let stops = Stops::default();
        let stopped = stops.ingress.clone();
        let parts = Tasks {
            ingress: Some(TaskTracker::new().spawn(std::future::pending())),
            worker: Some(TaskTracker::new().spawn(async move {
                stopped.cancelled().await;
                Err(PoolError::QueueEnded)
            })),
            ..idle(&stops)
        };
        let ended = parts.drain(&stops, TIMEOUT).await;
        assert!(matches!(ended, Err(RunError::Pool(PoolError::QueueEnded))), "{ended:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_panics_while_others_are_stopped_is_told() {
        let stops = Stops::default();
        let stopped = stops.consuming.clone();
        let parts = Tasks {
            worker: Some(worker(&stops, Duration::ZERO)),
            leader: Some(TaskTracker::new().spawn(async move {
                stopped.cancelled().await;
                panic!("on purpose")
            })),
            ..idle(&stops)
        };
        let ended = parts.drain(&stops, TIMEOUT).await;
        assert!(matches!(ended, Err(RunError::Panicked(_))), "{ended:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_ended_by_itself_is_not_waited_for_again() {
        let stops = Stops::default();
        let mut parts = Tasks {
            ingress: Some(TaskTracker::new().spawn(async {})),
            worker: Some(worker(&stops, Duration::ZERO)),
            ..idle(&stops)
        };
        let ended = parts.one_ends().await;
        assert!(matches!(ended, RunError::Ended("the ingress")), "{ended:?}");
        assert_eq!(parts.drain(&stops, TIMEOUT).await.unwrap(), Drained::Whole);
    }
}
