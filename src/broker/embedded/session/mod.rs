//! The consumer of a queue while it has the lock: hands rows out in order and writes what was
//! decided, in groups.
//!
//! It holds at most `prefetch` rows: a row counts until its settlement is durable. A row whose
//! delivery was dropped is handed out again before younger ones. When a write fails, what was
//! decided stays in memory and is tried again after a growing pause; nothing more is handed out
//! meanwhile.
//!
//! # Why are suspects handed out alone?
//! Nobody can say which of the rows that a dead process held has killed it, so its death is
//! counted for all of them. A row with two or more such deaths, or drops, is handed out with
//! nothing beside it: from then on only a row that kills by itself is counted further.
//!
//! # Invariants
//! - Rows that are held are among the first `held_max` rows of the queue, which is what
//!   [`queue::begin_session`] relies on.

mod dispatch;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

pub(super) use self::dispatch::Dispatcher;
use super::Shared;
use super::lock::QueueLock;
use super::queue::{self, Lease, Settlement};
use crate::broker::out::{Out, known_now};
use crate::broker::{Delivery, Disposition, Queue};
use crate::clock;
use crate::domain::Timestamp;
use crate::sqlite::{SqliteError, SqliteFailure};

/// How often to look for what other processes published, and for a lock that became free.
pub(super) const POLL: Duration = Duration::from_millis(250);
/// The first pause after a failed read or write; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause after a failed read or write.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long a broker that is closed tries to write what was decided.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);
/// The bodies of the rows that are held; the last one may go beyond it.
const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A row that was delivered so often without being settled is handed out alone.
const SUSPECT_DELIVERIES: u32 = 2;

/// The time in which one consumer has the lock; see [`Session::run`].
pub(super) struct Session {
    queue: Queue,
    prefetch: usize,
    shared: Arc<Shared>,
    lock: QueueLock,
    stop: CancellationToken,
    /// `None` once the subscription was dropped or the broker is closed.
    deliveries: Option<mpsc::Sender<Delivery>>,
    /// Rows to hand out next, by their place in the queue.
    upcoming: BTreeMap<i64, Lease>,
    out: FuturesUnordered<Out<Settled>>,
    decided: Vec<Settlement>,
    /// A group whose write failed; it goes before what was decided later.
    unwritten: Option<Arc<Vec<Settlement>>>,
    writing: Option<Writing>,
    /// Rows that are out, decided, or being written.
    held: usize,
    /// How many of them other processes know of.
    noted: usize,
    /// The bodies of these rows.
    held_bytes: usize,
    /// Whether a suspect is held, or was the last to be; `None` before the first row.
    is_alone: Option<bool>,
    /// The youngest row that was read.
    cursor: i64,
    /// Whether there may be rows behind the cursor.
    may_have_more: bool,
    looked_at: Instant,
    next_due: Option<Timestamp>,
    pause: Pause,
}

impl Session {
    pub(super) fn new(
        dispatcher: Dispatcher,
        lock: QueueLock,
        next_due: Option<Timestamp>,
    ) -> Self {
        Self {
            queue: dispatcher.queue,
            prefetch: dispatcher.prefetch,
            shared: dispatcher.shared,
            lock,
            stop: dispatcher.stop,
            deliveries: Some(dispatcher.deliveries),
            upcoming: BTreeMap::new(),
            out: FuturesUnordered::new(),
            decided: Vec::new(),
            unwritten: None,
            writing: None,
            held: 0,
            noted: usize::MAX,
            held_bytes: 0,
            is_alone: None,
            cursor: 0,
            may_have_more: true,
            looked_at: Instant::now(),
            next_due,
            pause: Pause::default(),
        }
    }

    /// Consumes the queue until the broker is closed, or until the subscription was dropped and
    /// all that was taken from it is settled.
    pub(super) async fn run(mut self) -> Result<(), SqliteError> {
        let (queue, shared) = (self.queue, Arc::clone(&self.shared));
        let ended = async {
            self.hand_out_until_stopped().await?;
            self.write_the_rest().await?;
            shared.database.write(move |connection| queue::end_session(connection, queue)).await
        };
        let ended = ended.await;
        self.lock.note_in_flight(0);
        ended
    }

    async fn hand_out_until_stopped(&mut self) -> Result<(), SqliteError> {
        let shared = Arc::clone(&self.shared);
        let arrived = &shared.line(self.queue).arrived;
        while self.deliveries.is_some() || self.held > 0 {
            self.hand_out().await?;
            self.start_writing();
            let wake_at = self.wake_at();
            let wants_more = self.deliveries.is_some() && self.has_room();
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = closed(self.deliveries.as_ref()) => self.stop_handing_out(),
                Some((lease, disposition)) = self.out.next() => {
                    self.take_back(lease, disposition);
                    self.take_back_ready();
                }
                result = written(self.writing.as_mut()) => self.note_written(result)?,
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
        let mut decided = known_now(std::mem::take(&mut self.out));
        decided.sort_unstable_by_key(|(lease, _)| lease.seq);
        for (lease, disposition) in decided {
            self.take_back(lease, disposition);
        }
        let writes = async {
            loop {
                self.start_writing();
                if self.writing.is_some() {
                    let result = written(self.writing.as_mut()).await;
                    self.note_written(result)?;
                } else if self.pause.is_on() {
                    sleep_until(self.pause.until).await;
                } else {
                    return Ok(());
                }
            }
        };
        timeout(CLOSE_PATIENCE, writes).await.unwrap_or_else(|_| {
            let message = "gave up writing settlements; their envelopes are delivered again";
            Err(SqliteFailure::Unavailable.of(queue::name(self.queue), message))
        })
    }

    fn stop_handing_out(&mut self) {
        self.deliveries = None;
        self.upcoming.clear();
    }

    async fn hand_out(&mut self) -> Result<(), SqliteError> {
        while self.deliveries.is_some() && self.has_room() && !self.pause.is_on() {
            if self.upcoming.is_empty() && self.may_have_more {
                self.read_on().await?;
            }
            let Some((seq, lease)) = self.upcoming.pop_first() else { break };
            let is_suspect = lease.delivery_count >= SUSPECT_DELIVERIES;
            let must_wait = (is_suspect || self.is_alone == Some(true)) && self.held > 0;
            let is_noted = self.is_alone == Some(is_suspect);
            if must_wait || (!is_noted && !self.note_alone(is_suspect).await?) {
                self.upcoming.insert(seq, lease);
                break;
            }
            self.hand_over(lease);
        }
        if self.noted != self.held {
            self.lock.note_in_flight(self.held);
            self.noted = self.held;
        }
        Ok(())
    }

    fn hand_over(&mut self, lease: Lease) {
        let envelope = Arc::clone(&lease.envelope);
        let Lease { attempt, failing_since, delivery_count, ref dead, .. } = lease;
        let (delivery, settled) =
            Delivery::new(envelope, attempt, failing_since, delivery_count, dead.clone());
        self.held += 1;
        self.held_bytes += lease.envelope.body.len();
        self.out.push(Box::pin(async move { (lease, settled.await.ok()) }));
        if let Some(deliveries) = &self.deliveries {
            // An error means that the subscription was dropped just now. The delivery is dropped
            // with it, and so comes back.
            deliveries.try_send(delivery).ok();
        }
    }

    async fn read_on(&mut self) -> Result<(), SqliteError> {
        let (queue, after) = (self.queue, self.cursor);
        let rows_max = self.prefetch - self.held;
        let bytes_max = HELD_BYTES_MAX.saturating_sub(self.held_bytes);
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

    /// Notes that rows are handed out one at a time, or not so; called with none held.
    async fn note_alone(&mut self, is_alone: bool) -> Result<bool, SqliteError> {
        let (queue, held_max) = (self.queue, if is_alone { 1 } else { self.prefetch });
        let note = move |connection: &_| queue::note_held_max(connection, queue, held_max);
        let noted = self.tolerate(self.shared.database.write(note).await)?;
        if noted.is_some() {
            self.is_alone = Some(is_alone);
        }
        Ok(noted.is_some())
    }

    fn take_back(&mut self, mut lease: Lease, disposition: Option<Disposition>) {
        let bytes = lease.envelope.body.len();
        if let Some(disposition) = disposition {
            let decided_at = clock::now();
            let Lease { seq, failing_since, put_back, .. } = lease;
            self.decided.push(Settlement {
                seq,
                disposition,
                decided_at,
                failing_since,
                bytes,
                put_back,
            });
            return;
        }
        self.held -= 1;
        self.held_bytes -= bytes;
        if self.deliveries.is_some() {
            lease.delivery_count = lease.delivery_count.saturating_add(1);
            self.upcoming.insert(lease.seq, lease);
        }
    }

    fn take_back_ready(&mut self) {
        while let Some(Some((lease, disposition))) = self.out.next().now_or_never() {
            self.take_back(lease, disposition);
        }
    }

    /// Starts the next write, unless one is under way or there is nothing to write.
    fn start_writing(&mut self) {
        let is_due = self.due_in() == Some(Duration::ZERO);
        let is_idle = self.unwritten.is_none() && self.decided.is_empty() && !is_due;
        if self.writing.is_some() || self.pause.is_on() || is_idle {
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
                Ok(Written { promoted, next_due: queue::next_due(connection, queue)? })
            };
            database.write(write).await
        });
        self.writing = Some(Writing { group, answer });
    }

    fn note_written(&mut self, result: Result<Written, SqliteError>) -> Result<(), SqliteError> {
        let Some(Writing { group, .. }) = self.writing.take() else { return Ok(()) };
        let Some(Written { promoted, next_due }) = self.tolerate(result)? else {
            self.unwritten = Some(group);
            return Ok(());
        };
        self.pause = Pause::default();
        self.next_due = next_due;
        self.may_have_more |= promoted > 0;
        self.held -= group.len();
        self.held_bytes -= group.iter().map(|settlement| settlement.bytes).sum::<usize>();
        let is_burial = |it: &Settlement| matches!(it.disposition, Disposition::DeadLetter(_));
        if self.queue == Queue::Work && group.iter().any(is_burial) {
            self.shared.dead.arrived.notify_one();
        }
        Ok(())
    }

    /// `None` for a failure that may pass, after which nothing is tried for a while.
    fn tolerate<T>(&mut self, result: Result<T, SqliteError>) -> Result<Option<T>, SqliteError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_transient() => {
                self.pause.begin();
                let pause_ms = self.pause.length.as_millis();
                tracing::warn!(queue = queue::name(self.queue), %error, pause_ms, "trying again");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    const fn has_room(&self) -> bool {
        self.held < self.prefetch && self.held_bytes < HELD_BYTES_MAX
    }

    /// How long until a retry must be put back into the queue, if that is to be done at all.
    fn due_in(&self) -> Option<Duration> {
        let due_at = self.next_due.filter(|_| self.deliveries.is_some())?;
        let micros = due_at.micros().saturating_sub(clock::now().micros());
        Some(Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
    }

    /// When to look again, if nothing else happens. Never further than [`POLL`], so that a clock
    /// that jumps ahead is noticed by then. One that is set back delays retries by as much.
    fn wake_at(&self) -> Instant {
        let poll_at = self.looked_at + POLL;
        let due_in = self.due_in().filter(|_| self.writing.is_none());
        let due_at = due_in.map_or(poll_at, |due_in| Instant::now() + due_in.min(POLL));
        poll_at.min(due_at).max(self.pause.until)
    }
}

/// A delivery that is out, and what became of it; `None` if it was dropped.
type Settled = (Lease, Option<Disposition>);

/// A group that is being written.
struct Writing {
    group: Arc<Vec<Settlement>>,
    answer: Pin<Box<dyn Future<Output = Result<Written, SqliteError>> + Send>>,
}

/// What a write found.
struct Written {
    promoted: usize,
    next_due: Option<Timestamp>,
}

/// The time after a failure in which nothing is tried.
struct Pause {
    length: Duration,
    until: Instant,
}

impl Default for Pause {
    fn default() -> Self {
        Self { length: Duration::ZERO, until: Instant::now() }
    }
}

impl Pause {
    fn begin(&mut self) {
        self.length = (self.length * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        self.until = Instant::now() + self.length;
    }

    fn is_on(&self) -> bool {
        Instant::now() < self.until
    }
}

async fn closed(deliveries: Option<&mpsc::Sender<Delivery>>) {
    match deliveries {
        Some(deliveries) => deliveries.closed().await,
        None => std::future::pending().await,
    }
}

async fn written(writing: Option<&mut Writing>) -> Result<Written, SqliteError> {
    match writing {
        Some(writing) => writing.answer.as_mut().await,
        None => std::future::pending().await,
    }
}
