//! Where deliveries go that are not done: to a queue at once, or after a delay.
//!
//! Each is published until that is confirmed; only then is the delivery acknowledged.

use std::time::Duration;

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::message::Delivery;
use tokio::time::sleep;

use super::Shared;
use super::failure::{CALL_TIMEOUT, within};
use super::topology::{self, DEAD_KEY, FOREIGN_KEY};
use super::wire::{self, Received, Unreadable};
use crate::broker::{BrokerError, DeadReason, Disposition, Queue};
use crate::clock::{self, Delays};
use crate::domain::causes;

/// The delay before a dead letter is delivered that was rejected once more, or a message that a
/// newer release must read: otherwise two that disagree would hand it to each other for ever.
const DISAGREED: Duration = Duration::from_secs(5);
/// The delays between attempts to publish what was decided.
const DELAY_MIN: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(5);

/// Where a delivery goes that is not done.
#[derive(Debug, Clone, Copy)]
enum Route {
    /// To a queue by its key.
    Direct(&'static str),
    /// To a queue after a delay.
    Later(Queue, Duration),
}

impl Shared {
    /// Publishes a delivery to where it shall go; returns once that is confirmed.
    pub(super) async fn settle_elsewhere(
        &self,
        queue: Queue,
        received: Received,
        disposition: Disposition,
    ) {
        let Received { envelope, attempt, failing_since, dead, .. } = received;
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
        self.retry_until_ok(route, properties, envelope.body.clone()).await;
    }

    /// Publishes a delivery that was handed back to its queue again, as the same attempt and with
    /// the same delivery count; returns once that is confirmed.
    pub(super) async fn hand_back(&self, queue: Queue, received: &Received) {
        let route = Route::Direct(topology::key_of(queue));
        let body = received.envelope.body.clone();
        self.retry_until_ok(route, wire::handed_back(received), body).await;
    }

    /// Publishes what could not be read: to where an operator looks, or, if it is of a newer
    /// release of ours, to its queue again, for a consumer of that release. Returns once that is
    /// confirmed.
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
        self.retry_until_ok(route, properties, delivery.data.into()).await;
    }

    /// Publishes until that is confirmed: the delivery is unacked meanwhile, so nothing is lost.
    async fn retry_until_ok(&self, route: Route, properties: BasicProperties, body: Bytes) {
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
}
