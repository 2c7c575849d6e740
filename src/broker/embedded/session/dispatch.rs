//! The task of one subscription: waits for its turn, then consumes the queue.
//!
//! Its turn is the queue's lock. What it does meanwhile is a [`Session`].
//!
//! # Invariants
//! - The lock is given back only when nothing is held, or when the process is about to end.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{POLL, Session};
use crate::broker::embedded::lock::QueueLock;
use crate::broker::embedded::{Shared, queue};
use crate::broker::{Delivery, Queue};
use crate::sqlite::{SqliteError, SqliteFailure};

/// What a subscription needs to be served.
#[derive(Debug)]
pub(in crate::broker::embedded) struct Dispatcher {
    pub(in crate::broker::embedded) queue: Queue,
    pub(in crate::broker::embedded) prefetch: usize,
    pub(in crate::broker::embedded) shared: Arc<Shared>,
    pub(in crate::broker::embedded) stop: CancellationToken,
    /// Its capacity is the prefetch, so that handing over never waits.
    pub(in crate::broker::embedded) deliveries: mpsc::Sender<Delivery>,
}

impl Dispatcher {
    /// Serves the subscription until it is dropped or the broker is closed.
    pub(in crate::broker::embedded) async fn run(self, lock: QueueLock) {
        let queue = self.queue;
        let served = async {
            let Some(session) = self.take_over(lock).await? else { return Ok(()) };
            session.run().await
        };
        let served: Result<(), SqliteError> = served.await;
        if let Err(error) = served {
            // Seen by the consumer as the end of its subscription.
            tracing::error!(queue = queue::name(queue), %error, "cannot go on with the queue");
        }
    }

    /// Stands by until the lock is free, then begins a session; `None` if nobody waits for
    /// deliveries any more.
    async fn take_over(self, lock: QueueLock) -> Result<Option<Session>, SqliteError> {
        let queue = self.queue;
        let mut is_locked = false;
        loop {
            is_locked = is_locked
                || lock.try_acquire().map_err(|error| {
                    let advice = "choose a directory on a local disk";
                    let message = format!("cannot lock it: {error}; {advice}");
                    SqliteFailure::Unusable.of(format!("{}.lock", queue::name(queue)), message)
                })?;
            if is_locked {
                let begin = move |connection: &_| {
                    queue::begin_session(connection, queue)?;
                    queue::next_due(connection, queue)
                };
                match self.shared.database.write(begin).await {
                    Ok(next_due) => return Ok(Some(Session::new(self, lock, next_due))),
                    Err(error) if error.is_transient() => {
                        tracing::warn!(queue = queue::name(queue), %error, "cannot begin yet");
                    }
                    Err(error) => return Err(error),
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return Ok(None),
                () = self.deliveries.closed() => return Ok(None),
                () = sleep(POLL) => {}
            }
        }
    }
}
