//! The exchanges, queues and bindings: their names, their arguments, and declaring them.
//!
//! ```text
//! events (topic) --work--> work, journal   again (direct) --work--> work
//!                --dead--> dead, journal                  --dead--> dead
//!                ---#----> journal                        --<name>--> retry.*, dead-retry.*
//!                --work, dead--> again                    --marker--> journal
//!                                                         --foreign--> foreign
//! ```
//! There are two ways to each queue, which gets a message once all the same: so a binding that
//! somebody removes loses nothing until it is made again. What finds no queue at all goes to the
//! queue `unrouted`, and is rerouted from there once everything stands
//! ([`unrouted`](super::unrouted)). What somebody else has put into a queue of ours goes to
//! `foreign`, which nobody consumes: an operator looks. Work that is delivered too often and
//! retries that are due are moved by RabbitMQ, through `again`, at least once.
//!
//! What expires because an operator's policy says so leaves each queue by the same way: work for
//! `dead`, dead letters and what is not ours for `unrouted`, and what is in `unrouted` for `dead`.
//!
//! # Invariants
//! - Declaring is idempotent: it is done at every connect and every few seconds.
//! - No queue has a limit at which RabbitMQ would drop messages, and none is without a way out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lapin::options::{
    ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, ExchangeKind};

use tokio::sync::Notify;
use tokio::time::timeout;

use super::arguments::{self, NO_DELIVERY_LIMIT, insert, quorum, text};
use super::failure::{is_no_right, refusal, undeclared};
use crate::broker::{BrokerError, Queue};
use crate::domain::causes;

/// The longest time to live that RabbitMQ takes, in whole seconds.
const DELAY_MS_MAX: u128 = 4_294_967_000;
/// How long RabbitMQ may take to close a channel.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest namespace: names have 255 bytes at most.
const NAMESPACE_BYTES_MAX: usize = 200;

/// The routing keys of what is worked, of dead letters and of the journal's markers.
pub(super) const WORK_KEY: &str = "work";
pub(super) const DEAD_KEY: &str = "dead";
pub(super) const MARKER_KEY: &str = "marker";
/// The exchange, and the queue, of what found no other.
pub(super) const UNROUTED: &str = "unrouted";
/// The routing key, and the queue, of what is not ours.
pub(super) const FOREIGN_KEY: &str = "foreign";

/// What there must be in RabbitMQ.
#[derive(Debug)]
pub(super) struct Topology {
    namespace: String,
    delivery_limit: u32,
    /// How long the journal keeps bodies, and how large it may get.
    journal: (Option<Duration>, Option<u64>),
    /// The arguments with which queues that have limits do stand, by name.
    standing: Mutex<BTreeMap<String, FieldTable>>,
    /// Retry queues that are declared at every connect, by name.
    retries: Mutex<BTreeMap<String, Retry>>,
    /// Locked while one is declared that was not known at the connect.
    declaring: tokio::sync::Mutex<()>,
    invalidations: Notify,
    /// Whether the user may not declare, as far as is known.
    is_passive: AtomicBool,
}

/// A queue in which retries wait.
#[derive(Debug, Clone, Copy)]
struct Retry {
    of: Queue,
    delay_ms: i64,
}

impl Topology {
    pub(super) fn new(
        namespace: String,
        delivery_limit: u32,
        ladder: &[Duration],
        journal: (Option<Duration>, Option<u64>),
    ) -> Result<Self, BrokerError> {
        if namespace.is_empty() || namespace.len() > NAMESPACE_BYTES_MAX {
            let message = format!("rabbitmq.namespace must have 1 to {NAMESPACE_BYTES_MAX} bytes");
            return Err(BrokerError::Rejected { source: message.into() });
        }
        let topology = Self {
            namespace,
            delivery_limit,
            journal,
            standing: Mutex::default(),
            retries: Mutex::default(),
            declaring: tokio::sync::Mutex::default(),
            invalidations: Notify::new(),
            is_passive: AtomicBool::new(false),
        };
        for of in [Queue::Work, Queue::Dead] {
            let rungs = ladder.iter().map(|delay| topology.retry(of, *delay));
            topology.retries().extend(rungs);
        }
        Ok(topology)
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Has everything checked at once, since something failed as if not all of it stood.
    pub(super) fn invalidate(&self) {
        self.invalidations.notify_one();
    }

    /// Waits until everything is to be checked.
    pub(super) async fn invalidated(&self) {
        self.invalidations.notified().await;
    }

    /// The full name of something.
    pub(super) fn name(&self, part: &str) -> String {
        format!("{}.{part}", self.namespace)
    }

    pub(super) fn queue_name(&self, queue: Queue) -> String {
        self.name(key_of(queue))
    }

    /// What an exchange is called, for publishing.
    pub(super) fn exchange(&self, part: &str) -> ShortString {
        short(&self.name(part))
    }

    /// The names of the retry queues of a queue.
    pub(super) fn retry_names(&self, of: Queue) -> Vec<String> {
        let retries = self.retries();
        retries.iter().filter(|(_, retry)| retry.of == of).map(|(name, _)| name.clone()).collect()
    }

    /// Makes sure that there is a queue for a delay; returns its routing key.
    ///
    /// Dies before the answer: the queue may or may not be there, empty; it is declared again.
    pub(super) async fn retry_key(
        &self,
        connection: &Connection,
        of: Queue,
        delay: Duration,
    ) -> Result<String, BrokerError> {
        let (name, retry) = self.retry(of, delay);
        // One at a time: nothing may be published for a queue that is still being declared.
        let _declaring = self.declaring.lock().await;
        if !self.retries().contains_key(&name) {
            let channel = open(connection).await?;
            match self.declare_retry(&channel, &name, retry).await {
                Err(error) if is_no_right(&error) => {
                    return self.nearest(of, retry.delay_ms).ok_or(error);
                }
                declared => declared?,
            }
            close(&channel).await;
            self.retries().insert(name.clone(), retry);
        }
        Ok(name)
    }

    /// The retry queue that stands with the delay nearest to one, for who may not declare another.
    fn nearest(&self, of: Queue, delay_ms: i64) -> Option<String> {
        let retries = self.retries();
        let all = retries.iter().filter(|(_, retry)| retry.of == of);
        let nearest = all.min_by_key(|(_, retry)| retry.delay_ms.abs_diff(delay_ms));
        nearest.map(|(name, _)| name.clone())
    }

    /// The names of all retry queues.
    pub(super) fn all_retries(&self) -> Vec<String> {
        self.retries().keys().cloned().collect()
    }

    fn retries(&self) -> MutexGuard<'_, BTreeMap<String, Retry>> {
        self.retries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn retry(&self, of: Queue, delay: Duration) -> (String, Retry) {
        let ms = delay.as_nanos().div_ceil(1_000_000).clamp(1, DELAY_MS_MAX);
        let span =
            if ms.is_multiple_of(1000) { format!("{}", ms / 1000) } else { format!("{ms}ms") };
        let name = match of {
            Queue::Work => self.name(&format!("retry.{span}")),
            Queue::Dead => self.name(&format!("dead-retry.{span}")),
        };
        (name, Retry { of, delay_ms: i64::try_from(ms).unwrap_or(i64::MAX) })
    }

    /// Declares everything. Who may not declare uses what is there.
    pub(super) async fn declare(&self, connection: &Connection) -> Result<(), BrokerError> {
        // RabbitMQ logs each refusal as an error.
        if self.is_passive.load(Ordering::Relaxed) && self.absent(connection).await?.is_empty() {
            return Ok(());
        }
        let refused = match self.declare_all(connection).await {
            Err(error) if is_no_right(&error) => error,
            declared => return declared,
        };
        let absent = self.absent(connection).await?;
        if !absent.is_empty() {
            return Err(BrokerError::rejected(format!(
                "there is no {}, and {}; run `storekeeper topology declare` as a user who may \
                 declare",
                absent.join(", "),
                causes(&refused)
            )));
        }
        if !self.is_passive.swap(true, Ordering::Relaxed) {
            tracing::info!(
                namespace = self.namespace,
                "the user of rabbitmq.url may not declare: queues, exchanges and bindings are used \
                 as they stand"
            );
        }
        Ok(())
    }

    async fn declare_all(&self, connection: &Connection) -> Result<(), BrokerError> {
        self.declare_limited(connection).await?;
        let channel = open(connection).await?;
        self.declare_exchanges(&channel).await?;
        for (part, exchange, key) in [
            (UNROUTED, "again", Some(DEAD_KEY)),
            (DEAD_KEY, UNROUTED, None),
            (FOREIGN_KEY, UNROUTED, None),
        ] {
            let mut arguments = quorum(NO_DELIVERY_LIMIT);
            arguments::dead_letter_to(&mut arguments, &self.name(exchange), key);
            self.declare_queue(&channel, &self.name(part), arguments).await?;
        }
        self.bind(&channel, UNROUTED, &self.name(UNROUTED), "").await?;
        for (exchange, queue, key) in [
            ("again", WORK_KEY, WORK_KEY),
            ("again", DEAD_KEY, DEAD_KEY),
            ("again", FOREIGN_KEY, FOREIGN_KEY),
            ("again", "journal", MARKER_KEY),
            ("events", "journal", "#"),
            ("events", "journal", WORK_KEY),
            ("events", "journal", DEAD_KEY),
            ("events", DEAD_KEY, DEAD_KEY),
            ("events", WORK_KEY, WORK_KEY),
        ] {
            self.bind(&channel, exchange, &self.name(queue), key).await?;
        }
        for key in [WORK_KEY, DEAD_KEY] {
            let (to, from) = (self.exchange("again"), self.exchange("events"));
            let (options, arguments) = (ExchangeBindOptions::default(), FieldTable::default());
            channel.exchange_bind(to, from, short(key), options, arguments).await.map_err(
                |error| refusal(&format!("cannot bind exchange again: {key:?}"), &error),
            )?;
        }
        let retries = self.retries().clone();
        for (name, retry) in retries {
            self.declare_retry(&channel, &name, retry).await?;
        }
        close(&channel).await;
        Ok(())
    }

    /// Declares the queues that have limits. One that has another limit, from another time, is left
    /// as it is: RabbitMQ changes none, and all works with what stands.
    async fn declare_limited(&self, connection: &Connection) -> Result<(), BrokerError> {
        let mut work = quorum(i64::from(self.delivery_limit));
        arguments::dead_letter_to(&mut work, &self.name("again"), Some(DEAD_KEY));
        for (part, wanted) in [(WORK_KEY, work), ("journal", arguments::journal(self.journal))] {
            let name = self.name(part);
            let known = self.standing().get(&name).cloned();
            let mut arguments = known.clone().unwrap_or_else(|| wanted.clone());
            // Each refusal names one limit, and no limit is named twice.
            while let Err(error) = self.declare_once(connection, &name, &arguments).await {
                if !arguments::adopt(&mut arguments, &error) {
                    return Err(undeclared(&format!("queue {name}"), &error));
                }
            }
            if known.as_ref() != Some(&arguments) {
                arguments::log_differences(&name, &wanted, &arguments);
                self.standing().insert(name, arguments);
            }
        }
        Ok(())
    }

    async fn declare_once(
        &self,
        connection: &Connection,
        name: &str,
        arguments: &FieldTable,
    ) -> lapin::Result<()> {
        // RabbitMQ closes the channel with a refusal.
        let channel = connection.create_channel().await?;
        let options = QueueDeclareOptions::durable();
        channel.queue_declare(short(name), options, arguments.clone()).await?;
        close(&channel).await;
        Ok(())
    }

    /// Has a queue declared as the settings are now, whatever it was.
    pub(super) fn forget(&self, name: &str) {
        self.standing().remove(name);
    }

    fn standing(&self) -> MutexGuard<'_, BTreeMap<String, FieldTable>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn declare_exchanges(&self, channel: &Channel) -> Result<(), BrokerError> {
        let mut alternate = FieldTable::default();
        insert(&mut alternate, "alternate-exchange", text(&self.name(UNROUTED)));
        for (part, kind, arguments) in [
            (UNROUTED, ExchangeKind::Fanout, FieldTable::default()),
            ("events", ExchangeKind::Topic, alternate.clone()),
            ("again", ExchangeKind::Direct, alternate),
            ("changes", ExchangeKind::Topic, FieldTable::default()),
        ] {
            let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
            channel
                .exchange_declare(self.exchange(part), kind, options, arguments)
                .await
                .map_err(|error| undeclared(&format!("exchange {}", self.name(part)), &error))?;
        }
        Ok(())
    }

    async fn declare_retry(
        &self,
        channel: &Channel,
        name: &str,
        Retry { of, delay_ms }: Retry,
    ) -> Result<(), BrokerError> {
        let mut arguments = quorum(NO_DELIVERY_LIMIT);
        arguments::dead_letter_to(&mut arguments, &self.name("again"), Some(key_of(of)));
        insert(&mut arguments, "x-message-ttl", AMQPValue::LongLongInt(delay_ms));
        self.declare_queue(channel, name, arguments).await?;
        self.bind(channel, "again", name, name).await
    }

    async fn declare_queue(
        &self,
        channel: &Channel,
        name: &str,
        arguments: FieldTable,
    ) -> Result<(), BrokerError> {
        let declared =
            channel.queue_declare(short(name), QueueDeclareOptions::durable(), arguments).await;
        declared.map(drop).map_err(|error| undeclared(&format!("queue {name}"), &error))
    }

    async fn bind(
        &self,
        channel: &Channel,
        exchange: &str,
        queue: &str,
        key: &str,
    ) -> Result<(), BrokerError> {
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        channel
            .queue_bind(short(queue), self.exchange(exchange), short(key), options, arguments)
            .await
            .map_err(|error| refusal(&format!("cannot bind {queue} for {key:?}"), &error))
    }
}

/// A name as AMQP takes it. All of ours fit, since the namespace is short enough.
pub(super) fn short(name: &str) -> ShortString {
    ShortString::try_new(name).unwrap_or_default()
}

pub(super) const fn key_of(queue: Queue) -> &'static str {
    match queue {
        Queue::Work => WORK_KEY,
        Queue::Dead => DEAD_KEY,
    }
}

pub(super) async fn open(connection: &Connection) -> Result<Channel, BrokerError> {
    connection.create_channel().await.map_err(|error| refusal("cannot open a channel", &error))
}

/// Closes a channel that has done its work; one that fails to close is closed already.
pub(super) async fn close(channel: &Channel) {
    timeout(CLOSE_TIMEOUT, channel.close(200, ShortString::default())).await.ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_has_a_queue_of_its_own_by_its_whole_seconds_or_milliseconds() {
        let topology = Topology::new("sk".into(), 50, &[], (None, None)).unwrap();
        for (of, delay, name, ms) in [
            (Queue::Work, Duration::from_secs(5), "sk.retry.5", 5000),
            (Queue::Work, Duration::from_mins(10), "sk.retry.600", 600_000),
            (Queue::Work, Duration::from_millis(1500), "sk.retry.1500ms", 1500),
            (Queue::Work, Duration::from_nanos(1), "sk.retry.1ms", 1),
            (Queue::Dead, Duration::from_secs(5), "sk.dead-retry.5", 5000),
            (Queue::Work, Duration::MAX, "sk.retry.4294967", 4_294_967_000),
        ] {
            let (found, retry) = topology.retry(of, delay);
            assert_eq!((found.as_str(), retry.delay_ms), (name, ms), "{delay:?}");
        }
    }

    #[test]
    fn the_ladder_is_declared_from_the_start() {
        let ladder = [5, 30].map(Duration::from_secs);
        let topology = Topology::new("sk".into(), 50, &ladder, (None, None)).unwrap();
        assert_eq!(topology.retry_names(Queue::Work), ["sk.retry.30", "sk.retry.5"]);
        assert_eq!(topology.retry_names(Queue::Dead), ["sk.dead-retry.30", "sk.dead-retry.5"]);
    }

    #[test]
    fn a_namespace_that_makes_names_too_long_is_refused() {
        for namespace in [String::new(), "n".repeat(201)] {
            let refused = Topology::new(namespace, 50, &[], (None, None)).unwrap_err();
            assert!(matches!(refused, BrokerError::Rejected { .. }), "{refused:?}");
        }
    }
}
