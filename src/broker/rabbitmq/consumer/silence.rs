//! What a consumer asks that has heard nothing for long: whether it is owed something.
//!
//! When a queue is deleted and declared again at once, RabbitMQ may have a consumer of the old
//! queue consume the new one, say nothing of it, and hand over nothing: what it counts as delivered
//! there is back only when the channel is closed. So a consumer's session to which nothing comes
//! looks at its queue, cancels its consumer, and looks again. A consumer that is cancelled is
//! counted for as long as something is delivered to it; then, or if messages are ready, the channel
//! is closed, and the next one takes over. Otherwise it consumes again on this one.
//!
//! A consumer of another process that comes in between looks like one that stays: that costs a
//! channel, and no more.

use std::time::Duration;

use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;

use crate::broker::BrokerError;
use crate::broker::rabbitmq::failure::refusal;
use crate::broker::rabbitmq::topology::short;

/// The longest time.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// How long nothing comes until it is asked. Another time for each, so that consumers that fell
/// idle together do not count each other.
pub(super) fn time() -> Duration {
    SILENCE_MAX.mul_f64(1.0 - rand::random::<f64>() / 4.0)
}

/// A queue before the consumer was cancelled.
pub(super) struct Before {
    consumers: u32,
}

/// Looks at the queue of a consumer.
pub(super) async fn look(channel: &Channel, queue: &str) -> Result<Before, BrokerError> {
    Ok(Before { consumers: state(channel, queue).await?.consumer_count() })
}

impl Before {
    /// Whether the queue has something that did not come, now that the consumer is cancelled.
    pub(super) async fn is_owed(
        &self,
        channel: &Channel,
        queue: &str,
    ) -> Result<bool, BrokerError> {
        let after = state(channel, queue).await?;
        Ok(after.message_count() > 0 || after.consumer_count() >= self.consumers)
    }
}

async fn state(channel: &Channel, queue: &str) -> Result<lapin::Queue, BrokerError> {
    let (options, none) = (QueueDeclareOptions::durable().passive(), FieldTable::default());
    let asked = channel.queue_declare(short(queue), options, none).await;
    asked.map_err(|error| refusal(&format!("cannot look at {queue}"), &error))
}
