//! Consuming on one channel: hands deliveries out in order and settles them at RabbitMQ.
//!
//! Acknowledgements go in groups, as soon as nothing more is decided. A retry or a dead letter is
//! published first and acknowledged after its confirm:
//! 1. dies before the confirm: RabbitMQ delivers the old one again; perhaps both are there;
//! 2. dies before the acknowledgement: both are there; the second is found to be a duplicate.
//!
//! # Why are suspects handed out alone?
//! Nobody knows which of the deliveries of a dead process has killed it, so RabbitMQ counts its
//! death for all of them. One with two or more such deaths, or drops, is handed out with nothing
//! beside it. What RabbitMQ has sent ahead would be counted too: so a session begins with one
//! delivery at a time, and widens when one comes that is no suspect. A suspect that comes later
//! narrows it again; other suspects are then given back.
//!
//! # Invariants
//! - At most `prefetch` deliveries are handed out and not settled, and their bodies take little
//!   more than [`UNACKED_BYTES_MAX`]; see [`Window`].
//! - Only what RabbitMQ has as this channel's is acknowledged: tags of another would hit others.

mod give_back;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use futures_util::{FutureExt, StreamExt};
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Acker, Channel};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::Consumer;
use super::buffer::{BufferedDelivery, DeliveryBuffer};
use super::cumulative_acks::CumulativeAcks;
use super::silence;
use super::window::{UNACKED_BYTES_MAX, Window};
use crate::broker::rabbitmq::failure::refusal;
use crate::broker::rabbitmq::topology::{self, Topology, short};
use crate::broker::rabbitmq::unacked::UnackedId;
use crate::broker::rabbitmq::wire::{self, Received};
use crate::broker::ticket::{Returned, Ticket};
use crate::broker::{BrokerError, Delivery, Disposition};
use crate::clock::Delays;

/// How long a finished delivery waits for those before it.
const GAP_TIMEOUT: Duration = Duration::from_millis(20);

/// What comes on a channel.
type Came = lapin::Result<lapin::message::Delivery>;

/// The time in which a subscription has a channel; see [`ChannelSession::run`].
pub(super) struct ChannelSession<'a> {
    consumer: &'a mut Consumer,
    channel: Channel,
    /// `None` while nothing more may come.
    stream: Option<lapin::Consumer>,
    /// How many deliveries may come at a time.
    window: Window,
    /// The last tag that came, and the last before the present prefetch.
    last_tag: u64,
    before_tag: u64,
    /// What came and is not handed out, in order.
    buffer: DeliveryBuffer,
    /// What was handed out and is not settled, by its tag.
    in_flight: BTreeMap<u64, BufferedDelivery>,
    /// Given to every delivery, with room for all of them.
    reports: mpsc::Sender<Returned>,
    settled: mpsc::Receiver<Returned>,
    /// Deliveries that are published elsewhere, as tasks: others wait for what these hold.
    moving: JoinSet<u64>,
    /// All that was handed out or decided, until it is acknowledged.
    unacked: BTreeMap<u64, Unsettled>,
    /// The bodies of all that came and is not acknowledged.
    unacked_bytes: usize,
    /// Whether the one unacked delivery is a suspect.
    is_alone: bool,
    acks: CumulativeAcks,
    /// When what waits for a gap to close is acknowledged singly.
    gap_until: Option<Instant>,
    /// When something came last, or was done.
    active_at: Instant,
    /// How long nothing may come until it is asked why.
    silence: Duration,
}

/// A delivery that RabbitMQ knows no end of.
struct Unsettled {
    acker: Acker,
    /// `None` for what is not ours.
    place: Option<UnackedId>,
    bytes: usize,
}

/// Why a session is over, with nothing of it left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// The broker is closed, or the subscription was dropped and all that was taken is settled.
    Done,
    /// Nothing has come for long, although RabbitMQ has something.
    Owed,
}

impl<'a> ChannelSession<'a> {
    pub(super) fn new(consumer: &'a mut Consumer, channel: Channel) -> Self {
        let consumer_prefetch = consumer.prefetch;
        let (reports, settled) = mpsc::channel(usize::from(consumer_prefetch));
        Self {
            consumer,
            channel,
            stream: None,
            window: Window::new(consumer_prefetch),
            last_tag: 0,
            before_tag: 0,
            buffer: DeliveryBuffer::default(),
            in_flight: BTreeMap::new(),
            reports,
            settled,
            moving: JoinSet::new(),
            unacked: BTreeMap::new(),
            unacked_bytes: 0,
            is_alone: false,
            acks: CumulativeAcks::new(),
            gap_until: None,
            active_at: Instant::now(),
            silence: silence::time(),
        }
    }

    /// Consumes until there is no more to do, or until RabbitMQ keeps back what it has. An error
    /// means that the channel is lost.
    pub(super) async fn run(mut self, delays: &mut Delays) -> Result<Over, BrokerError> {
        let stop = self.consumer.stop.clone();
        loop {
            self.acknowledge().await?;
            self.hand_out().await?;
            if self.consumer.deliveries.is_none() && self.unacked.is_empty() {
                topology::close(&self.channel).await;
                return Ok(Over::Done);
            }
            tokio::select! {
                () = stop.cancelled() => return self.close_down().await.map(|()| Over::Done),
                () = self.consumer.dropped() => {
                    self.stop_handing_out().await?;
                    let waiting = self.buffer.take_all();
                    self.give_back(waiting).await?;
                }
                Some(settled) = self.settled.recv() => {
                    let mut batch = vec![settled];
                    batch.extend(self.settled_now());
                    self.settle(batch).await?;
                }
                Some(moved) = self.moving.join_next() => self.moved(moved)?,
                delivery = next(self.stream.as_mut()) => {
                    self.arrive(delivery)?;
                    self.arrive_now()?;
                    delays.reset();
                }
                () = sleep_until(self.gap_until.unwrap_or(self.active_at)),
                    if self.gap_until.is_some() => self.acknowledge_after_gap().await?,
                () = sleep_until(self.active_at + self.silence), if self.unacked.is_empty() => {
                    let queue = self.consumer.shared.topology.queue_name(self.consumer.queue);
                    let before = Topology::find(&self.channel, &queue).await?;
                    // What is on its way when the channel is closed would count as delivered.
                    self.cancel().await?;
                    let is_silent = self.unacked.is_empty() && self.buffer.is_empty();
                    if is_silent {
                        let after = Topology::find(&self.channel, &queue).await?;
                        if silence::is_owed(before, after) {
                            topology::close(&self.channel).await;
                            return Ok(Over::Owed);
                        }
                    }
                    self.silence = silence::time();
                }
            }
            self.active_at = Instant::now();
        }
    }

    /// Whether there is somebody to hand deliveries to.
    fn is_taking(&self) -> bool {
        self.consumer.deliveries.as_ref().is_some_and(|deliveries| !deliveries.is_closed())
    }

    /// Hands over what may be out now, and widens or narrows what may come.
    async fn hand_out(&mut self) -> Result<(), BrokerError> {
        while self.is_taking() && !self.is_alone {
            let has_suspects = !self.buffer.suspects.is_empty();
            if self.stream.is_none() && self.buffer.is_empty() && self.unacked.is_empty() {
                self.window.begin();
                self.consume().await?;
            }
            if has_suspects && self.stream.is_some() && self.window.is_wide() {
                self.cancel().await?;
                continue;
            }
            if self.stream.is_some() && self.unacked_bytes > UNACKED_BYTES_MAX {
                self.cancel().await?;
            }
            if self.unacked.len() >= usize::from(self.consumer.prefetch) {
                break;
            }
            if let Some(arrival) = self.buffer.ordinary.pop_front() {
                self.hand_over(arrival);
                continue;
            }
            if !has_suspects && self.change_window().await? {
                // Something may have come meanwhile.
                continue;
            }
            if !has_suspects || !self.unacked.is_empty() {
                break;
            }
            if let Some(suspect) = self.buffer.suspects.pop_front() {
                let others = self.buffer.take_all();
                self.give_back(others).await?;
                if !self.unacked.is_empty() {
                    // Those that are published anew are gone first.
                    self.buffer.suspects.push_front(suspect);
                    break;
                }
                self.hand_over(suspect);
                self.is_alone = true;
            }
        }
        Ok(())
    }

    /// Consumes with another prefetch if the bodies that came call for it, and after a pause once
    /// half of the bytes are settled; returns whether it did.
    async fn change_window(&mut self) -> Result<bool, BrokerError> {
        let is_paused = self.stream.is_none();
        if is_paused && self.unacked_bytes > UNACKED_BYTES_MAX / 2 {
            return Ok(false);
        }
        let unsettled = self.unacked.range(self.before_tag + 1..).count();
        let changes = self.window.change(unsettled) || is_paused;
        if changes {
            self.cancel().await?;
            self.consume().await?;
        }
        Ok(changes)
    }

    fn hand_over(&mut self, arrival: BufferedDelivery) {
        let Received { envelope, attempt, failing_since, delivery_count, dead } =
            arrival.received.clone();
        let ticket =
            Ticket { number: arrival.tag, disposition: None, reports: self.reports.clone() };
        let delivery = Delivery { envelope, attempt, failing_since, delivery_count, dead, ticket };
        self.consumer.shared.unacked(self.consumer.queue).hand_out(arrival.place);
        self.hold(&arrival);
        self.in_flight.insert(arrival.tag, arrival);
        if let Some(deliveries) = &self.consumer.deliveries {
            // An error means that the subscription was dropped just now. The delivery is dropped
            // with it, and so comes back.
            deliveries.try_send(delivery).ok();
        }
    }

    fn hold(&mut self, arrival: &BufferedDelivery) {
        let (acker, place) = (arrival.acker.clone(), Some(arrival.place));
        let bytes = arrival.received.envelope.body.len();
        self.unacked.insert(arrival.tag, Unsettled { acker, place, bytes });
    }

    async fn consume(&mut self) -> Result<(), BrokerError> {
        let prefetch = self.window.prefetch();
        self.before_tag = self.last_tag;
        let queue = self.consumer.shared.topology.queue_name(self.consumer.queue);
        let refused = |error: lapin::Error| refusal(&format!("cannot consume {queue}"), &error);
        self.channel.basic_qos(prefetch, BasicQosOptions::default()).await.map_err(refused)?;
        let (tag, options) = (ShortString::default(), BasicConsumeOptions::default());
        let stream =
            self.channel.basic_consume(short(&queue), tag, options, FieldTable::default()).await;
        self.stream = Some(stream.map_err(refused)?);
        self.consumer.shared.record_consuming(self.consumer.queue, None);
        Ok(())
    }

    /// Sees to it that nothing more comes, and takes what is on its way: all but what RabbitMQ sends
    /// after it has answered, which is back when the channel is closed, and counted once.
    async fn cancel(&mut self) -> Result<(), BrokerError> {
        let Some(mut stream) = self.stream.take() else { return Ok(()) };
        let cancelled = self.channel.basic_cancel(stream.tag(), BasicCancelOptions::default());
        cancelled.await.map_err(|error| refusal("cannot stop consuming", &error))?;
        while let Some(delivery) = stream.next().await {
            self.arrive(Some(delivery))?;
        }
        Ok(())
    }

    fn arrive(&mut self, delivery: Option<Came>) -> Result<(), BrokerError> {
        let Some(delivery) = delivery else {
            let message = "RabbitMQ ended the consumer, as it does when a queue is deleted";
            return Err(BrokerError::unavailable(message));
        };
        let mut delivery = delivery.map_err(|error| refusal("the channel is lost", &error))?;
        let (tag, acker) = (delivery.delivery_tag, delivery.acker.clone());
        // lapin puts a large body together in a buffer of up to twice its size.
        delivery.data.shrink_to_fit();
        let bytes = delivery.data.len();
        self.last_tag = tag;
        self.unacked_bytes += bytes;
        self.window.record(bytes);
        match wire::read(&mut delivery) {
            Ok(received) => {
                let unacked = self.consumer.shared.unacked(self.consumer.queue);
                let place = unacked.arrive(received.envelope.received_at);
                self.buffer.push(BufferedDelivery { tag, acker, place, received });
            }
            Err(error) => {
                self.unacked.insert(tag, Unsettled { acker, place: None, bytes });
                let (shared, queue) = (Arc::clone(&self.consumer.shared), self.consumer.queue);
                self.moving.spawn(async move {
                    shared.send_on(queue, delivery, error).await;
                    tag
                });
            }
        }
        Ok(())
    }

    /// What else has come by now: it is handed out at once.
    fn arrive_now(&mut self) -> Result<(), BrokerError> {
        while let Some(delivery) = next(self.stream.as_mut()).now_or_never() {
            self.arrive(delivery)?;
        }
        Ok(())
    }

    /// What else was settled by now.
    fn settled_now(&mut self) -> Vec<Returned> {
        std::iter::from_fn(|| self.settled.try_recv().ok()).collect()
    }

    async fn settle(&mut self, mut batch: Vec<Returned>) -> Result<(), BrokerError> {
        batch.sort_unstable_by_key(|(tag, _)| *tag);
        let mut dropped = Vec::new();
        for (tag, disposition) in batch {
            let Some(arrival) = self.in_flight.remove(&tag) else { continue };
            let Some(disposition) = disposition else {
                dropped.push(arrival);
                continue;
            };
            if disposition == Disposition::Ack {
                self.finish(tag);
                continue;
            }
            let (shared, queue) = (Arc::clone(&self.consumer.shared), self.consumer.queue);
            self.moving.spawn(async move {
                shared.settle_elsewhere(queue, arrival.received, disposition).await;
                tag
            });
        }
        if !self.is_taking() {
            // Nothing has failed: it was not taken, or whoever took it is ending. It must not come
            // back here.
            self.cancel().await?;
            return self.give_back(dropped).await;
        }
        for BufferedDelivery { tag, acker, .. } in dropped {
            let options = BasicRejectOptions { requeue: true };
            acker.reject(options).await.map_err(|error| refusal("cannot give back", &error))?;
            self.acks.give_back(tag);
            self.release(tag);
        }
        Ok(())
    }

    /// A delivery was published elsewhere; one whose task failed comes again with the channel's others.
    fn moved(&mut self, moved: Result<u64, JoinError>) -> Result<(), BrokerError> {
        moved.map(|tag| self.finish(tag)).map_err(BrokerError::unavailable)
    }

    fn finish(&mut self, tag: u64) {
        if let Some(Unsettled { acker, .. }) = self.unacked.get(&tag) {
            self.acks.finish(tag, acker.clone());
        }
    }

    /// Forgets a delivery that RabbitMQ knows the end of, or has back.
    fn release(&mut self, tag: u64) {
        if let Some(Unsettled { place, bytes, .. }) = self.unacked.remove(&tag) {
            self.unacked_bytes -= bytes;
            if let Some(place) = place {
                self.consumer.shared.unacked(self.consumer.queue).release(place);
            }
        }
        self.is_alone &= !self.unacked.is_empty();
    }

    async fn acknowledge(&mut self) -> Result<(), BrokerError> {
        let (tags, acker) = self.acks.take();
        if let Some(acker) = acker {
            acknowledge(&acker, true).await?;
        }
        for tag in tags {
            self.release(tag);
        }
        let due_at = self.gap_until;
        self.gap_until =
            (self.acks.has_gap()).then(|| due_at.unwrap_or_else(|| Instant::now() + GAP_TIMEOUT));
        Ok(())
    }

    async fn acknowledge_after_gap(&mut self) -> Result<(), BrokerError> {
        self.gap_until = None;
        let after_gap = self.acks.take_after_gap();
        // All at once: one after the other, each waits until it is written.
        try_join_all(after_gap.iter().map(|(_, acker)| acknowledge(acker, false))).await?;
        for (tag, _) in after_gap {
            self.release(tag);
        }
        Ok(())
    }
}

/// What was unacked is RabbitMQ's again, however the session ends.
impl Drop for ChannelSession<'_> {
    fn drop(&mut self) {
        let unacked = self.consumer.shared.unacked(self.consumer.queue);
        let own = self.unacked.values().filter_map(|it| it.place);
        for place in own.chain(self.buffer.places()) {
            unacked.release(place);
        }
    }
}

async fn acknowledge(acker: &Acker, multiple: bool) -> Result<(), BrokerError> {
    let acknowledged = acker.ack(BasicAckOptions { multiple }).await;
    if acknowledged.map_err(|error| refusal("cannot acknowledge", &error))? {
        return Ok(());
    }
    Err(BrokerError::unavailable("the channel is lost, and with it what was to be acknowledged"))
}

async fn next(stream: Option<&mut lapin::Consumer>) -> Option<Came> {
    match stream {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}
