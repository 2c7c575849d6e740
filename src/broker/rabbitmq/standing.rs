//! Looking at the queues: which are missing, and whether anything waits in them.
//!
//! A look changes nothing and needs no rights but those to connect.

use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ErrorKind, ExchangeKind};

use super::failure::refusal;
use super::topology::{DEAD_KEY, FOREIGN_KEY, Topology, UNROUTED, WORK_KEY, close, open, short};
use crate::broker::BrokerError;

/// What is known of a queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// Messages that no consumer has.
    pub(super) ready: u64,
    pub(super) consumers: u64,
}

/// What a look at all queues found.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// The queues that are not there.
    pub(super) missing: Vec<String>,
    /// What waits in those from which something can get lost; the journal keeps what it has.
    pub(super) ready: u64,
}

impl Topology {
    /// Looks at a queue; `None` if there is no such queue.
    pub(super) async fn find(channel: &Channel, name: &str) -> Result<Option<Found>, BrokerError> {
        let options = QueueDeclareOptions::durable().passive();
        match channel.queue_declare(short(name), options, FieldTable::default()).await {
            Ok(queue) => Ok(Some(Found {
                ready: queue.message_count().into(),
                consumers: queue.consumer_count().into(),
            })),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(refusal(&format!("cannot look at queue {name}"), &error)),
        }
    }

    /// Looks at every queue, those of retries included.
    pub(super) async fn look(&self, connection: &Connection) -> Result<Standing, BrokerError> {
        let mut standing = Standing::default();
        let journal = self.name("journal");
        let fixed = [WORK_KEY, DEAD_KEY, UNROUTED, FOREIGN_KEY].map(|part| self.name(part));
        let mut channel = open(connection).await?;
        for name in fixed.into_iter().chain(self.all_retries()).chain([journal.clone()]) {
            match Self::find(&channel, &name).await? {
                Some(found) if name != journal => standing.ready += found.ready,
                Some(_) => {}
                None => {
                    self.forget(&name);
                    standing.missing.push(name);
                    // RabbitMQ closes the channel with its answer.
                    channel = open(connection).await?;
                }
            }
        }
        close(&channel).await;
        Ok(standing)
    }

    /// The queues and exchanges that are not there. Bindings cannot be looked at.
    pub(super) async fn absent(&self, connection: &Connection) -> Result<Vec<String>, BrokerError> {
        let mut missing = self.look(connection).await?.missing;
        for part in ["events", "again", UNROUTED, "changes"] {
            let channel = open(connection).await?;
            let options = ExchangeDeclareOptions { passive: true, ..Default::default() };
            // A passive declaration compares neither kind nor arguments.
            let (name, kind) = (self.exchange(part), ExchangeKind::Topic);
            match channel.exchange_declare(name, kind, options, FieldTable::default()).await {
                Ok(()) => close(&channel).await,
                Err(error) if is_missing(&error) => missing.push(self.name(part)),
                Err(error) => {
                    let doing = format!("cannot look at exchange {}", self.name(part));
                    return Err(refusal(&doing, &error));
                }
            }
        }
        Ok(missing)
    }
}

/// Whether an error means that there is no such queue or exchange. RabbitMQ uses the same number
/// for a queue whose node is down.
fn is_missing(error: &lapin::Error) -> bool {
    let ErrorKind::ProtocolError(error) = error.kind() else { return false };
    let text = error.get_message().as_str();
    error.get_id() == 404 && (text.contains("no queue") || text.contains("no exchange"))
}
