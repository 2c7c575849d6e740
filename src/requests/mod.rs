//! Requests of people take the same path as a webhook: a request is published, and the answer waits
//! until a worker has applied it. [`receipts`] are for goods, adjustments and counts,
//! [`corrections`] for orders; [`items`] finds the item that is meant.

pub mod corrections;
pub mod items;
pub mod receipts;

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::broker::{Broker, BrokerError, Envelope, EnvelopeKind};
use crate::clock::{self, Delays};
use crate::domain::{MessageId, Rejection};
use crate::store::{Store, StoreError};

/// How long the broker may take to confirm.
const PUBLISH_TIMEOUT: Duration = Duration::from_millis(2500);
/// The shortest and longest delay between two checks of whether it was applied.
const POLL_INTERVAL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

/// The progress of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It took effect now.
    Applied,
    /// It was in effect before; nothing was done.
    Repeated,
    /// It is durable, but not yet in effect.
    Queued,
}

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The worker made it a dead letter.
    #[error("message {message_id} became a dead letter: {}: {}", rejection.code, rejection.detail)]
    DeadLetter {
        /// The message.
        message_id: MessageId,
        /// The reason.
        rejection: Box<Rejection>,
    },
    /// The broker did not confirm in time; it may or may not be on the queue.
    #[error("the broker did not confirm in time; ask again with the same reference")]
    Unconfirmed,
    /// The broker rejected it, or could not be reached.
    #[error("the broker did not take it")]
    Broker(#[from] BrokerError),
    /// The Store could not be read.
    #[error("cannot read what is known")]
    Store(#[from] StoreError),
}

/// Creates an envelope of our own, under a new message id.
pub fn envelope(kind: EnvelopeKind, body: &serde_json::Value, source: &str) -> Envelope {
    Envelope {
        message_id: MessageId(uuid::Uuid::now_v7()),
        kind,
        received_at: clock::now(),
        source: source.to_owned(),
        replays: 0,
        traceparent: None,
        tracestate: None,
        body: Bytes::from(body.to_string()),
    }
}

/// Publishes an envelope.
pub async fn publish(broker: &dyn Broker, envelope: Envelope) -> Result<(), AskError> {
    let published = tokio::time::timeout(PUBLISH_TIMEOUT, broker.publish(envelope));
    published.await.map_err(|_| AskError::Unconfirmed)?.map_err(AskError::from)
}

/// Waits until `look` finds the effect of a message; returns `None` if it does not by the deadline.
///
/// # Errors
/// The message became a dead letter, or the Store failed with an error that is not transient.
pub async fn wait<'a, T: Send>(
    store: &dyn Store,
    message_id: MessageId,
    deadline: Instant,
    look: impl Fn() -> BoxFuture<'a, Result<Option<T>, StoreError>> + Send + Sync,
) -> Result<Option<T>, AskError> {
    let mut delays = Delays::new(POLL_INTERVAL.0, POLL_INTERVAL.1);
    loop {
        let found = async {
            if let Some(found) = look().await? {
                return Ok(Some(found));
            }
            match store.dead_letter(message_id).await? {
                None => Ok(None),
                Some(letter) => {
                    let rejection = Box::new(letter.rejection);
                    Err(AskError::DeadLetter { message_id, rejection })
                }
            }
        };
        match found.await {
            Ok(None) => {}
            Ok(found) => return Ok(found),
            // It is on the queue, whatever happens to the Store: that is worth an answer too.
            Err(AskError::Store(error)) if error.is_transient() => {}
            Err(error) => return Err(error),
        }
        let now = Instant::now();
        if now >= deadline {
            return Ok(None);
        }
        tokio::time::sleep_until(deadline.min(now + delays.next())).await;
    }
}
