//! Publishing: each caller hands its message to lapin and waits for its own confirm.
//!
//! lapin gives a message its tag, and then its place among the frames, in the first poll; two that
//! are polled at once for the first time would get each other's confirms. So the first polls take
//! turns. What piles up while lapin writes goes out in one piece, which RabbitMQ reads, stores and
//! confirms as one.
//!
//! A message that lapin has is awaited to its end, even when its caller has given up: a confirm
//! that is dropped would stay in the channel for ever.
//!
//! # Invariants
//! - `Ok` is answered after RabbitMQ's confirm, and after nothing else.
//! - At most `in_flight_max` messages are unconfirmed; the bodies of those that are not on the wire
//!   have [`UNWRITTEN_BYTES_MAX`] bytes together, or are one body.
//! - Who publishes is polled until it has its answer: it holds what others wait for.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;

use super::connection::Link;
use super::failure::{REFUSED, refusal, within, words};
use super::topology::open;
use crate::broker::BrokerError;
use crate::domain::causes;

/// How long a caller waits; senders give up a little later.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);
/// How long nothing is tried on a connection that gives no channel.
const PAUSE: Duration = Duration::from_millis(250);
/// So many bytes of bodies wait for the wire at once: lapin has a copy of them until then, and when
/// RabbitMQ reads no more, they are what may still reach it.
const UNWRITTEN_BYTES_MAX: u32 = 1024 * 1024;

/// A message on its way.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) exchange: ShortString,
    pub(super) key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Bytes,
}

/// Publishes messages on a channel, which it opens anew when that is lost, once it [runs](Self::run).
#[derive(Debug)]
pub(super) struct Publisher {
    link: Arc<Link>,
    /// `None` while there is no channel.
    lane: watch::Sender<Option<Arc<Lane>>>,
    in_flight: Arc<Semaphore>,
    unwritten: Arc<Semaphore>,
    /// Whether the user may not be allowed to publish: so until that was found out, and again after
    /// each refusal.
    is_in_doubt: AtomicBool,
}

/// A channel that messages are published on.
#[derive(Debug)]
struct Lane {
    link: Arc<Link>,
    connection: Arc<Connection>,
    channel: Channel,
    /// Taken for the first poll of a message.
    turn: Mutex<()>,
}

/// What a message takes: one of those in flight, and its bytes until they are on the wire.
type Room = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Publisher {
    pub(super) fn new(link: Arc<Link>, in_flight_max: usize) -> Self {
        let in_flight = in_flight_max.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            link,
            lane: watch::Sender::new(None),
            in_flight: Arc::new(Semaphore::new(in_flight)),
            unwritten: Arc::new(Semaphore::new(UNWRITTEN_BYTES_MAX as usize)),
            is_in_doubt: AtomicBool::new(true),
        }
    }

    /// Whether it must be found out if the user may publish.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.is_in_doubt.load(Ordering::Relaxed)
    }

    /// Records that the user may publish.
    pub(super) fn may_publish(&self) {
        self.is_in_doubt.store(false, Ordering::Relaxed);
    }

    /// Whether a message would be taken now.
    pub(super) fn check(&self) -> Result<(), BrokerError> {
        if self.has_ended() {
            return Err(ended());
        }
        self.link.takes_messages()
    }

    fn has_ended(&self) -> bool {
        self.in_flight.is_closed()
    }

    /// Keeps a channel to publish on, for ever; nothing is published once this was dropped.
    pub(super) async fn run(&self) {
        let _end = End(self);
        let mut lanes = self.lane.subscribe();
        loop {
            match self.open().await {
                Ok(lane) => {
                    let connection = Arc::clone(&lane.connection);
                    self.lane.send_replace(Some(lane));
                    tokio::select! {
                        _ = lanes.wait_for(Option::is_none) => {}
                        () = self.link.ended(&connection) => {}
                    }
                    self.lane.send_replace(None);
                }
                Err(error) => {
                    tracing::warn!(error = causes(&error), "no channel to publish on");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Waits for a connection and opens a channel.
    async fn open(&self) -> Result<Arc<Lane>, BrokerError> {
        let connection = self.link.connected().await;
        let channel = async {
            let channel = open(&connection).await?;
            let selected = channel.confirm_select(ConfirmSelectOptions::default()).await;
            selected.map_err(|error| refusal("cannot ask for confirms", &error))?;
            Ok(channel)
        };
        let channel = within(CONFIRM_TIMEOUT, "RabbitMQ does not open a channel", channel).await?;
        let link = Arc::clone(&self.link);
        Ok(Arc::new(Lane { link, connection, channel, turn: Mutex::default() }))
    }

    /// Publishes a message and waits for its confirm.
    ///
    /// Dies before the answer, or gives up: the message may or may not be there.
    pub(super) async fn publish(&self, message: Message) -> Result<(), BrokerError> {
        let confirmed = async { self.answer(self.hand_over(message).await?).await };
        within(CONFIRM_TIMEOUT, "no confirm came in time", confirmed).await
    }

    /// Publishes messages in their order and waits for all confirms.
    pub(super) async fn publish_all(&self, messages: Vec<Message>) -> Result<(), BrokerError> {
        let mut pending = FuturesUnordered::new();
        let confirmed = async {
            for message in messages {
                let mut handing_over = std::pin::pin!(self.hand_over(message));
                // Those before it make room for it.
                let handed_over = loop {
                    tokio::select! {
                        biased;
                        handed_over = &mut handing_over => break handed_over?,
                        Some(answer) = pending.next() => answer?,
                    }
                };
                pending.push(self.answer(handed_over));
            }
            while let Some(answer) = pending.next().await {
                answer?;
            }
            Ok(())
        };
        within(CONFIRM_TIMEOUT * 2, "not all confirms came in time", confirmed).await
    }

    /// Waits for a channel and for room, and gives lapin the message.
    async fn hand_over(&self, message: Message) -> Result<Publishing, BrokerError> {
        loop {
            self.check()?;
            let lane = self.lane().await?;
            let room = tokio::select! {
                biased;
                room = self.room(&message) => room?,
                error = self.link.refuses(&lane.connection) => return Err(error),
            };
            if lane.channel.status().connected() {
                return Ok(Publishing::begin(lane, message, room));
            }
            // It was lost while there was nothing to do; this message has not failed.
            self.retire(&lane);
        }
    }

    async fn lane(&self) -> Result<Arc<Lane>, BrokerError> {
        if let Some(lane) = &*self.lane.borrow() {
            return Ok(Arc::clone(lane));
        }
        let mut lanes = self.lane.subscribe();
        let connection = self.link.connection()?;
        tokio::select! {
            lane = lanes.wait_for(|lane| lane.is_some() || self.has_ended()) => {
                lane.ok().and_then(|lane| lane.clone()).ok_or_else(ended)
            }
            error = self.link.refuses(&connection) => Err(error),
        }
    }

    async fn room(&self, message: &Message) -> Result<Room, BrokerError> {
        let in_flight = Arc::clone(&self.in_flight).acquire_owned().await.map_err(|_| ended())?;
        let bytes = u32::try_from(message.body.len()).unwrap_or(UNWRITTEN_BYTES_MAX);
        let unwritten =
            Arc::clone(&self.unwritten).acquire_many_owned(bytes.min(UNWRITTEN_BYTES_MAX));
        Ok((in_flight, unwritten.await.map_err(|_| ended())?))
    }

    /// What became of it. A message that was written before RabbitMQ blocked the connection may
    /// still be taken, long after: that is as open as after any other failure.
    async fn answer(&self, mut publishing: Publishing) -> Result<(), BrokerError> {
        let lane = Arc::clone(&publishing.lane);
        let answer = tokio::select! {
            biased;
            answer = &mut publishing => answer,
            error = self.link.refuses(&lane.connection) => return Err(error),
        };
        if let Err(error) = &answer
            && !matches!(error, BrokerError::Full)
        {
            if causes(error).contains(REFUSED) {
                self.is_in_doubt.store(true, Ordering::Relaxed);
            }
            self.retire(&lane);
        }
        answer
    }

    /// Has another channel opened. An exchange that is missing is declared again now, not in a
    /// while.
    fn retire(&self, lane: &Arc<Lane>) {
        let is_this = |current: &Option<Arc<Lane>>| {
            current.as_ref().is_some_and(|current| Arc::ptr_eq(current, lane))
        };
        let retired = self.lane.send_if_modified(|current| {
            let is_this = is_this(current);
            if is_this {
                *current = None;
            }
            is_this
        });
        if retired {
            self.link.invalidate();
        }
    }
}

/// Ends the publisher.
struct End<'a>(&'a Publisher);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.in_flight.close();
        self.0.unwritten.close();
        self.0.lane.send_replace(None);
    }
}

fn ended() -> BrokerError {
    BrokerError::unavailable("the broker is closed, or the task that publishes has failed")
}

type Rest = Pin<Box<dyn Future<Output = Result<(), BrokerError>> + Send>>;

/// A message that lapin has; its confirm.
struct Publishing {
    lane: Arc<Lane>,
    /// `None` once it is answered.
    rest: Option<Rest>,
}

impl Publishing {
    fn begin(lane: Arc<Lane>, message: Message, room: Room) -> Self {
        let mut rest: Rest = Box::pin(publish(Arc::clone(&lane), message, room));
        let first = {
            let _turn = lane.turn.lock().unwrap_or_else(PoisonError::into_inner);
            (&mut rest).now_or_never()
        };
        let rest = first.map_or(rest, |answer| Box::pin(std::future::ready(answer)));
        Self { lane, rest: Some(rest) }
    }
}

impl Future for Publishing {
    type Output = Result<(), BrokerError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(rest) = &mut self.rest else { return Poll::Pending };
        let answer = std::task::ready!(rest.as_mut().poll(context));
        self.rest = None;
        Poll::Ready(answer)
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        // Without a runtime the process is ending, and the channel with it.
        let (Some(rest), Ok(runtime)) = (self.rest.take(), Handle::try_current()) else { return };
        let lane = Arc::clone(&self.lane);
        runtime.spawn(async move {
            tokio::select! {
                _unheard = rest => {}
                // lapin answers for all that a channel had in flight when that ends.
                () = lane.link.ended(&lane.connection) => {}
            }
        });
    }
}

async fn publish(
    lane: Arc<Lane>,
    message: Message,
    (in_flight, unwritten): Room,
) -> Result<(), BrokerError> {
    let Message { exchange, key, properties, body } = message;
    let options = BasicPublishOptions::default();
    let written = lane.channel.basic_publish(exchange, key, options, &body, properties).await;
    let confirm = written
        .map_err(|error| BrokerError::unavailable(format!("cannot publish: {}", words(&error))))?;
    drop((body, unwritten));
    let confirmation = confirm.await;
    drop(in_flight);
    match confirmation {
        Ok(Confirmation::Ack(_)) => Ok(()),
        Ok(Confirmation::Nack(_)) => Err(BrokerError::Full),
        Ok(Confirmation::NotRequested) => {
            Err(BrokerError::unavailable("the channel gives no confirms"))
        }
        // Whatever RabbitMQ holds against the channel: it is opened, and all is declared, again.
        Err(error) => Err(BrokerError::unavailable(format!("no confirm: {}", words(&error)))),
    }
}
