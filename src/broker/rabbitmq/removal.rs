//! Removing the topology for good: what would be lost, and deleting it.

use std::sync::Arc;

use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};

use super::connection::Link;
use super::failure::refusal;
use super::topology::{DEAD_KEY, FOREIGN_KEY, Topology, UNROUTED, WORK_KEY, close, open, short};
use super::{RabbitOptions, end};
use crate::broker::BrokerError;

/// A queue that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingQueue {
    /// Its name.
    pub name: String,
    /// Messages in it that no consumer has.
    pub messages: u64,
    /// Its consumers.
    pub consumers: u64,
}

impl Topology {
    /// The names of all queues: those of retries are the ones of the configured ladder.
    fn all_queues(&self) -> Vec<String> {
        let fixed = [WORK_KEY, DEAD_KEY, UNROUTED, FOREIGN_KEY, "journal"];
        fixed.into_iter().map(|part| self.name(part)).chain(self.all_retries()).collect()
    }
}

/// Looks at every queue that stands, and declares nothing.
pub async fn standing_queues(options: &RabbitOptions) -> Result<Vec<StandingQueue>, BrokerError> {
    let topology = Arc::new(options.topology()?);
    let link = Link::consuming(options.addresses()?, Arc::clone(&topology));
    let connection = link.connect().await?;
    let mut standing = Vec::new();
    let mut channel = open(&connection).await?;
    for name in topology.all_queues() {
        match Topology::find(&channel, &name).await? {
            Some(found) => {
                let (messages, consumers) = (found.ready, found.consumers);
                standing.push(StandingQueue { name, messages, consumers });
            }
            // RabbitMQ closes the channel with its answer.
            None => channel = open(&connection).await?,
        }
    }
    end(&connection).await;
    Ok(standing)
}

/// Deletes the exchanges, then the queues with all that is in them; what is absent is no error.
///
/// Dies in between: nothing is published any more that is not refused, and deleting it again
/// goes on.
pub async fn delete_topology(options: &RabbitOptions) -> Result<(), BrokerError> {
    let topology = Arc::new(options.topology()?);
    let link = Link::consuming(options.addresses()?, Arc::clone(&topology));
    let connection = link.connect().await?;
    let channel = open(&connection).await?;
    for part in ["events", "again", "changes", UNROUTED] {
        let deleted =
            channel.exchange_delete(topology.exchange(part), ExchangeDeleteOptions::default());
        let what = format!("cannot delete exchange {}", topology.name(part));
        deleted.await.map_err(|error| refusal(&what, &error))?;
    }
    for name in topology.all_queues() {
        let deleted = channel.queue_delete(short(&name), QueueDeleteOptions::default());
        let what = format!("cannot delete queue {name}");
        deleted.await.map_err(|error| refusal(&what, &error))?;
    }
    close(&channel).await;
    end(&connection).await;
    Ok(())
}
