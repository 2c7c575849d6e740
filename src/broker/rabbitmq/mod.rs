//! The distributed broker: RabbitMQ, with quorum queues and a stream for the journal.
//!
//! One confirmed message puts an envelope into its queue and the journal ([`topology`] has the
//! picture). Two connections ([`connection`]), one for publishing and one for everything else,
//! are made again whenever they are lost. All messages go through one channel ([`publisher`]); each
//! subscription has a task ([`consumer`]), with a session for every channel that it gets.
//!
//! # Invariants
//! - A message leaves a queue only when it was acknowledged, and it is acknowledged only when it is
//!   done or its successor is confirmed.
//! - A delivery is acknowledged or rejected on the channel that it came on, or never.
//! - No type of lapin leaves this module.

mod address;
mod arguments;
mod changes;
mod connection;
mod consumer;
mod depth;
mod failure;
mod journal;
mod management;
mod policies;
mod publisher;
mod removal;
mod rights;
mod settlement;
mod shared;
mod standing;
mod topology;
mod unacked;
mod unrouted;
mod upkeep;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use lapin::Connection;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::address::Address;
pub use self::changes::Announcement;
use self::connection::Link;
use self::consumer::Consumer;
use self::management::Management;
pub use self::removal::{StandingQueue, delete_topology, standing_queues};
use self::shared::Shared;
use self::topology::Topology;
use super::{
    Broker, BrokerError, BrokerWarnings, DeadReason, Envelope, JournalExtent, JournalPosition,
    JournalRecord, Queue, QueueDepth, Subscription,
};
use crate::domain::{Rejection, Timestamp};

/// The most unsettled deliveries of a subscription: quorum queues give no more.
const PREFETCH_MAX: u16 = 2000;
/// How long consumers may take to settle what was decided.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(12);
/// How long connections may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Where RabbitMQ is, and what its queues are like.
#[derive(Debug, Clone)]
pub struct RabbitOptions {
    /// Addresses of the nodes, `amqp://` or `amqps://`, with the login; they are tried in turn.
    pub urls: Vec<SecretString>,
    /// What the names of exchanges and queues begin with.
    pub namespace: String,
    /// How often RabbitMQ delivers an envelope of the work queue that nobody settles.
    pub delivery_limit: u32,
    /// The usual delays of retries; queues for them are there from the start.
    pub ladder: Vec<Duration>,
    /// How long the journal keeps bodies; `None` for ever.
    pub journal_retention: Option<Duration>,
    /// How large the journal may get before its oldest bodies go; `None` for any size.
    pub journal_bytes_max: Option<u64>,
    /// The management API, `http://`, for what other processes have in flight.
    pub management_url: Option<SecretString>,
    /// Messages that may wait for their confirm.
    pub publish_in_flight_max: usize,
    /// The exchanges before the journal that the process publishes to, `events` and `again`. One
    /// that the user may not write to makes it not ready.
    pub publishes_to: &'static [&'static str],
}

impl RabbitOptions {
    fn addresses(&self) -> Result<Vec<Address>, BrokerError> {
        self.urls.iter().map(|url| Address::parse(url.expose_secret())).collect()
    }

    fn management(&self, addresses: &[Address]) -> Result<Option<Management>, BrokerError> {
        let place = self.management_url.as_ref().zip(addresses.first());
        place.map(|(url, address)| Management::new(url.expose_secret(), address)).transpose()
    }

    fn topology(&self) -> Result<Topology, BrokerError> {
        let journal = (self.journal_retention, self.journal_bytes_max);
        Topology::new(self.namespace.clone(), self.delivery_limit, &self.ladder, journal)
    }
}

/// The broker in RabbitMQ.
///
/// Dropping it without [`close`](Broker::close) is like a crash: nothing more is sent to RabbitMQ,
/// which delivers again what was unacknowledged.
#[derive(Debug)]
pub struct RabbitBroker {
    shared: Arc<Shared>,
    consumers: TaskTracker,
    services: TaskTracker,
    /// Ends consumers after they have settled what was decided.
    stop: CancellationToken,
    /// Ends every task at once.
    abandoned: CancellationToken,
}

/// Ends the connections too. To drop them is not enough: lapin keeps one open for a call that was
/// cancelled on the way, and RabbitMQ would wait for what was delivered on it.
impl Drop for RabbitBroker {
    fn drop(&mut self) {
        self.abandoned.cancel();
        for link in [&self.shared.publishing, &self.shared.consuming] {
            if let Ok(connection) = link.connection() {
                // The first poll sends it; nobody waits for the answer.
                connection.close(200, "".into()).now_or_never();
            }
        }
    }
}

/// Declares exchanges, queues and bindings, and nothing else.
pub async fn declare_topology(options: &RabbitOptions) -> Result<(), BrokerError> {
    let topology = Arc::new(options.topology()?);
    let connection = Link::publishing(options.addresses()?, topology).connect().await?;
    end(&connection).await;
    Ok(())
}

impl RabbitBroker {
    /// Connects and declares, so that wrong settings are reported at once.
    pub async fn connect(options: &RabbitOptions) -> Result<Self, BrokerError> {
        let broker = Self::build(options)?;
        for link in [&broker.shared.publishing, &broker.shared.consuming] {
            link.adopt(link.connect().await?);
        }
        broker.serve();
        Ok(broker)
    }

    /// Begins to connect and returns before it is known whether that works: for processes that must
    /// start while RabbitMQ is away. Fails on settings that can never work.
    pub fn start(options: &RabbitOptions) -> Result<Self, BrokerError> {
        let broker = Self::build(options)?;
        broker.serve();
        Ok(broker)
    }

    /// Has the next connections made by the addresses and credentials of these options; those that
    /// stand are kept.
    pub fn replace_addresses(&self, options: &RabbitOptions) -> Result<(), BrokerError> {
        let addresses = options.addresses()?;
        let management = options.management(&addresses)?;
        self.shared.replace(addresses, management);
        Ok(())
    }

    fn build(options: &RabbitOptions) -> Result<Self, BrokerError> {
        let addresses = options.addresses()?;
        let topology = Arc::new(options.topology()?);
        let management = options.management(&addresses)?;
        let publishing = Link::publishing(addresses.clone(), Arc::clone(&topology));
        let consuming = Link::consuming(addresses, Arc::clone(&topology));
        let links = (Arc::new(publishing), Arc::new(consuming));
        let publishing = (options.publish_in_flight_max, options.publishes_to);
        let shared = Shared::new(topology, links, publishing, management);
        Ok(Self {
            shared: Arc::new(shared),
            consumers: TaskTracker::new(),
            services: TaskTracker::new(),
            stop: CancellationToken::new(),
            abandoned: CancellationToken::new(),
        })
    }

    fn serve(&self) {
        self.run(|shared| async move { shared.publishing.run().await });
        self.run(|shared| async move { shared.consuming.run().await });
        self.run(|shared| async move { shared.publisher.run().await });
        self.run(|shared| async move { shared.keep_up().await });
        self.run(|shared| async move { shared.watch_policies().await });
    }

    fn run<F>(&self, service: impl FnOnce(Arc<Shared>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (abandoned, service) = (self.abandoned.clone(), service(Arc::clone(&self.shared)));
        self.services.spawn(async move {
            abandoned.run_until_cancelled(service).await;
        });
    }

    fn open(&self) -> Result<&Shared, BrokerError> {
        if self.stop.is_cancelled() {
            return Err(BrokerError::unavailable("the broker is closed"));
        }
        Ok(&self.shared)
    }
}

/// Ends a connection in order, if it can be done soon.
async fn end(connection: &Connection) {
    // Whether or not RabbitMQ answers, it is dropped next.
    timeout(CLOSE_TIMEOUT, connection.close(200, "".into())).await.ok();
}

#[async_trait]
impl Broker for RabbitBroker {
    async fn publish(&self, envelope: Envelope) -> Result<(), BrokerError> {
        let shared = self.open()?;
        shared.publisher.publish(shared.journalled(Queue::Work, &envelope, None)).await
    }

    async fn publish_dead(
        &self,
        envelope: Envelope,
        rejection: Rejection,
    ) -> Result<(), BrokerError> {
        let shared = self.open()?;
        let dead = DeadReason { rejection, failed_at: envelope.received_at, attempts: 0 };
        shared.publisher.publish(shared.journalled(Queue::Dead, &envelope, Some(&dead))).await
    }

    async fn replay(&self, envelopes: Vec<Envelope>) -> Result<(), BrokerError> {
        let shared = self.open()?;
        let messages = envelopes.iter().map(|envelope| shared.unjournalled(envelope)).collect();
        shared.publisher.publish_all(messages).await
    }

    async fn subscribe(&self, queue: Queue, prefetch: usize) -> Result<Subscription, BrokerError> {
        self.open()?;
        let prefetch = u16::try_from(prefetch).unwrap_or(PREFETCH_MAX).clamp(1, PREFETCH_MAX);
        let (deliveries, subscription) = mpsc::channel(usize::from(prefetch));
        let consumer = Consumer {
            queue,
            prefetch,
            shared: Arc::clone(&self.shared),
            stop: self.stop.clone(),
            deliveries: Some(deliveries),
        };
        let abandoned = self.abandoned.clone();
        self.consumers.spawn(async move {
            abandoned.run_until_cancelled(consumer.run()).await;
        });
        Ok(Subscription::new(subscription))
    }

    /// What other processes have in flight is known where the management API is configured.
    async fn depth(&self) -> Result<QueueDepth, BrokerError> {
        self.open()?.depth().await
    }

    async fn settled_before(&self) -> Result<Option<Timestamp>, BrokerError> {
        self.open()?.settled_before().await
    }

    async fn journal(
        &self,
        after: Option<JournalPosition>,
        limit: usize,
    ) -> Result<Vec<JournalRecord>, BrokerError> {
        journal::page(self.open()?, after, limit).await
    }

    async fn journal_extent(&self, since: Option<Timestamp>) -> Result<JournalExtent, BrokerError> {
        journal::extent(self.open()?, since).await
    }

    async fn check(&self) -> Result<(), BrokerError> {
        self.open()?.check()
    }

    async fn is_consumed(&self) -> Result<bool, BrokerError> {
        self.open()?.is_consumed().await
    }

    fn reconnects(&self) -> u64 {
        self.shared.publishing.reconnects() + self.shared.consuming.reconnects()
    }

    fn warnings(&self) -> BrokerWarnings {
        self.shared.warnings()
    }

    async fn close(&self) {
        self.stop.cancel();
        self.consumers.close();
        // Each gives up by itself, unless RabbitMQ does not respond: then it delivers again what
        // was not settled.
        timeout(SETTLE_TIMEOUT, self.consumers.wait()).await.ok();
        journal::close(&self.shared).await;
        for link in [&self.shared.publishing, &self.shared.consuming] {
            if let Ok(connection) = link.connection() {
                end(&connection).await;
            }
        }
        self.abandoned.cancel();
        self.consumers.wait().await;
        self.services.close();
        self.services.wait().await;
    }
}
