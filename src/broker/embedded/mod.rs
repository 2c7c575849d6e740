//! The embedded broker: queue, retries, dead-letter intake and journal in one SQLite file.
//!
//! [`publish`](Broker::publish) writes a journal row and a work row in one transaction, which it
//! shares with whoever publishes at the same time. Each subscription has a task ([`QueueSession`])
//! that waits for its turn, then reads rows in order, hands them out and writes what was decided,
//! in groups ([`session`]).
//!
//! # Why are leases not in the file?
//! A lease there would cost a write for every delivery, and a clock to end those of dead
//! consumers. Instead one consumer a queue is active, and what it holds is in its memory. Its
//! right is a lock of the operating system ([`lock`]): when its process dies, however it dies, the
//! lock is free, and the next consumer starts from the rows that are left.
//!
//! # Invariants
//! - A row leaves its queue only by a settlement, in the transaction that puts it elsewhere.
//! - What a consumer has in flight or has decided is not handed out again while it lives.
//! - A journal row that a queue row points at is never removed.

mod identity;
mod journal;
mod lock;
mod queue;
mod schema;
mod session;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use self::journal::Limit;
pub use self::journal::SweepPlace;
use self::lock::QueueLock;
use self::session::QueueSession;
use super::{
    Broker, BrokerError, Envelope, JournalExtent, JournalPosition, JournalRecord, Queue,
    QueueDepth, Subscription,
};
use crate::clock;
use crate::domain::{Rejection, Timestamp};
use crate::sqlite::{Database, SqliteError, SqliteFailure, damage, is_there};

const FILE_NAME: &str = "broker.db";
/// The most unsettled deliveries of a subscription.
const PREFETCH_MAX: usize = 65_536;

/// The broker in `broker.db` of a directory.
///
/// Several may be open on one directory, in one process or many; one of them consumes a queue.
/// Dropping it without [`close`](Broker::close) is what a crash is: nothing more is written.
#[derive(Debug)]
pub struct EmbeddedBroker {
    directory: PathBuf,
    /// How large the files may get by publishing; settlements may go beyond, or what is queued could
    /// not be worked off.
    limit: Limit,
    shared: Arc<Shared>,
    sessions: TaskTracker,
    /// Ends sessions after they have written what was decided.
    stop: CancellationToken,
    /// Ends sessions at once.
    abandoned: CancellationToken,
    _abandon: DropGuard,
}

/// What the broker and its sessions have in common.
#[derive(Debug)]
struct Shared {
    database: Database,
    work: Arrivals,
    dead: Arrivals,
    /// Whether the Store beside it was found to have all that was settled, or gets it now.
    is_paired: AtomicBool,
    /// Why a queue is not consumed any more, although somebody waits for its deliveries.
    failed: OnceLock<SqliteError>,
}

/// What is known of a queue in this process.
#[derive(Debug, Default)]
struct Arrivals {
    /// Told when this process put something into the queue.
    arrived: Notify,
    /// How many subscriptions wait for the queue's lock.
    standing_by: AtomicUsize,
}

impl Shared {
    const fn arrivals(&self, queue: Queue) -> &Arrivals {
        match queue {
            Queue::Work => &self.work,
            Queue::Dead => &self.dead,
        }
    }
}

impl EmbeddedBroker {
    /// Opens or creates `broker.db` in a directory, which is created if it is missing. Blocks.
    pub fn open(directory: &Path) -> Result<Self, BrokerError> {
        let database = Database::open(&directory.join(FILE_NAME), &schema::SCHEMA)?;
        Ok(Self::on(directory, database))
    }

    fn on(directory: &Path, database: Database) -> Self {
        let shared = Shared {
            database,
            work: Arrivals::default(),
            dead: Arrivals::default(),
            is_paired: AtomicBool::new(false),
            failed: OnceLock::new(),
        };
        let abandoned = CancellationToken::new();
        Self {
            directory: directory.to_owned(),
            limit: Limit::default(),
            shared: Arc::new(shared),
            sessions: TaskTracker::new(),
            stop: CancellationToken::new(),
            _abandon: abandoned.clone().drop_guard(),
            abandoned,
        }
    }

    /// The same broker, which takes nothing more once its file has so many bytes in use, together
    /// with the size of a file beside it, if one is given.
    #[must_use]
    pub fn limited_to(mut self, bytes_max: Option<u64>, beside: Option<PathBuf>) -> Self {
        self.limit = Limit { bytes_max, beside };
        self
    }

    fn lock_path(&self, queue: Queue) -> PathBuf {
        self.directory.join(format!("{}.lock", queue::name(queue)))
    }

    /// Removes what was received before a time from the journal, unless a queue still needs it;
    /// returns how many envelopes those were. Publishing goes on meanwhile.
    ///
    /// Cancel safe: what was removed until then stays removed.
    pub async fn sweep(&self, before: Timestamp) -> Result<u64, BrokerError> {
        let (mut removed, mut place) = (0, None);
        loop {
            let (count, next) = self.sweep_some(place, before).await?;
            removed += count;
            if next.is_none() {
                return Ok(removed);
            }
            place = next;
        }
    }

    /// The same for a bounded part of the journal, from a place on; `None` is the beginning, and in
    /// the answer the end.
    pub async fn sweep_some(
        &self,
        place: Option<SweepPlace>,
        before: Timestamp,
    ) -> Result<(u64, Option<SweepPlace>), BrokerError> {
        let from = place.unwrap_or(SweepPlace::START);
        let step = move |connection: &_| journal::sweep(connection, from, before);
        Ok(self.shared.database.write(step).await?)
    }
}

impl EmbeddedBroker {
    /// Opens the broker that a directory has, for commands beside the service: one that is missing
    /// or of an older schema is an error; nothing is created or migrated. Blocks.
    pub fn open_existing(directory: &Path) -> Result<Self, BrokerError> {
        let file = directory.join(FILE_NAME);
        if !is_there(&file)? {
            let message = format!("there is no {}; check embedded.path", file.display());
            return Err(BrokerError::unavailable(message));
        }
        Ok(Self::on(directory, Database::open_existing(&file, &schema::SCHEMA)?))
    }

    /// What is wrong with the file of a directory, if there is one. Reads all of it; blocks.
    pub fn damage(directory: &Path) -> Result<Vec<(PathBuf, String)>, BrokerError> {
        Ok(damage(&directory.join(FILE_NAME))?)
    }

    /// When the oldest envelope was received that is in some queue.
    pub async fn oldest_waiting(&self) -> Result<Option<Timestamp>, BrokerError> {
        Ok(self.shared.database.read(queue::oldest_waiting).await?)
    }

    /// Fails if the file was found damaged, or if a queue is not consumed any more.
    fn check_undamaged(&self) -> Result<(), SqliteError> {
        self.shared.database.check_undamaged()?;
        self.shared.failed.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Writes an envelope if there is room for it. Nothing is taken into a file that was found
    /// damaged: a backup takes its place, and has nothing of what came since.
    async fn publish_if_fits(
        &self,
        envelope: Envelope,
        rejection: Option<Rejection>,
    ) -> Result<(), BrokerError> {
        self.shared.database.check_undamaged()?;
        let limit = self.limit.clone();
        let publish = move |connection: &_| {
            let has_room = journal::has_room(connection, envelope.body.len(), &limit)?;
            match &rejection {
                _ if !has_room => {}
                Some(rejection) => journal::publish_dead(connection, &envelope, rejection)?,
                None => journal::publish(connection, &envelope)?,
            }
            Ok(has_room)
        };
        let has_room = self.shared.database.write(publish).await?;
        if has_room { Ok(()) } else { Err(BrokerError::Full) }
    }

    /// Copies the file into another directory while it is written; see [`Database::copy_to`].
    pub async fn copy_to(
        &self,
        directory: &Path,
        progress: impl FnMut(u64, u64) + Send + 'static,
    ) -> Result<(), BrokerError> {
        Ok(self.shared.database.copy_to(&directory.join(FILE_NAME), progress).await?)
    }
}

#[async_trait]
impl Broker for EmbeddedBroker {
    async fn publish(&self, envelope: Envelope) -> Result<(), BrokerError> {
        self.publish_if_fits(envelope, None).await?;
        self.shared.work.arrived.notify_one();
        Ok(())
    }

    async fn publish_dead(
        &self,
        envelope: Envelope,
        rejection: Rejection,
    ) -> Result<(), BrokerError> {
        self.publish_if_fits(envelope, Some(rejection)).await?;
        self.shared.dead.arrived.notify_one();
        Ok(())
    }

    async fn replay(&self, envelopes: Vec<Envelope>) -> Result<(), BrokerError> {
        let replay = move |connection: &_| journal::replay(connection, &envelopes);
        self.shared.database.write(replay).await?;
        self.shared.work.arrived.notify_one();
        Ok(())
    }

    async fn subscribe(&self, queue: Queue, prefetch: usize) -> Result<Subscription, BrokerError> {
        if self.stop.is_cancelled() {
            return Err(BrokerError::unavailable("the broker is closed"));
        }
        let lock = QueueLock::open(&self.lock_path(queue)).map_err(BrokerError::unavailable)?;
        let prefetch = prefetch.clamp(1, PREFETCH_MAX);
        let (deliveries, subscription) = mpsc::channel(prefetch);
        let (shared, stop) = (Arc::clone(&self.shared), self.stop.clone());
        let session = QueueSession::new(queue, prefetch, shared, stop, lock, deliveries);
        let abandoned = self.abandoned.clone();
        self.sessions.spawn(async move {
            tokio::select! {
                // First, so that a session never sees what happens after a crash.
                biased;
                () = abandoned.cancelled() => {}
                () = session.serve() => {}
            }
        });
        Ok(Subscription::new(subscription))
    }

    /// What is in flight is what the consumer has recorded, in whichever process it is.
    async fn depth(&self) -> Result<QueueDepth, BrokerError> {
        let lock_path = self.lock_path(Queue::Work);
        let depth =
            move |connection: &_| Ok((lock::in_flight(&lock_path), queue::depth(connection)?));
        let (in_flight, rows) = self.shared.database.read(depth).await?;
        // The rows were counted a moment later; those in flight cannot be more than all.
        let work_in_flight = in_flight.min(rows.work_ready);
        Ok(QueueDepth { work_ready: rows.work_ready - work_in_flight, work_in_flight, ..rows })
    }

    async fn settled_before(&self) -> Result<Option<Timestamp>, BrokerError> {
        // The clock first: what comes while the queues are looked at is later.
        let now = clock::now();
        Ok(Some(self.oldest_waiting().await?.map_or(now, |oldest| oldest.min(now))))
    }

    async fn journal(
        &self,
        after: Option<JournalPosition>,
        limit: usize,
    ) -> Result<Vec<JournalRecord>, BrokerError> {
        let read = move |connection: &_| journal::read(connection, after, limit);
        Ok(self.shared.database.read(read).await?)
    }

    async fn journal_extent(&self, since: Option<Timestamp>) -> Result<JournalExtent, BrokerError> {
        let read = move |connection: &_| journal::extent(connection, since);
        Ok(self.shared.database.read(read).await?)
    }

    /// Writes and removes a body of ordinary size: on a full disk the ingress is not ready,
    /// although what is queued can still be worked off.
    async fn check(&self) -> Result<(), BrokerError> {
        self.check_undamaged()?;
        let limit = self.limit.clone();
        let probe = move |connection: &_| {
            queue::probe(connection)?;
            journal::has_room(connection, queue::PROBE_BYTES, &limit)
        };
        let has_room = self.shared.database.write(probe).await?;
        if has_room { Ok(()) } else { Err(BrokerError::Full) }
    }

    fn reconnects(&self) -> u64 {
        0
    }

    async fn is_consumed(&self) -> Result<bool, BrokerError> {
        let lock_path = self.lock_path(Queue::Work);
        Ok(self.shared.database.read(move |_| Ok(lock::is_owned(&lock_path))).await?)
    }

    fn stands_by(&self) -> bool {
        self.shared.work.standing_by.load(Ordering::Relaxed) > 0
    }

    async fn close(&self) {
        self.stop.cancel();
        self.sessions.close();
        self.sessions.wait().await;
        self.shared.database.close().await;
    }
}

impl From<SqliteError> for BrokerError {
    fn from(error: SqliteError) -> Self {
        match error.kind {
            SqliteFailure::Full => Self::Full,
            SqliteFailure::Unavailable => Self::Unavailable { source: Box::new(error) },
            SqliteFailure::Unusable | SqliteFailure::Outdated | SqliteFailure::Damaged => {
                Self::Corrupt { detail: error.to_string() }
            }
            SqliteFailure::Refused => Self::Rejected { source: Box::new(error) },
        }
    }
}

#[cfg(test)]
mod tests;
