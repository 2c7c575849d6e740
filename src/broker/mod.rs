//! The port to the queue: envelopes in, deliveries out, nothing lost between.
//!
//! Two backends keep the same promises (`tests/it/conformance` names them): [`embedded`], a
//! SQLite file, and [`rabbitmq`]. Callers hold an `Arc<dyn Broker>`.
//!
//! # Invariants
//! - An envelope whose [`publish`](Broker::publish) answered `Ok` is delivered until it is settled.
//! - A delivery is settled at most once ([`Delivery::settle`] consumes it); one that is dropped,
//!   or whose process dies, is delivered again.
//! - No type of a queue's client library crosses this port.

pub mod embedded;
mod envelope;
pub mod rabbitmq;
mod ticket;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

pub use envelope::Envelope;
use ticket::Ticket;

pub use crate::domain::EnvelopeKind;
use crate::domain::{Rejection, Timestamp};

/// What was delivered so often before without being settled is handed out, and worked, alone: it
/// may be what kills workers.
pub const SUSPECT_DELIVERIES: u32 = 2;

/// The queue, its retries, its dead-letter intake and its journal.
#[async_trait]
pub trait Broker: Debug + Send + Sync + 'static {
    /// Puts an envelope into the work queue and the journal, both or neither, and returns once it
    /// would survive a crash. Concurrent calls share the cost of one write to disk.
    ///
    /// Dies before the answer: the envelope may or may not be there; the sender sends it again. The
    /// same goes for a cancelled call.
    async fn publish(&self, envelope: Envelope) -> Result<(), BrokerError>;

    /// Puts an envelope into the queue of dead letters and the journal, both or neither, and
    /// returns once it would survive a crash. It never enters the work queue, and its journal
    /// record has the reason: a rebuild must not apply what was rejected on receipt.
    ///
    /// Dies before the answer, or is cancelled: as for [`publish`](Self::publish).
    async fn publish_dead(
        &self,
        envelope: Envelope,
        rejection: Rejection,
    ) -> Result<(), BrokerError>;

    /// Puts journalled envelopes into the work queue once more, in their order, and returns once
    /// all of them would survive a crash. Their bodies are not journalled a second time.
    ///
    /// Dies before the answer, or fails: some may be there. The caller replays all of them, which
    /// changes nothing for those that are.
    async fn replay(&self, envelopes: Vec<Envelope>) -> Result<(), BrokerError>;

    /// Starts consuming a queue, with at most `prefetch` deliveries unsettled at a time.
    ///
    /// Oldest first, except that retries and returned deliveries come when they are due. What was
    /// delivered twice or more without being settled comes alone: nothing else is delivered until
    /// it is settled, so that nothing else dies of it. In the embedded backend one subscription a
    /// queue is active, across all processes that share the directory; a further one stands by and
    /// takes over when the first one ends or dies.
    async fn subscribe(&self, queue: Queue, prefetch: usize) -> Result<Subscription, BrokerError>;

    /// Counts what is in each queue.
    async fn depth(&self) -> Result<QueueDepth, BrokerError>;

    /// Returns a time before which everything that was received here is settled; `None` while that
    /// is unknown.
    async fn settled_before(&self) -> Result<Option<Timestamp>, BrokerError>;

    /// Reads the journal in the order in which it was written, starting after `after`.
    async fn journal(
        &self,
        after: Option<JournalPosition>,
        limit: usize,
    ) -> Result<Vec<JournalRecord>, BrokerError>;

    /// Where the journal begins and ends; with a time, where what was received from then on begins.
    async fn journal_extent(&self, since: Option<Timestamp>) -> Result<JournalExtent, BrokerError>;

    /// Checks whether publishing would work now; readiness of the ingress.
    async fn check(&self) -> Result<(), BrokerError>;

    /// How often this handle had to reconnect; never for a file.
    fn reconnects(&self) -> u64;

    /// Whether anybody consumes the work queue now, in whichever process.
    async fn is_consumed(&self) -> Result<bool, BrokerError>;

    /// Whether a subscription of this handle waits for another consumer of the work queue to end;
    /// never where all consume together.
    fn stands_by(&self) -> bool {
        false
    }

    /// What an operator must put right although everything works for now; nothing for a file.
    fn warnings(&self) -> BrokerWarnings {
        BrokerWarnings::default()
    }

    /// Waits until every decided settlement is durable, then releases all resources. Deliveries
    /// that are still unsettled are delivered again after the next start.
    async fn close(&self);
}

/// A queue that can be consumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Queue {
    /// The backlog.
    Work,
    /// The intake of dead letters, which workers park in the Store.
    Dead,
}

/// Why a call to the broker failed.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// It cannot be reached; the same call may work later.
    #[error("the broker is unavailable")]
    Unavailable {
        /// What the backend said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It can be reached and takes no messages for now.
    #[error("the broker takes no messages for now")]
    Blocked,
    /// It has no room.
    #[error("the broker has no room left")]
    Full,
    /// It will never take this call.
    #[error("the broker refused the call")]
    Rejected {
        /// What the backend said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Its data is not what this program writes.
    #[error("the broker's data cannot be used: {detail}")]
    Corrupt {
        /// What was found, and what to do.
        detail: String,
    },
}

impl BrokerError {
    fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable { source: source.into() }
    }

    fn rejected(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Rejected { source: source.into() }
    }

    /// Whether the same call may work later.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Blocked | Self::Full)
    }
}

/// The deliveries of one queue. Dropping it stops consuming; deliveries that were taken from it
/// can still be settled, the others are delivered again.
#[derive(Debug)]
pub struct Subscription {
    deliveries: mpsc::Receiver<Delivery>,
}

impl Subscription {
    /// A subscription fed by the backend that owns the other end. The channel's capacity is the
    /// prefetch.
    pub const fn new(deliveries: mpsc::Receiver<Delivery>) -> Self {
        Self { deliveries }
    }

    /// Waits for one delivery, then takes what else is ready, up to `max`; never waits to fill a
    /// batch. Deliveries that the backend has lost meanwhile are left
    /// out: they are delivered again. Empty when the
    /// queue's backend has stopped for good. Cancel safe.
    pub async fn next_batch(&mut self, max: usize) -> Vec<Delivery> {
        let mut batch: Vec<Delivery> = Vec::new();
        while self.deliveries.recv_many(&mut batch, max).await > 0 {
            batch.retain(|delivery| !delivery.ticket.reports.is_closed());
            if !batch.is_empty() {
                break;
            }
        }
        batch
    }
}

/// One handing-over of an envelope.
#[derive(Debug)]
pub struct Delivery {
    /// What is handed over.
    pub envelope: Arc<Envelope>,
    /// The number of this attempt, from 1; only failures of this one message count.
    pub attempt: u32,
    /// When the first attempt failed; `None` before that. A replay begins anew.
    pub failing_since: Option<Timestamp>,
    /// How often it was delivered before without being settled.
    pub delivery_count: u32,
    /// Why it is in the queue of dead letters; `None` in the work queue.
    pub dead: Option<DeadReason>,
    ticket: Ticket,
}

impl Delivery {
    /// Decides what shall become of the delivery; the backend makes it durable soon after, in
    /// groups.
    ///
    /// Dies before that: the envelope is delivered again.
    pub fn settle(mut self, disposition: Disposition) {
        self.ticket.disposition = Some(disposition);
    }
}

/// What shall become of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// It is done.
    Ack,
    /// It is delivered again after this delay, as the next attempt.
    ///
    /// Dies on the way, here and with a dead letter: it may be in both places, never in neither.
    /// What is delivered twice is applied once.
    Retry(Duration),
    /// It is delivered again after this delay, as the same attempt: nothing has failed.
    Later(Duration),
    /// It moves to the queue of dead letters.
    DeadLetter(Box<Rejection>),
}

/// Why and since when an envelope is a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadReason {
    /// The reason.
    pub rejection: Rejection,
    /// When it became one.
    pub failed_at: Timestamp,
    /// How many attempts had been made.
    pub attempts: u32,
}

/// How much is in each queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueDepth {
    /// Envelopes that wait for a worker.
    pub work_ready: u64,
    /// Envelopes that a worker has and has not settled.
    pub work_in_flight: u64,
    /// When the oldest unsettled envelope of the work queue was received, of those that can be
    /// looked at: what the consumers of this handle hold, and in the embedded backend all.
    pub work_oldest: Option<Timestamp>,
    /// Envelopes that wait for their next attempt.
    pub retry_ready: u64,
    /// Dead letters that are not parked yet.
    pub dead_intake: u64,
    /// Messages in RabbitMQ that are not ours, or that found no queue.
    pub unroutable: u64,
}

/// What an operator must put right although everything works for now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrokerWarnings {
    /// Policies that let RabbitMQ drop or refuse messages; `None` while they cannot be read.
    pub policy_conflicts: Option<Vec<String>>,
    /// Why the management API cannot be read, where it is configured.
    pub management: Option<String>,
}

/// A place in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JournalPosition(pub u64);

/// Which part of the journal is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalExtent {
    /// The place before which nothing is that was asked for.
    pub first: Option<JournalPosition>,
    /// The last place.
    pub last: Option<JournalPosition>,
    /// Whether the journal has something from before what was asked for.
    pub begins_later: bool,
    /// Whether the journal has everything that was ever journalled.
    pub is_complete: bool,
}

/// An envelope in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalRecord {
    /// Its place.
    pub position: JournalPosition,
    /// The envelope as it was first published.
    pub envelope: Envelope,
    /// Why it was rejected on receipt, if it was.
    pub rejection: Option<Rejection>,
    /// Whether it is known to be in a queue still; RabbitMQ does not say.
    pub is_waiting: bool,
}
