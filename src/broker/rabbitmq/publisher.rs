//! The one task that publishes: a pipeline of messages that wait for their confirms.
//!
//! lapin swaps confirms when several tasks publish on a channel, so all messages go through here.
//! A message that was written is awaited to its end, even when its caller has given up: a confirm
//! that is dropped would stay in the channel for ever.
//!
//! Messages are handed to lapin without waiting until the ones before are on the wire: what piles
//! up while it writes goes out in one piece, which RabbitMQ reads, stores and confirms as one.
//! lapin gives a message its tag and its place among the frames in the first poll: that of each is
//! made here, in their order.
//!
//! # Invariants
//! - `Ok` is answered after RabbitMQ's confirm, and after nothing else.
//! - At most `in_flight_max` messages are unconfirmed, and few of them not on the wire.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Connection, PublisherConfirm};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::connection::Link;
use super::failure::{refusal, within};
use super::topology::open;
use crate::broker::BrokerError;
use crate::domain::causes;

/// How long a caller waits; senders give up a little later.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);
/// How long nothing is tried on a connection that gives no channel.
const PAUSE: Duration = Duration::from_millis(250);
/// So many messages wait for the wire at once: lapin has their bodies until then, and when RabbitMQ
/// reads no more, they are what may still reach it.
const UNWRITTEN_MAX: usize = 64;

/// A message on its way.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) exchange: ShortString,
    pub(super) key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Bytes,
}

/// Hands messages to the task that publishes, and is that task once it [runs](Self::run).
#[derive(Debug)]
pub(super) struct Publisher {
    requests: mpsc::Sender<Request>,
    /// Taken by the task.
    queue: Mutex<Option<mpsc::Receiver<Request>>>,
    link: Arc<Link>,
    in_flight_max: usize,
}

#[derive(Debug)]
struct Request {
    message: Message,
    answer: Reply,
}

impl Publisher {
    pub(super) fn new(link: Arc<Link>, in_flight_max: usize) -> Self {
        let in_flight_max = in_flight_max.max(1);
        let (requests, queue) = mpsc::channel(in_flight_max);
        Self { requests, queue: Mutex::new(Some(queue)), link, in_flight_max }
    }

    /// Whether a message would be taken now.
    pub(super) fn check(&self) -> Result<(), BrokerError> {
        if self.requests.is_closed() {
            return Err(BrokerError::unavailable("the task that publishes has ended"));
        }
        self.link.takes_messages()
    }

    /// Publishes what is handed over, for ever; called once.
    pub(super) async fn run(&self) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(requests) = queue else { return };
        let (link, in_flight_max) = (Arc::clone(&self.link), self.in_flight_max);
        let mut task = Task { requests, kept: None, link, in_flight_max };
        loop {
            match task.channel().await {
                // What is in flight when the connection ends is answered by that.
                Ok((connection, channel)) => tokio::select! {
                    () = task.publish_on(channel) => {}
                    () = self.link.ended(&connection) => {}
                },
                Err(error) => {
                    tracing::warn!(error = causes(&error), "no channel to publish on");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Publishes a message and waits for its confirm.
    ///
    /// Dies before the answer, or gives up: the message may or may not be there.
    pub(super) async fn publish(&self, message: Message) -> Result<(), BrokerError> {
        let confirmed = async { self.answer(self.hand_over(message).await?).await };
        within(CONFIRM_TIMEOUT, &format!("no confirm within {CONFIRM_TIMEOUT:?}"), confirmed).await
    }

    /// Publishes messages in their order and waits for all confirms.
    pub(super) async fn publish_all(&self, messages: Vec<Message>) -> Result<(), BrokerError> {
        let mut pending = Vec::with_capacity(messages.len());
        let confirmed = async {
            for message in messages {
                pending.push(self.hand_over(message).await?);
            }
            for answer in pending {
                self.answer(answer).await?;
            }
            Ok(())
        };
        within(CONFIRM_TIMEOUT * 2, "not all confirms came in time", confirmed).await
    }

    async fn hand_over(&self, message: Message) -> Result<Pending, BrokerError> {
        self.link.takes_messages()?;
        let (answer, pending) = oneshot::channel();
        tokio::select! {
            sent = self.requests.send(Request { message, answer }) => {
                sent.map_err(|_| BrokerError::unavailable("the broker is closed"))?;
            }
            () = self.link.blocked() => return Err(BrokerError::Blocked),
        }
        Ok(pending)
    }

    /// What became of it. A message that was written before RabbitMQ blocked the connection may
    /// still be taken, long after: that is as open as after any other failure.
    async fn answer(&self, answer: Pending) -> Result<(), BrokerError> {
        tokio::select! {
            biased;
            answer = answer => answer.unwrap_or_else(|_| Err(BrokerError::unavailable("the connection was lost"))),
            () = self.link.blocked() => Err(BrokerError::Blocked),
        }
    }
}

struct Task {
    requests: mpsc::Receiver<Request>,
    /// One that found its channel lost.
    kept: Option<Request>,
    link: Arc<Link>,
    in_flight_max: usize,
}

/// The answer to a message that was handed to the task.
type Pending = oneshot::Receiver<Result<(), BrokerError>>;
type Reply = oneshot::Sender<Result<(), BrokerError>>;
type Confirmed = (Reply, lapin::Result<Confirmation>);
type WriteResult = (Reply, lapin::Result<PublisherConfirm>);
type Writing = Pin<Box<dyn Future<Output = WriteResult> + Send>>;

impl Task {
    /// Waits for a connection and opens a channel; whoever publishes while there is none gets an
    /// error.
    async fn channel(&mut self) -> Result<(Arc<Connection>, Channel), BrokerError> {
        let link = Arc::clone(&self.link);
        let connection = loop {
            tokio::select! {
                biased;
                connection = link.connected() => break connection,
                Some(Request { answer, .. }) = self.next() => {
                    reply(answer, Err(BrokerError::unavailable("there is no connection to RabbitMQ for now")));
                }
            }
        };
        let channel = async {
            let channel = open(&connection).await?;
            let selected = channel.confirm_select(ConfirmSelectOptions::default()).await;
            selected.map_err(|error| refusal("cannot ask for confirms", &error))?;
            Ok(channel)
        };
        let channel = within(CONFIRM_TIMEOUT, "RabbitMQ does not open a channel", channel).await?;
        Ok((connection, channel))
    }

    /// The next message. Cancel safe.
    async fn next(&mut self) -> Option<Request> {
        match self.kept.take() {
            Some(request) => Some(request),
            None => self.requests.recv().await,
        }
    }

    /// Publishes on a channel until it fails.
    async fn publish_on(&mut self, channel: Channel) {
        let mut confirms = FuturesUnordered::new();
        let mut unwritten: FuturesUnordered<Writing> = FuturesUnordered::new();
        let mut is_broken = false;
        while !is_broken || !confirms.is_empty() || !unwritten.is_empty() {
            let has_room = unwritten.len() < UNWRITTEN_MAX
                && unwritten.len() + confirms.len() < self.in_flight_max;
            tokio::select! {
                Some((answer, confirmation)) = confirms.next() => {
                    let confirmation: lapin::Result<Confirmation> = confirmation;
                    is_broken |= confirmation.is_err();
                    reply(answer, outcome(confirmation));
                }
                Some((answer, written)) = unwritten.next() => match written {
                    Ok(confirm) => confirms.push(confirmed(answer, confirm)),
                    Err(error) => {
                        is_broken = true;
                        reply(answer, Err(BrokerError::unavailable(format!("cannot publish: {error}"))));
                    }
                },
                Some(request) = self.next(), if has_room && !is_broken => {
                    if !channel.status().connected() {
                        // It was lost while there was nothing to do; this one has not failed.
                        self.kept = Some(request);
                    } else if let Err(error) = self.link.takes_messages() {
                        reply(request.answer, Err(error));
                    } else if !request.answer.is_closed() {
                        let mut writing: Writing = Box::pin(write(channel.clone(), request));
                        // The first poll, before that of any other.
                        match (&mut writing).now_or_never() {
                            Some(written) => unwritten.push(Box::pin(ready(written))),
                            None => unwritten.push(writing),
                        }
                    }
                }
            }
            is_broken |= !channel.status().connected();
        }
        // An exchange that is missing is declared again now, not in a while.
        self.link.invalidate();
    }
}

async fn write(channel: Channel, Request { message, answer }: Request) -> WriteResult {
    let Message { exchange, key, properties, body } = message;
    let options = BasicPublishOptions::default();
    (answer, channel.basic_publish(exchange, key, options, &body, properties).await)
}

async fn confirmed(answer: Reply, confirm: PublisherConfirm) -> Confirmed {
    (answer, confirm.await)
}

fn outcome(confirmation: lapin::Result<Confirmation>) -> Result<(), BrokerError> {
    match confirmation {
        Ok(Confirmation::Ack(_)) => Ok(()),
        Ok(Confirmation::Nack(_)) => Err(BrokerError::Full),
        Ok(Confirmation::NotRequested) => {
            Err(BrokerError::unavailable("the channel gives no confirms"))
        }
        // Whatever RabbitMQ holds against the channel: it is opened, and all is declared, again.
        Err(error) => Err(BrokerError::unavailable(format!("no confirm: {error}"))),
    }
}

fn reply(answer: Reply, outcome: Result<(), BrokerError>) {
    // Whoever does not wait any more needs no answer.
    answer.send(outcome).ok();
}
