//! How much is in the queues, and up to which time everything is settled.

use lapin::Channel;

use super::Shared;
use super::failure::{CALL_TIMEOUT, within};
use super::standing::Found;
use super::topology::{self, DEAD_KEY, FOREIGN_KEY, Topology, UNROUTED, WORK_KEY};
use crate::broker::{BrokerError, Queue, QueueDepth};
use crate::clock;
use crate::domain::Timestamp;

/// How long a consumer may keep a delivery unacked, in microseconds: RabbitMQ ends those that do so
/// for longer than half an hour, and checks every few minutes.
pub(super) const UNACKED_MICROS_MAX: i64 = 40 * 60 * 1_000_000;

/// Messages that are ready.
struct Ready {
    work: u64,
    /// Consumers of the work queue, of all handles.
    work_consumers: u64,
    retry: u64,
    dead: u64,
    unroutable: u64,
}

impl Shared {
    /// Counts what is in the queues, and what the consumers of this handle have unacked.
    pub(super) async fn depth(&self) -> Result<QueueDepth, BrokerError> {
        let ready = self.look().await?;
        let unacknowledged = match self.management() {
            Some(management) => {
                let [work, dead] = [WORK_KEY, DEAD_KEY].map(|part| self.topology.name(part));
                tokio::join!(management.unacknowledged(&work), management.unacknowledged(&dead))
            }
            None => (None, None),
        };
        // After the queues were looked at: what comes meanwhile is counted twice rather than never.
        let (work_waiting, work_in_flight, work_oldest) = self.work.count();
        let (dead_waiting, dead_in_flight, _) = self.dead.count();
        let own = work_waiting + work_in_flight;
        let elsewhere = unacknowledged.0.unwrap_or(own).saturating_sub(own);
        let dead_unacked = unacknowledged.1.unwrap_or(0).max(dead_waiting + dead_in_flight);
        Ok(QueueDepth {
            work_ready: ready.work + work_waiting,
            work_in_flight: work_in_flight + elsewhere,
            work_oldest,
            retry_ready: ready.retry,
            dead_intake: ready.dead + dead_unacked,
            unroutable: ready.unroutable,
        })
    }

    /// A time before which everything that was received is settled, if nothing waits.
    ///
    /// The age of what waits in RabbitMQ is unknown, so nothing may wait. What the consumers of
    /// this handle have is known; what others have is not, but RabbitMQ takes back what a consumer
    /// keeps for too long.
    pub(super) async fn settled_before(&self) -> Result<Option<Timestamp>, BrokerError> {
        let now = clock::now();
        let mut settled = now;
        // Twice: what moves from the retries to the queue between two looks is seen by the third.
        for _ in 0..2 {
            let (_, _, before) = self.work.count();
            let ready = self.look().await?;
            let (_, _, after) = self.work.count();
            if ready.work > 0 || ready.retry > 0 {
                return Ok(None);
            }
            if ready.work_consumers > self.work.consumers() {
                settled = settled.min(now.plus_micros(-UNACKED_MICROS_MAX));
            }
            settled = [before, after].into_iter().flatten().fold(settled, Timestamp::min);
        }
        Ok(Some(settled))
    }

    async fn look(&self) -> Result<Ready, BrokerError> {
        let late = format!("RabbitMQ did not say within {CALL_TIMEOUT:?} what is queued");
        within(CALL_TIMEOUT, &late, self.ready()).await
    }

    async fn ready(&self) -> Result<Ready, BrokerError> {
        let mut kept = self.channel.lock().await;
        // Taken out: one that failed, or whose answer was not awaited, is not used again.
        let channel = match kept.take().filter(|channel| channel.status().connected()) {
            Some(channel) => channel,
            None => topology::open(&*self.consuming.connection()?).await?,
        };
        let work = self.look_at(&channel, &self.topology.name(WORK_KEY)).await?;
        let unroutable = [FOREIGN_KEY, UNROUTED].map(|part| self.topology.name(part));
        let ready = Ready {
            work: work.ready,
            work_consumers: work.consumers,
            retry: self.sum(&channel, &self.topology.retry_names(Queue::Work)).await?,
            dead: self.sum(&channel, &[self.topology.name(DEAD_KEY)]).await?
                + self.sum(&channel, &self.topology.retry_names(Queue::Dead)).await?,
            unroutable: self.sum(&channel, &unroutable).await?,
        };
        *kept = Some(channel);
        Ok(ready)
    }

    async fn sum(&self, channel: &Channel, queues: &[String]) -> Result<u64, BrokerError> {
        let mut sum = 0;
        for queue in queues {
            sum += self.look_at(channel, queue).await?.ready;
        }
        Ok(sum)
    }

    async fn look_at(&self, channel: &Channel, queue: &str) -> Result<Found, BrokerError> {
        Topology::find(channel, queue).await?.ok_or_else(|| {
            self.topology.invalidate();
            BrokerError::unavailable(format!("there is no queue {queue}"))
        })
    }
}
