//! Heartbeats of processes without a Store of their own, which arrive through the queue.
//!
//! They are no events: nothing counts them, and none is retried or becomes a dead letter. One that
//! cannot be recorded is given up, as the next one follows within a minute.

use super::Pool;
use crate::broker::{Delivery, Disposition, EnvelopeKind};
use crate::clock;
use crate::domain::causes;
use crate::domain::heartbeat::Heartbeat;
use crate::store::forget_heartbeats_before;

/// Whether a delivery is a heartbeat.
pub(super) fn is_heartbeat(delivery: &Delivery) -> bool {
    delivery.envelope.kind == EnvelopeKind::Heartbeat
}

/// Records heartbeats and acknowledges their deliveries.
pub(super) async fn record(pool: &Pool, deliveries: Vec<Delivery>) {
    for delivery in deliveries {
        let forget_before = forget_heartbeats_before(clock::now());
        if let Some(beat) = Heartbeat::parse(&delivery.envelope.body)
            && let Err(error) = pool.store.record_heartbeat(&beat, forget_before).await
        {
            let (process, error) = (beat.process, causes(&error));
            tracing::debug!(process, error, "cannot record a heartbeat");
        }
        delivery.settle(Disposition::Ack);
    }
}
