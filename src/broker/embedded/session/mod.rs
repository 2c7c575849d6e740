//! The consumer of a queue while it has the lock: hands rows out in order and writes what was
//! decided, in groups.
//!
//! At most `prefetch` rows are unacked: a row counts until its settlement is durable. A row whose
//! delivery was dropped is handed out again before younger ones. When a write fails, what was
//! decided stays in memory and is tried again after a growing pause; nothing more is handed out
//! meanwhile.
//!
//! # Why are suspects handed out alone?
//! Nobody knows which of the unacked rows of a dead process has killed it, so its death is counted
//! for all of them. A row with two or more such deaths, or drops, is handed out with
//! nothing beside it: from then on only a row that kills by itself is counted further.
//!
//! # Invariants
//! - Unacked rows are among the first `held_max` rows of the queue, which is what
//!   [`queue::begin_session`] relies on.

mod take_over;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::lock::QueueLock;
use super::queue::{self, QueueRow, Settlement};
use crate::broker::ticket::{Returned, Ticket};
use crate::broker::{Delivery, Disposition, Queue, SUSPECT_DELIVERIES};
use crate::clock::{self, Delays};
use crate::domain::Timestamp;
use crate::sqlite::{SqliteError, SqliteFailure};

/// How often to look for what other processes published, and for a lock that became free.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The shortest pause after a failed read or write.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause after a failed read or write.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long a broker that is closed tries to write what was decided.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// The most that bodies of unacked rows take; the last one may go beyond it.
const UNACKED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What serves a subscription: it waits for the lock, then consumes the queue.
pub(super) struct QueueSession {
    queue: Queue,
    prefetch: usize,
    shared: Arc<Shared>,
    lock: QueueLock,
    stop: CancellationToken,
    /// Its capacity is the prefetch, so that handing over never waits. `None` once the subscription
    /// was dropped or the broker is closed.
    deliveries: Option<mpsc::Sender<Delivery>>,
    /// Rows to hand out next, by their place in the queue.
    upcoming: BTreeMap<i64, QueueRow>,
    /// Rows that were handed out and not settled, by their place in the queue.
    in_flight: BTreeMap<i64, QueueRow>,
    /// Given to every delivery, with room for all of them.
    reports: mpsc::Sender<Returned>,
    settled: mpsc::Receiver<Returned>,
    decided: Vec<Settlement>,
    /// A group whose write failed; it goes before what was decided later.
    unwritten: Option<Arc<Vec<Settlement>>>,
    writing: Option<Writing>,
    /// Rows that are in flight, decided, or being written.
    unacked: usize,
    /// How many of them other processes know of.
    recorded: usize,
    /// The bodies of these rows.
    unacked_bytes: usize,
    /// Whether a suspect is unacked, or was the last to be; `None` before the first row.
    is_alone: Option<bool>,
    /// The youngest row that was read.
    cursor: i64,
    /// Whether there may be rows after the cursor.
    may_have_more: bool,
    looked_at: Instant,
    next_due: Option<Timestamp>,
    delays: Delays,
    /// Nothing is tried before, after a failure.
    paused_until: Instant,
}

impl QueueSession {
    pub(super) fn new(
        queue: Queue,
        prefetch: usize,
        shared: Arc<Shared>,
        stop: CancellationToken,
        lock: QueueLock,
        deliveries: mpsc::Sender<Delivery>,
    ) -> Self {
        let (reports, settled) = mpsc::channel(prefetch);
        Self {
            queue,
            prefetch,
            shared,
            lock,
            stop,
            deliveries: Some(deliveries),
            upcoming: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            reports,
            settled,
            decided: Vec::new(),
            unwritten: None,
            writing: None,
            unacked: 0,
            recorded: usize::MAX,
            unacked_bytes: 0,
            is_alone: None,
            cursor: 0,
            may_have_more: true,
            looked_at: Instant::now(),
            next_due: None,
            delays: Delays::new(PAUSE_MIN, PAUSE_MAX),
            paused_until: Instant::now(),
        }
    }

    /// Consumes the queue until the broker is closed, or until the subscription was dropped and
    /// all that was taken from it is settled.
    async fn run(&mut self) -> Result<(), SqliteError> {
        let (queue, shared) = (self.queue, Arc::clone(&self.shared));
        let ended = async {
            self.hand_out_until_stopped().await?;
            self.write_the_rest().await?;
            shared.database.write(move |connection| queue::end_session(connection, queue)).await
        };
        let ended = ended.await;
        self.lock.record_in_flight(0);
        ended
    }

    async fn hand_out_until_stopped(&mut self) -> Result<(), SqliteError> {
        let shared = Arc::clone(&self.shared);
        let arrived = &shared.arrivals(self.queue).arrived;
        while self.deliveries.is_some() || self.unacked > 0 {
            self.hand_out().await?;
            self.start_writing();
            let wake_at = self.wake_at();
            let wants_more = self.deliveries.is_some() && self.has_room();
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = closed(self.deliveries.as_ref()) => self.stop_handing_out(),
                Some(settled) = self.settled.recv() => {
                    self.take_back(settled);
                    while let Ok(settled) = self.settled.try_recv() {
                        self.take_back(settled);
                    }
                }
                result = written(self.writing.as_mut()) => self.finish_write(result)?,
                () = arrived.notified(), if wants_more => self.may_have_more = true,
                () = sleep_until(wake_at) => {
                    self.may_have_more = true;
                    self.looked_at = Instant::now();
                }
            }
        }
        Ok(())
    }

    /// Writes what was decided before the broker was closed; gives up after a while, and then it
    /// is delivered again.
    async fn write_the_rest(&mut self) -> Result<(), SqliteError> {
        self.stop_handing_out();
        let mut decided: Vec<_> = std::iter::from_fn(|| self.settled.try_recv().ok()).collect();
        decided.sort_unstable_by_key(|(number, _)| *number);
        for settled in decided {
            self.take_back(settled);
        }
        let writes = async {
            loop {
                self.start_writing();
                if self.writing.is_some() {
                    let result = written(self.writing.as_mut()).await;
                    self.finish_write(result)?;
                } else if self.is_paused() {
                    sleep_until(self.paused_until).await;
                } else {
                    return Ok(());
                }
            }
        };
        timeout(CLOSE_TIMEOUT, writes).await.unwrap_or_else(|_| {
            let message = "gave up writing settlements; their envelopes are delivered again";
            Err(SqliteFailure::Unavailable.of(queue::name(self.queue), message))
        })
    }

    fn stop_handing_out(&mut self) {
        self.deliveries = None;
        self.upcoming.clear();
    }

    async fn hand_out(&mut self) -> Result<(), SqliteError> {
        while self.deliveries.is_some() && self.has_room() && !self.is_paused() {
            if self.upcoming.is_empty() && self.may_have_more {
                self.read_on().await?;
            }
            let Some((seq, lease)) = self.upcoming.pop_first() else { break };
            let is_suspect = lease.delivery_count >= SUSPECT_DELIVERIES;
            let must_wait = (is_suspect || self.is_alone == Some(true)) && self.unacked > 0;
            let is_noted = self.is_alone == Some(is_suspect);
            if must_wait || (!is_noted && !self.record_alone(is_suspect).await?) {
                self.upcoming.insert(seq, lease);
                break;
            }
            self.hand_over(lease);
        }
        if self.recorded != self.unacked {
            self.lock.record_in_flight(self.unacked);
            self.recorded = self.unacked;
        }
        Ok(())
    }

    fn hand_over(&mut self, lease: QueueRow) {
        let delivery = Delivery {
            envelope: Arc::clone(&lease.envelope),
            attempt: lease.attempt,
            failing_since: lease.failing_since,
            delivery_count: lease.delivery_count,
            dead: lease.dead.clone(),
            ticket: Ticket {
                number: lease.seq.cast_unsigned(),
                disposition: None,
                reports: self.reports.clone(),
            },
        };
        self.unacked += 1;
        self.unacked_bytes += lease.envelope.body.len();
        self.in_flight.insert(lease.seq, lease);
        if let Some(deliveries) = &self.deliveries {
            // An error means that the subscription was dropped just now. The delivery is dropped
            // with it, and so comes back.
            deliveries.try_send(delivery).ok();
        }
    }

    async fn read_on(&mut self) -> Result<(), SqliteError> {
        let (queue, after) = (self.queue, self.cursor);
        let rows_max = self.prefetch - self.unacked;
        let bytes_max = UNACKED_BYTES_MAX.saturating_sub(self.unacked_bytes);
        self.looked_at = Instant::now();
        let read = move |connection: &_| queue::read(connection, queue, after, rows_max, bytes_max);
        let Some(leases) = self.tolerate(self.shared.database.read(read).await)? else {
            return Ok(());
        };
        let bytes: usize = leases.iter().map(|lease| lease.envelope.body.len()).sum();
        self.may_have_more = leases.len() == rows_max || bytes >= bytes_max;
        for lease in leases {
            self.cursor = lease.seq;
            self.upcoming.insert(lease.seq, lease);
        }
        Ok(())
    }

    /// Records whether rows are handed out one at a time; called while none is unacked.
    async fn record_alone(&mut self, is_alone: bool) -> Result<bool, SqliteError> {
        let (queue, unacked_max) = (self.queue, if is_alone { 1 } else { self.prefetch });
        let note = move |connection: &_| queue::record_unacked_max(connection, queue, unacked_max);
        let noted = self.tolerate(self.shared.database.write(note).await)?;
        if noted.is_some() {
            self.is_alone = Some(is_alone);
        }
        Ok(noted.is_some())
    }

    fn take_back(&mut self, (number, disposition): Returned) {
        let Some(mut lease) = self.in_flight.remove(&number.cast_signed()) else { return };
        let bytes = lease.envelope.body.len();
        if let Some(disposition) = disposition {
            let decided_at = clock::now();
            let QueueRow { seq, failing_since, replay, .. } = lease;
            self.decided.push(Settlement {
                seq,
                disposition,
                decided_at,
                failing_since,
                bytes,
                replay,
            });
            return;
        }
        self.unacked -= 1;
        self.unacked_bytes -= bytes;
        if self.deliveries.is_some() {
            lease.delivery_count = lease.delivery_count.saturating_add(1);
            self.upcoming.insert(lease.seq, lease);
        }
    }

    /// Starts the next write, unless one is under way or there is nothing to write.
    fn start_writing(&mut self) {
        let is_due = self.due_in() == Some(Duration::ZERO);
        let is_idle = self.unwritten.is_none() && self.decided.is_empty() && !is_due;
        if self.writing.is_some() || self.is_paused() || is_idle {
            return;
        }
        let decided = || Arc::new(std::mem::take(&mut self.decided));
        let group = self.unwritten.take().unwrap_or_else(decided);
        let (queue, settlements) = (self.queue, Arc::clone(&group));
        let database = self.shared.database.clone();
        let answer = Box::pin(async move {
            let write = move |connection: &_| {
                queue::settle(connection, queue, &settlements)?;
                let promoted =
                    if is_due { queue::promote(connection, queue, clock::now())? } else { 0 };
                Ok(GroupWritten { promoted, next_due: queue::next_due(connection, queue)? })
            };
            database.write(write).await
        });
        self.writing = Some(Writing { group, answer });
    }

    fn finish_write(
        &mut self,
        result: Result<GroupWritten, SqliteError>,
    ) -> Result<(), SqliteError> {
        let Some(Writing { group, .. }) = self.writing.take() else { return Ok(()) };
        let Some(GroupWritten { promoted, next_due }) = self.tolerate(result)? else {
            self.unwritten = Some(group);
            return Ok(());
        };
        self.delays.reset();
        self.paused_until = Instant::now();
        self.next_due = next_due;
        self.may_have_more |= promoted > 0;
        self.unacked -= group.len();
        self.unacked_bytes -= group.iter().map(|settlement| settlement.bytes).sum::<usize>();
        let is_dead_letter = |it: &Settlement| matches!(it.disposition, Disposition::DeadLetter(_));
        if self.queue == Queue::Work && group.iter().any(is_dead_letter) {
            self.shared.dead.arrived.notify_one();
        }
        Ok(())
    }

    /// `None` for a failure that may pass, after which nothing is tried for a while.
    fn tolerate<T>(&mut self, result: Result<T, SqliteError>) -> Result<Option<T>, SqliteError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_transient() => {
                let pause = self.delays.next();
                self.paused_until = Instant::now() + pause;
                let pause_ms = pause.as_millis();
                tracing::warn!(queue = queue::name(self.queue), %error, pause_ms, "trying again");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn is_paused(&self) -> bool {
        Instant::now() < self.paused_until
    }

    const fn has_room(&self) -> bool {
        self.unacked < self.prefetch && self.unacked_bytes < UNACKED_BYTES_MAX
    }

    /// How long until a retry is due, if retries are moved at all.
    fn due_in(&self) -> Option<Duration> {
        let due_at = self.next_due.filter(|_| self.deliveries.is_some())?;
        let micros = due_at.micros().saturating_sub(clock::now().micros());
        Some(Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
    }

    /// When to poll, if nothing else happens. Never further than [`POLL_INTERVAL`], so that a clock
    /// that jumps ahead is noticed by then. One that is set back delays retries by as much.
    fn wake_at(&self) -> Instant {
        let poll_at = self.looked_at + POLL_INTERVAL;
        let due_in = self.due_in().filter(|_| self.writing.is_none());
        let due_at = due_in.map_or(poll_at, |due_in| Instant::now() + due_in.min(POLL_INTERVAL));
        poll_at.min(due_at).max(self.paused_until)
    }
}

/// A group that is being written.
struct Writing {
    group: Arc<Vec<Settlement>>,
    answer: Pin<Box<dyn Future<Output = Result<GroupWritten, SqliteError>> + Send>>,
}

/// What a write found.
struct GroupWritten {
    promoted: usize,
    next_due: Option<Timestamp>,
}

async fn closed(deliveries: Option<&mpsc::Sender<Delivery>>) {
    match deliveries {
        Some(deliveries) => deliveries.closed().await,
        None => std::future::pending().await,
    }
}

async fn written(writing: Option<&mut Writing>) -> Result<GroupWritten, SqliteError> {
    match writing {
        Some(writing) => writing.answer.as_mut().await,
        None => std::future::pending().await,
    }
}
