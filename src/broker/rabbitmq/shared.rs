//! What a broker's handle, its consumers and its upkeep have in common.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use lapin::message::Delivery;
use lapin::{BasicProperties, Channel};
use tokio::sync::watch;
use tokio::time::sleep;

use super::connection::Link;
use super::failure::within;
use super::holdings::Holdings;
use super::journal::Journal;
use super::management::Management;
use super::publisher::{Message, Publisher};
use super::topology::{self, DEAD_KEY, FOREIGN_KEY, Found, Topology, UNROUTED, WORK_KEY, short};
use super::unrouted;
use super::waiting::Arrival;
use super::wire::{self, Received, Unreadable};
use crate::broker::{BrokerError, DeadReason, Disposition, Envelope, Queue, QueueDepth};
use crate::clock::{self, Delays};
use crate::domain::{Timestamp, causes};

/// How long one look at RabbitMQ may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How often all that was declared is checked, and how soon after it did not stand.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);
const CHECK_INTERVAL_AFTER_FAULT: Duration = Duration::from_secs(1);
/// How long a dead letter waits that is rejected once more, and what a newer release must read:
/// otherwise two that disagree would hand it to each other for ever.
const DISAGREED: Duration = Duration::from_secs(5);
/// How long one consumer may hold a delivery, in microseconds: RabbitMQ ends those that hold one
/// for longer than half an hour, and looks every few minutes.
const HELD_MICROS_MAX: i64 = 40 * 60 * 1_000_000;
/// The delays between tries to publish what was decided.
const DELAY_MIN: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) topology: Arc<Topology>,
    /// A connection of its own: RabbitMQ stops reading from one that publishes when memory is
    /// short, and acknowledgements must go on.
    pub(super) publishing: Arc<Link>,
    pub(super) consuming: Arc<Link>,
    pub(super) publisher: Publisher,
    pub(super) journal: Journal,
    pub(super) management: Option<Management>,
    work: Holdings,
    dead: Holdings,
    /// Whether all was declared once, or never can be.
    was_declared: watch::Sender<bool>,
    /// Why not all that was declared stands, as far as is known.
    fault: Mutex<Option<String>>,
    /// The channel of looks at queues.
    channel: tokio::sync::Mutex<Option<Channel>>,
}

impl Shared {
    pub(super) fn new(
        topology: Arc<Topology>,
        (publishing, consuming): (Arc<Link>, Arc<Link>),
        publish_in_flight_max: usize,
        management: Option<Management>,
    ) -> Self {
        Self {
            topology,
            publisher: Publisher::new(Arc::clone(&publishing), publish_in_flight_max),
            publishing,
            consuming,
            journal: Journal::default(),
            management,
            work: Holdings::default(),
            dead: Holdings::default(),
            was_declared: watch::Sender::default(),
            fault: Mutex::default(),
            channel: tokio::sync::Mutex::default(),
        }
    }

    pub(super) const fn holdings(&self, queue: Queue) -> &Holdings {
        match queue {
            Queue::Work => &self.work,
            Queue::Dead => &self.dead,
        }
    }

    /// A message for an exchange of ours.
    pub(super) fn message(
        &self,
        exchange: &str,
        key: &str,
        properties: BasicProperties,
        body: Bytes,
    ) -> Message {
        let exchange = self.topology.exchange(exchange);
        Message { exchange, key: short(key), properties, body }
    }

    /// An envelope that goes to a queue and the journal.
    pub(super) fn news(
        &self,
        queue: Queue,
        envelope: &Envelope,
        dead: Option<&DeadReason>,
    ) -> Message {
        let properties = wire::properties(envelope, 1, None, dead);
        self.message("events", topology::key_of(queue), properties, envelope.body.clone())
    }

    /// An envelope that goes to the work queue and not to the journal.
    pub(super) fn again(&self, envelope: &Envelope) -> Message {
        let properties = wire::properties(envelope, 1, None, None);
        self.message("again", WORK_KEY, properties, envelope.body.clone())
    }

    /// Publishes a delivery to where it shall go; returns once that is confirmed.
    pub(super) async fn settle_elsewhere(
        &self,
        queue: Queue,
        arrival: Arrival,
        disposition: Disposition,
    ) {
        let Received { envelope, attempt, failing_since, dead, .. } = arrival.received;
        let decided_at = clock::now();
        let failing_since = match disposition {
            Disposition::Retry(_) => failing_since.or(Some(decided_at)),
            Disposition::Later(_) => failing_since,
            Disposition::Ack | Disposition::DeadLetter(_) => None,
        };
        let next = attempt.saturating_add(1);
        let (delay, attempt, dead) = match (disposition, queue) {
            (Disposition::Ack, _) => return,
            (Disposition::Retry(delay), _) => (Some(delay), next, dead),
            // Published anew rather than given back, which RabbitMQ counts before release 4.3.
            (Disposition::Later(delay), _) => (Some(delay), attempt, dead),
            (Disposition::DeadLetter(rejection), Queue::Work) => {
                let reason =
                    DeadReason { rejection: *rejection, failed_at: decided_at, attempts: attempt };
                (None, 1, Some(reason))
            }
            // It is where it should go. It comes again for its new reason, but not at once.
            (Disposition::DeadLetter(rejection), Queue::Dead) => {
                let attempts = dead.map_or(attempt, |dead| dead.attempts);
                let reason = DeadReason { rejection: *rejection, failed_at: decided_at, attempts };
                (Some(DISAGREED), next, Some(reason))
            }
        };
        let route = match delay {
            None => Route::Direct(DEAD_KEY),
            Some(Duration::ZERO) => Route::Direct(topology::key_of(queue)),
            Some(delay) => Route::Later(queue, delay),
        };
        let properties = wire::properties(&envelope, attempt, failing_since, dead.as_ref());
        self.insist(route, properties, envelope.body.clone()).await;
    }

    /// Publishes what could not be read: to where an operator looks, or, if it is of a newer release
    /// of ours, to its queue again, for a consumer of that release. Returns once that is confirmed.
    pub(super) async fn send_on(&self, queue: Queue, delivery: Delivery, why: Unreadable) {
        let key = topology::key_of(queue);
        let route = match why {
            Unreadable::Foreign => {
                tracing::error!(queue = key, error = %why, "moved to the queue `foreign`: it is not ours");
                Route::Direct(FOREIGN_KEY)
            }
            Unreadable::Unknown(_) => {
                tracing::warn!(queue = key, error = %why, "handed back for another worker");
                Route::Later(queue, DISAGREED)
            }
        };
        let properties = wire::stripped(&delivery.properties);
        self.insist(route, properties, delivery.data.into()).await;
    }

    /// Tries until it works: the delivery is held meanwhile, and nothing of it is lost.
    async fn insist(&self, route: Route, properties: BasicProperties, body: Bytes) {
        let mut delays = Delays::new(DELAY_MIN, DELAY_MAX);
        let mut is_failing = false;
        while let Err(error) = self.send(route, properties.clone(), body.clone()).await {
            // Once an outage; the links say more.
            if !is_failing {
                let error = causes(&error);
                let message_id = properties.message_id().as_ref().map(tracing::field::display);
                tracing::warn!(message_id, error, "cannot move a delivery; trying again");
            }
            is_failing = true;
            sleep(delays.next()).await;
        }
    }

    async fn send(
        &self,
        route: Route,
        properties: BasicProperties,
        body: Bytes,
    ) -> Result<(), BrokerError> {
        let message = match route {
            Route::Direct(key) => self.message("again", key, properties, body),
            Route::Later(queue, delay) => {
                let connection = self.consuming.connection()?;
                let key = self.topology.retry_key(&connection, queue, delay);
                let late = "RabbitMQ does not declare a queue for a delay";
                let key = within(CALL_TIMEOUT, late, key).await?;
                self.message("again", &key, properties, body)
            }
        };
        self.publisher.publish(message).await
    }

    /// How much is in the queues, and what the consumers of this handle hold.
    pub(super) async fn depth(&self) -> Result<QueueDepth, BrokerError> {
        let ready = self.look().await?;
        let unacknowledged = match &self.management {
            Some(management) => {
                let [work, dead] = [WORK_KEY, DEAD_KEY].map(|part| self.topology.name(part));
                tokio::join!(management.unacknowledged(&work), management.unacknowledged(&dead))
            }
            None => (None, None),
        };
        // After the queues were looked at: what comes meanwhile is counted twice rather than never.
        let (work_waiting, work_out, work_oldest) = self.work.count();
        let (dead_waiting, dead_out, _) = self.dead.count();
        let held = work_waiting + work_out;
        let elsewhere = unacknowledged.0.unwrap_or(held).saturating_sub(held);
        let dead_held = unacknowledged.1.unwrap_or(0).max(dead_waiting + dead_out);
        Ok(QueueDepth {
            work_ready: ready.work + work_waiting,
            work_in_flight: work_out + elsewhere,
            work_oldest,
            retry_ready: ready.retry,
            dead_intake: ready.dead + dead_held,
            unroutable: ready.unroutable,
        })
    }

    /// A time before which everything that was received is settled, if nothing waits.
    ///
    /// Nobody tells how old that is which waits in RabbitMQ, so nothing may. What the consumers of
    /// this handle hold is known; what others hold is not, but RabbitMQ takes back what one holds
    /// for too long.
    pub(super) async fn settled_before(&self) -> Result<Option<Timestamp>, BrokerError> {
        let now = clock::now();
        let mut settled = now;
        // Twice: what moves from the retries to the queue between two looks is seen by the third.
        for _ in 0..2 {
            let (_, _, held) = self.work.count();
            let ready = self.look().await?;
            let (_, _, taken) = self.work.count();
            if ready.work > 0 || ready.retry > 0 {
                return Ok(None);
            }
            if ready.work_consumers > self.work.consumers() {
                settled = settled.min(now.plus_micros(-HELD_MICROS_MAX));
            }
            settled = [held, taken].into_iter().flatten().fold(settled, Timestamp::min);
        }
        Ok(Some(settled))
    }

    async fn look(&self) -> Result<Ready, BrokerError> {
        let late = format!("RabbitMQ did not say within {CALL_TIMEOUT:?} what is queued");
        within(CALL_TIMEOUT, &late, self.ready()).await
    }

    async fn ready(&self) -> Result<Ready, BrokerError> {
        let mut kept = self.channel.lock().await;
        // Taken out: one that failed, or whose answer was not awaited, is not used again.
        let channel = match kept.take().filter(|channel| channel.status().connected()) {
            Some(channel) => channel,
            None => topology::open(&*self.consuming.connection()?).await?,
        };
        let work = self.look_at(&channel, &self.topology.name(WORK_KEY)).await?;
        let unroutable = [FOREIGN_KEY, UNROUTED].map(|part| self.topology.name(part));
        let ready = Ready {
            work: work.ready,
            work_consumers: work.consumers,
            retry: self.sum(&channel, &self.topology.retry_names(Queue::Work)).await?,
            dead: self.sum(&channel, &[self.topology.name(DEAD_KEY)]).await?
                + self.sum(&channel, &self.topology.retry_names(Queue::Dead)).await?,
            unroutable: self.sum(&channel, &unroutable).await?,
        };
        *kept = Some(channel);
        Ok(ready)
    }

    async fn sum(&self, channel: &Channel, queues: &[String]) -> Result<u64, BrokerError> {
        let mut sum = 0;
        for queue in queues {
            sum += self.look_at(channel, queue).await?.ready;
        }
        Ok(sum)
    }

    async fn look_at(&self, channel: &Channel, queue: &str) -> Result<Found, BrokerError> {
        Topology::find(channel, queue).await?.ok_or_else(|| {
            self.topology.doubt();
            BrokerError::unavailable(format!("there is no queue {queue}"))
        })
    }

    /// Whether a message would be taken now, and get to where it belongs.
    pub(super) fn check(&self) -> Result<(), BrokerError> {
        self.publisher.check()?;
        match &*self.fault() {
            Some(fault) => Err(BrokerError::Unavailable { source: fault.clone().into() }),
            None => Ok(()),
        }
    }

    fn fault(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Declares again what an operator or an accident has removed, for ever.
    pub(super) async fn keep_up(&self) {
        // What was never there was not deleted.
        let mut has_stood = false;
        loop {
            let connection = self.consuming.connected().await;
            let (fault, is_repaired) = match self.repair(&connection, has_stood).await {
                Ok(found) => {
                    has_stood = true;
                    let is_repaired = found.is_some();
                    (found, is_repaired)
                }
                Err(error) => {
                    let error = causes(&error);
                    tracing::error!(error, "queues or bindings do not stand");
                    (Some(error), false)
                }
            };
            let pause = if fault.is_some() { CHECK_INTERVAL_AFTER_FAULT } else { CHECK_INTERVAL };
            *self.fault() = fault;
            drop(connection);
            if is_repaired {
                // Until the next look finds that all stands: not ready for so short that nobody
                // sees it would be no word at all.
                sleep(pause).await;
                continue;
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = self.topology.doubted() => {}
            }
        }
    }

    /// Waits until there is something to consume.
    pub(super) async fn declared(&self) {
        // The sender is a field of the same struct: it cannot be gone.
        self.was_declared.subscribe().wait_for(|declared| *declared).await.ok();
    }

    /// Declares everything, and puts back what found no queue; answers with what was wrong until
    /// then.
    async fn repair(
        &self,
        connection: &lapin::Connection,
        has_stood: bool,
    ) -> Result<Option<String>, BrokerError> {
        let late = format!("RabbitMQ did not answer within {CALL_TIMEOUT:?}");
        let declared = within(CALL_TIMEOUT, &late, self.declare(connection, has_stood)).await;
        // What will never stand is no reason not to consume what does.
        if declared.as_ref().err().is_none_or(|error| !error.is_transient()) {
            self.was_declared.send_replace(true);
        }
        let mut found = declared?;
        let messages = unrouted::put_back(self, connection).await?;
        if messages > 0 {
            tracing::error!(
                messages,
                "a queue was deleted, or its bindings were removed; what found no queue meanwhile \
                 is put back"
            );
            found.get_or_insert_with(|| format!("{messages} messages had found no queue"));
        }
        Ok(found)
    }

    async fn declare(
        &self,
        connection: &lapin::Connection,
        has_stood: bool,
    ) -> Result<Option<String>, BrokerError> {
        let missing = if has_stood { self.topology.missing(connection).await? } else { Vec::new() };
        let found = (!missing.is_empty()).then(|| {
            let missing = missing.join(", ");
            tracing::error!(
                missing,
                "queues were deleted, with what was in them; declaring them again. What the \
                 journal has can be put back with `storekeeper journal replay`"
            );
            format!("queues were deleted: {missing}")
        });
        if found.is_some() {
            (*self.fault()).clone_from(&found);
        }
        self.topology.declare(connection).await?;
        // The other connection may stand still while this one does not.
        if self.publishing.takes_messages().is_ok() {
            let channel = topology::open(&*self.publishing.connection()?).await?;
            topology::close(&channel).await;
        }
        Ok(found)
    }
}

/// Where a delivery goes that is not done.
#[derive(Debug, Clone, Copy)]
enum Route {
    /// To a queue by its key.
    Direct(&'static str),
    /// To a queue after a delay.
    Later(Queue, Duration),
}

/// Messages that are ready.
struct Ready {
    work: u64,
    /// Consumers of the work queue, of all handles.
    work_consumers: u64,
    retry: u64,
    dead: u64,
    unroutable: u64,
}
