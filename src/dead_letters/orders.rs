//! Edits and discards: what a person orders of one letter, and waiting until it is so.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::broker::{Broker, BrokerError, Envelope, EnvelopeKind};
use crate::clock;
use crate::domain::MessageId;
use crate::store::{DeadLetter, LetterName, Store};

/// The largest body that an edit may give, in bytes: as the largest that the ingress may take.
pub const EDIT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The source of envelopes that people make.
const SOURCE: &str = "operator";
/// How often is looked whether the worker was there.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How far an order is. It is durable: that nothing was seen of it is no failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It is in effect.
    Applied,
    /// A worker will do it.
    Queued,
    /// The letter ended before; nothing was changed.
    Ended,
}

/// Asks for another body of a letter; durable when this answers, in effect a moment later.
pub async fn edit(
    broker: &Arc<dyn Broker>,
    letter: LetterName,
    body: &[u8],
) -> Result<MessageId, BrokerError> {
    order(broker, EnvelopeKind::Edit, letter.edit_body(body)).await
}

/// Asks for the end of a letter; durable when this answers, in effect a moment later.
pub async fn discard(
    broker: &Arc<dyn Broker>,
    letter: LetterName,
) -> Result<MessageId, BrokerError> {
    order(broker, EnvelopeKind::Discard, letter.discard_body()).await
}

/// Waits so long until a letter has the body that an edit gives it.
pub async fn edited(
    store: &dyn Store,
    letter: LetterName,
    body: &[u8],
    patience: Duration,
) -> Progress {
    watch(store, letter, patience, |found| match found {
        Some(found) => (*found.envelope.body == *body).then_some(Progress::Applied),
        None => Some(Progress::Ended),
    })
    .await
}

/// Waits so long until a letter is gone.
pub async fn discarded(store: &dyn Store, letter: LetterName, patience: Duration) -> Progress {
    watch(store, letter, patience, |found| found.is_none().then_some(Progress::Applied)).await
}

/// Looks again and again, until `seen` says what came of the order.
async fn watch(
    store: &dyn Store,
    letter: LetterName,
    patience: Duration,
    seen: impl Fn(Option<&DeadLetter>) -> Option<Progress>,
) -> Progress {
    let deadline = Instant::now() + patience;
    loop {
        // The order is on the queue, whatever the Store says.
        let found = store.dead_letter(letter.message_id).await;
        if let Some(progress) = found.ok().and_then(|found| seen(found.as_ref())) {
            return progress;
        }
        if Instant::now() >= deadline {
            return Progress::Queued;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn order(
    broker: &Arc<dyn Broker>,
    kind: EnvelopeKind,
    body: bytes::Bytes,
) -> Result<MessageId, BrokerError> {
    let message_id = MessageId(Uuid::now_v7());
    let envelope = Envelope {
        message_id,
        kind,
        received_at: clock::now(),
        source: SOURCE.to_owned(),
        replays: 0,
        traceparent: None,
        tracestate: None,
        body,
    };
    broker.publish(envelope).await?;
    Ok(message_id)
}
