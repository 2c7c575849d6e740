//! A subscription's turn: it stands by until the lock of its queue is free.
//!
//! A failure that does not pass, as a damaged file, ends the handing out and not the subscription: the
//! process stays to say why ([`Broker::check`](crate::broker::Broker::check)), and nothing is put
//! back while it has the file open.
//!
//! # Invariants
//! - The lock is given back only when nothing is unsettled, or when the process is about to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::sleep;

use super::{POLL_INTERVAL, QueueSession, closed};
use crate::broker::embedded::queue;
use crate::sqlite::{SqliteError, SqliteFailure};

impl QueueSession {
    /// Serves the subscription until it is dropped or the broker is closed.
    pub(in crate::broker::embedded) async fn serve(mut self) {
        let queue = self.queue;
        let served = async { if self.take_over().await? { self.run().await } else { Ok(()) } };
        let served: Result<(), SqliteError> = served.await;
        if let Err(error) = served {
            tracing::error!(queue = queue::name(queue), %error, "cannot go on with the queue");
            let is_dropped = self.deliveries.is_none();
            // The first one is the cause of the others.
            self.shared.failed.set(error).ok();
            if !is_dropped {
                tokio::select! {
                    () = self.stop.cancelled() => {}
                    () = closed(self.deliveries.as_ref()) => {}
                }
            }
        }
    }

    /// Waits until this consumer has the lock; `false` if nobody waits for deliveries any more.
    async fn take_over(&mut self) -> Result<bool, SqliteError> {
        let queue = self.queue;
        let shared = Arc::clone(&self.shared);
        let _standing_by = StandingBy::new(&shared.arrivals(queue).standing_by);
        let mut is_locked = false;
        let mut stands_by = false;
        loop {
            is_locked = is_locked
                || self.lock.try_acquire().map_err(|error| {
                    let advice = "choose a directory on a local disk";
                    let message = format!("cannot lock it: {error}; {advice}");
                    SqliteFailure::Unusable.of(format!("{}.lock", queue::name(self.queue)), message)
                })?;
            if is_locked {
                let begin = move |connection: &_| {
                    queue::begin_session(connection, queue)?;
                    queue::next_due(connection, queue)
                };
                match self.shared.database.write(begin).await {
                    Ok(next_due) => {
                        tracing::info!(queue = queue::name(queue), "consuming");
                        self.next_due = next_due;
                        return Ok(true);
                    }
                    Err(error) if error.is_transient() => {
                        tracing::warn!(queue = queue::name(queue), %error, "cannot begin yet");
                    }
                    Err(error) => return Err(error),
                }
            }
            if !is_locked && !std::mem::replace(&mut stands_by, true) {
                let queue = queue::name(queue);
                tracing::info!(queue, "standing by: another process consumes");
            }
            tokio::select! {
                () = self.stop.cancelled() => return Ok(false),
                () = closed(self.deliveries.as_ref()) => return Ok(false),
                () = sleep(POLL_INTERVAL) => {}
            }
        }
    }
}

/// Counts a subscription that waits for the lock, however that ends.
struct StandingBy<'a>(&'a AtomicUsize);

impl<'a> StandingBy<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for StandingBy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
