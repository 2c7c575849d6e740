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

use crate::broker::rabbitmq::standing::Found;

/// The longest time.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// How long nothing comes until it is asked. Another time for each, so that consumers that fell
/// idle together do not count each other.
pub(super) fn time() -> Duration {
    SILENCE_MAX.mul_f64(1.0 - rand::random::<f64>() / 4.0)
}

/// Whether a queue has something that did not come, from looks at it before and after its consumer was
/// cancelled. One that is gone is declared again, and consumed on another channel.
pub(super) fn is_owed(before: Option<Found>, after: Option<Found>) -> bool {
    let (Some(before), Some(after)) = (before, after) else { return true };
    after.ready > 0 || after.consumers >= before.consumers
}
