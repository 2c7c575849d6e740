//! What found no queue, since one was deleted or a binding was removed, is rerouted.
//!
//! It was accepted and confirmed, so nobody has to look at it: its headers tell where it belongs.
//! This is done after all was declared again, by whichever handles there are.
//!
//! Who may not read that queue leaves it to those who may.
//!
//! Dies on the way: a message is in both places; the second one is found to be a duplicate.

use std::time::Duration;

use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicGetOptions};
use lapin::{Acker, Channel, Connection};

use super::Shared;
use super::failure::{is_no_right, refusal, within};
use super::publisher::Message;
use super::topology::{self, DEAD_KEY, FOREIGN_KEY, Topology, UNROUTED, WORK_KEY, open, short};
use super::wire::{self, Received, Unreadable};
use crate::broker::BrokerError;

/// How many are moved at once.
const AT_ONCE: u64 = 256;
/// How long all of it may take; what is left then is moved the next time.
const MOVE_TIMEOUT: Duration = Duration::from_secs(30);

/// Moves what is in the queue now to where it belongs; returns how many that were.
pub(super) async fn reroute(shared: &Shared, connection: &Connection) -> Result<u64, BrokerError> {
    let channel = open(connection).await?;
    let late = "RabbitMQ does not give out what found no queue";
    let moved = within(MOVE_TIMEOUT, late, move_all(shared, &channel)).await;
    // What was taken and not acknowledged is in the queue again.
    topology::close(&channel).await;
    match moved {
        Err(error) if is_no_right(&error) => {
            tracing::warn!(
                "messages found no queue, and the user of rabbitmq.url may not move them; a worker \
                 or leader does"
            );
            Ok(0)
        }
        moved => moved,
    }
}

async fn move_all(shared: &Shared, channel: &Channel) -> Result<u64, BrokerError> {
    let queue = shared.topology.name(UNROUTED);
    // No more than there are: if they came back at once, this would never end.
    let count = Topology::find(channel, &queue).await?.map_or(0, |found| found.ready);
    let mut moved = 0;
    while moved < count {
        let (mut messages, mut last): (Vec<Message>, Option<Acker>) = (Vec::new(), None);
        for _ in 0..AT_ONCE.min(count - moved) {
            let got = channel.basic_get(short(&queue), BasicGetOptions::default()).await;
            let got = got.map_err(|error| refusal(&format!("cannot take from {queue}"), &error))?;
            let Some(mut got) = got else { break };
            messages.extend(message(shared, &mut got.delivery));
            last = Some(got.delivery.acker);
            moved += 1;
        }
        let Some(last) = last else { break };
        shared.publisher.publish_all(messages).await?;
        let told = last.ack(BasicAckOptions { multiple: true }).await;
        told.map_err(|error| refusal(&format!("cannot acknowledge in {queue}"), &error))?;
    }
    Ok(moved)
}

/// The message that takes a delivery to where it belongs; `None` if that is nowhere.
fn message(shared: &Shared, delivery: &mut Delivery) -> Option<Message> {
    if wire::marker_id(delivery).is_some() {
        return None;
    }
    let properties = wire::stripped(&delivery.properties);
    Some(match wire::read(delivery) {
        Ok(Received { envelope, attempt, failing_since, dead, .. }) => {
            let key = if dead.is_some() { DEAD_KEY } else { WORK_KEY };
            let properties = wire::properties(&envelope, attempt, failing_since, dead.as_ref());
            shared.message("again", key, properties, envelope.body.clone())
        }
        Err(error) => {
            let key = match error {
                Unreadable::Foreign => FOREIGN_KEY,
                Unreadable::Unknown(_) if delivery.routing_key.as_str() == DEAD_KEY => DEAD_KEY,
                Unreadable::Unknown(_) => WORK_KEY,
            };
            let body = std::mem::take(&mut delivery.data);
            shared.message("again", key, properties, body.into())
        }
    })
}
