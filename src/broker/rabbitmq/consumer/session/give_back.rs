//! What was not settled goes back to its queue.
//!
//! The first time it is given back, which RabbitMQ counts before release 4.3. From the second time
//! on it is published anew and acknowledged after the confirm, with the count that it has: else
//! each outage of the Store, and each process that is replaced, would bring it nearer to the limit
//! at which it is taken for what kills workers. Dies in between: it is there twice, and the second
//! is found to be a duplicate.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::BasicNackOptions;
use tokio::time::timeout;

use super::{ChannelSession, acknowledge};
use crate::broker::BrokerError;
use crate::broker::rabbitmq::consumer::buffer::BufferedDelivery;
use crate::broker::rabbitmq::failure::{refusal, within};
use crate::broker::rabbitmq::topology;

/// At most so many are given back one by one at a close.
const FEW: usize = 16;
/// How long a broker that is closed tries to settle what was decided, and how long of that it waits
/// for what is published elsewhere.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
const MOVE_TIMEOUT: Duration = Duration::from_secs(6);

impl ChannelSession<'_> {
    /// Gives deliveries back, without counting it against them.
    pub(super) async fn give_back(
        &mut self,
        arrivals: Vec<BufferedDelivery>,
    ) -> Result<(), BrokerError> {
        let mut first_time = Vec::new();
        for arrival in arrivals {
            self.hold(&arrival);
            if arrival.received.delivery_count > 0 {
                self.publish_anew(arrival);
            } else {
                first_time.push(arrival);
            }
        }
        for BufferedDelivery { tag, acker, .. } in first_time {
            let options = BasicNackOptions { requeue: true, multiple: false };
            acker.nack(options).await.map_err(|error| refusal("cannot give back", &error))?;
            self.acks.give_back(tag);
            self.release(tag);
        }
        Ok(())
    }

    fn publish_anew(&mut self, arrival: BufferedDelivery) {
        let (shared, queue) = (Arc::clone(&self.consumer.shared), self.consumer.queue);
        self.moving.spawn(async move {
            shared.hand_back(queue, &arrival.received).await;
            arrival.tag
        });
    }

    pub(super) async fn stop_handing_out(&mut self) -> Result<(), BrokerError> {
        self.consumer.deliveries = None;
        self.cancel().await?;
        // Those that were handed over and not taken are older than those that wait.
        let dropped = self.settled_now();
        self.settle(dropped).await
    }

    /// Acknowledges what is decided and gives back the rest, with one frame for each run of either:
    /// the queue takes in few at a time, and drops the others when the channel is closed. A few are
    /// given back one by one, which keeps their order.
    async fn settle_in_runs(&mut self) -> Result<(), BrokerError> {
        let unacked = self.unacked.iter();
        let unacked: Vec<_> =
            unacked.map(|(tag, it)| (*tag, it.acker.clone(), self.acks.has(*tag))).collect();
        let are_few = unacked.iter().filter(|it| !it.2).count() <= FEW;
        for run in unacked.chunk_by(|one, next| one.2 == next.2 && (one.2 || !are_few)) {
            let Some((_, acker, is_decided)) = run.last() else { continue };
            if *is_decided {
                acknowledge(acker, true).await?;
            } else {
                let options = BasicNackOptions { requeue: true, multiple: true };
                acker.nack(options).await.map_err(|error| refusal("cannot give back", &error))?;
            }
            for (tag, ..) in run {
                self.release(*tag);
            }
        }
        Ok(())
    }

    /// Settles what was decided before the broker was closed, and gives back the rest.
    pub(super) async fn close_down(mut self) -> Result<(), BrokerError> {
        let settled = async {
            self.stop_handing_out().await?;
            let decided = self.settled_now();
            self.settle(decided).await?;
            let in_flight = std::mem::take(&mut self.in_flight).into_values();
            for arrival in in_flight.chain(self.buffer.take_all()) {
                self.hold(&arrival);
                if arrival.received.delivery_count > 0 {
                    self.publish_anew(arrival);
                }
            }
            let moved = async {
                while let Some(moved) = self.moving.join_next().await {
                    self.moved(moved)?;
                }
                Ok::<_, BrokerError>(())
            };
            // RabbitMQ may take no messages for now: what is left is given back.
            timeout(MOVE_TIMEOUT, moved).await.unwrap_or(Ok(()))?;
            self.moving.abort_all();
            self.settle_in_runs().await?;
            topology::close(&self.channel).await;
            Ok(())
        };
        let late = "gave up settling what was decided; RabbitMQ delivers it again";
        within(CLOSE_TIMEOUT, late, settled).await
    }
}
