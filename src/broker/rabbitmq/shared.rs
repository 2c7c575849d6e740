//! What a broker's handle, its consumers and its upkeep have in common.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lapin::{BasicProperties, Channel};
use tokio::sync::watch;

use super::address::Address;
use super::connection::Link;
use super::journal::Journal;
use super::management::Management;
use super::publisher::{Message, Publisher};
use super::topology::{self, Topology, WORK_KEY, short};
use super::unacked::Unacked;
use super::wire;
use crate::broker::{BrokerWarnings, DeadReason, Envelope, Queue};

/// See the module.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) topology: Arc<Topology>,
    /// A connection of its own: RabbitMQ stops reading from one that publishes when memory is
    /// short, and acknowledgements must go on.
    pub(super) publishing: Arc<Link>,
    pub(super) consuming: Arc<Link>,
    pub(super) publisher: Publisher,
    /// The exchanges that the process must be able to publish to.
    pub(super) publishes_to: &'static [&'static str],
    /// Why the user may not consume, by queue, as far as is known.
    unreadable: Mutex<BTreeMap<&'static str, String>>,
    pub(super) journal: Journal,
    management: Mutex<Option<Arc<Management>>>,
    pub(super) work: Unacked,
    pub(super) dead: Unacked,
    /// Whether all was declared once, or never can be.
    pub(super) was_declared: watch::Sender<bool>,
    /// Why not all that was declared stands, as far as is known.
    pub(super) fault: Mutex<Option<String>>,
    /// What is wrong and stops nothing for now, as far as is known.
    pub(super) warnings: Mutex<BrokerWarnings>,
    /// The channel of looks at queues.
    pub(super) channel: tokio::sync::Mutex<Option<Channel>>,
}

impl Shared {
    pub(super) fn new(
        topology: Arc<Topology>,
        (publishing, consuming): (Arc<Link>, Arc<Link>),
        (publish_in_flight_max, publishes_to): (usize, &'static [&'static str]),
        management: Option<Management>,
    ) -> Self {
        Self {
            topology,
            publisher: Publisher::new(Arc::clone(&publishing), publish_in_flight_max),
            publishes_to,
            unreadable: Mutex::default(),
            publishing,
            consuming,
            journal: Journal::default(),
            management: Mutex::new(management.map(Arc::new)),
            work: Unacked::default(),
            dead: Unacked::default(),
            was_declared: watch::Sender::default(),
            fault: Mutex::default(),
            warnings: Mutex::default(),
            channel: tokio::sync::Mutex::default(),
        }
    }

    /// Has the next connections made by other addresses or credentials.
    pub(super) fn replace(&self, addresses: Vec<Address>, management: Option<Management>) {
        self.publishing.replace(addresses.clone());
        self.consuming.replace(addresses);
        *self.locked_management() = management.map(Arc::new);
    }

    /// Records whether the user may consume a queue, of whoever tries to.
    pub(super) fn record_consuming(&self, queue: Queue, refused: Option<String>) {
        let (mut unreadable, key) = (self.locked_unreadable(), topology::key_of(queue));
        match refused {
            Some(refused) => drop(unreadable.insert(key, refused)),
            None => drop(unreadable.remove(key)),
        }
    }

    /// Why the user may not consume what this process consumes.
    pub(super) fn unreadable(&self) -> Option<String> {
        self.locked_unreadable().values().next().cloned()
    }

    fn locked_unreadable(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The management API, where it is configured.
    pub(super) fn management(&self) -> Option<Arc<Management>> {
        self.locked_management().clone()
    }

    fn locked_management(&self) -> MutexGuard<'_, Option<Arc<Management>>> {
        self.management.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) const fn unacked(&self, queue: Queue) -> &Unacked {
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
    pub(super) fn journalled(
        &self,
        queue: Queue,
        envelope: &Envelope,
        dead: Option<&DeadReason>,
    ) -> Message {
        let properties = wire::properties(envelope, 1, None, dead);
        self.message("events", topology::key_of(queue), properties, envelope.body.clone())
    }

    /// An envelope that goes to the work queue and not to the journal.
    pub(super) fn unjournalled(&self, envelope: &Envelope) -> Message {
        let properties = wire::properties(envelope, 1, None, None);
        self.message("again", WORK_KEY, properties, envelope.body.clone())
    }
}
