//! The task of one subscription: consumes on a channel, and on a new one when that is lost.
//!
//! What happens on one channel is a [`ChannelSession`]. A channel that is lost takes its deliveries
//! with it: RabbitMQ delivers them again, and what is decided about the old ones is not heard any
//! more. RabbitMQ counts that against each of them, so a further channel consumes only once the old
//! ones were taken: a subscriber that waits for its Store would lose them again, for nothing.
//!
//! # Invariants
//! - The subscription ends only when it was dropped or the broker is closed, never because RabbitMQ
//!   is away.

mod buffer;
mod cumulative_acks;
mod session;
mod silence;
mod window;

use std::sync::Arc;
use std::time::Duration;

use lapin::{Channel, Connection};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use self::session::{ChannelSession, Over};
use super::failure::is_no_right;
use super::{Shared, topology};
use crate::broker::{BrokerError, Delivery, Queue};
use crate::clock::Delays;
use crate::domain::causes;

/// The delays between channels that fail.
const DELAY_MIN: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(5);

/// What a subscription needs to be served.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) queue: Queue,
    pub(super) prefetch: u16,
    pub(super) shared: Arc<Shared>,
    pub(super) stop: CancellationToken,
    /// Its capacity is the prefetch, and a session begins when it is empty: so handing over never
    /// waits. `None` once the subscription was dropped or the broker is closed.
    pub(super) deliveries: Option<mpsc::Sender<Delivery>>,
}

impl Consumer {
    /// Serves the subscription until it is dropped and all is settled, or the broker is closed.
    pub(super) async fn run(mut self) {
        let mut delays = Delays::new(DELAY_MIN, DELAY_MAX);
        let stop = self.stop.clone();
        let mut logged = None;
        while self.deliveries.is_some() {
            let channel = tokio::select! {
                () = stop.cancelled() => return,
                () = self.dropped() => return,
                channel = self.channel() => channel,
            };
            let served = match channel {
                Ok((connection, channel)) => {
                    let shared = Arc::clone(&self.shared);
                    let (link, _consuming) =
                        (&shared.consuming, shared.unacked(self.queue).consuming());
                    tokio::select! {
                        served = ChannelSession::new(&mut self, channel).run(&mut delays) => served,
                        () = link.ended(&connection) => Err(link.away()),
                    }
                }
                Err(error) => Err(error),
            };
            let error = match served {
                Ok(Over::Done) => return,
                Ok(Over::Owed) => {
                    tracing::info!(
                        queue = topology::key_of(self.queue),
                        "nothing came of what the queue has; consuming on another channel"
                    );
                    continue;
                }
                Err(error) => error,
            };
            let (queue, is_refused) = (topology::key_of(self.queue), is_no_right(&error));
            let error = causes(&error);
            // What stays as it is is logged once.
            if !is_refused || logged.as_ref() != Some(&error) {
                tracing::warn!(queue, error, "consuming was cut short; beginning again");
            }
            if is_refused {
                self.shared.record_consuming(self.queue, Some(error.clone()));
            }
            logged = Some(error);
            // What is missing is declared again now, not in a while.
            self.shared.topology.invalidate();
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(delays.next()) => {}
            }
        }
    }

    /// Waits until nobody takes deliveries any more.
    pub(super) async fn dropped(&self) {
        match &self.deliveries {
            Some(deliveries) => deliveries.closed().await,
            None => std::future::pending().await,
        }
    }

    async fn channel(&self) -> Result<(Arc<Connection>, Channel), BrokerError> {
        if let Some(deliveries) = &self.deliveries {
            // All of the room is free. An error means that the subscription was dropped.
            drop(deliveries.reserve_many(deliveries.max_capacity()).await);
        }
        self.shared.declared().await;
        let connection = self.shared.consuming.connected().await;
        let channel = tokio::select! {
            channel = topology::open(&connection) => channel?,
            () = self.shared.consuming.ended(&connection) => {
                return Err(self.shared.consuming.away());
            }
        };
        Ok((connection, channel))
    }
}
