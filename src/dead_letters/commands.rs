//! Edits and discards: what a person wants done to one dead letter.
//!
//! Whoever asks publishes the command, so that a rebuild repeats it, and then does it to the Store
//! by itself: no worker need run for it, and one that comes to the command later finds it done.
//! Dies in between: the command is on the queue, and a worker does it.

use std::sync::Arc;

use uuid::Uuid;

use crate::broker::{Broker, BrokerError, Envelope, EnvelopeKind};
use crate::clock;
use crate::domain::MessageId;
use crate::store::{DeadLetterEdit, DeadLetterName, Ending, ReplayId, Store, StoreError};

/// The largest body that an edit may give, in bytes: as the largest that the ingress may take.
pub const EDIT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The source of envelopes that people make.
const SOURCE: &str = "operator";

/// A command that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commanded {
    /// The message that carries it.
    pub message_id: MessageId,
    /// How far it is.
    pub progress: Progress,
}

/// How far a command is. It is durable: that the Store did not take it now is no failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It is in effect.
    Applied,
    /// A worker will do it.
    Queued,
    /// The letter ended before; nothing was changed.
    Ended,
}

/// The dead letter that a command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// It is parked, and a command about it is in effect at once. One that a replay takes before the
    /// command arrives is covered too: the command is then about the generation that comes back.
    Free(DeadLetterName),
    /// A running replay has it: what is on its way cannot be called back.
    InReplay(ReplayId),
    /// No such message is parked.
    Unknown,
}

/// Finds the dead letter that an edit is about.
pub async fn find(store: &dyn Store, id: MessageId) -> Result<Target, StoreError> {
    let Some(generation) = store.parked_generation(id).await? else { return Ok(Target::Unknown) };
    let replay = store.replay_of(id).await?;
    let free = Target::Free(DeadLetterName { message_id: id, generation });
    Ok(replay.map_or(free, Target::InReplay))
}

/// Finds the dead letter that a discard is about: also one that cannot be read. Which generation of
/// it is meant does not matter, as a discard ends all of them.
pub async fn find_to_discard(store: &dyn Store, id: MessageId) -> Result<Target, StoreError> {
    match find(store, id).await {
        Err(StoreError::Corrupt { .. }) => {
            Ok(Target::Free(DeadLetterName { message_id: id, generation: 1 }))
        }
        found => found,
    }
}

/// Gives a letter another body.
pub async fn edit(
    broker: &Arc<dyn Broker>,
    store: &dyn Store,
    letter: DeadLetterName,
    body: &[u8],
) -> Result<Commanded, BrokerError> {
    let envelope = publish(broker, EnvelopeKind::Edit, letter.edit_body(body)).await?;
    let (message_id, at) = (envelope.message_id, envelope.received_at);
    let body = body.to_vec().into();
    let edited =
        store.edit_dead_letter(DeadLetterEdit { letter, edit: message_id, at, body }).await;
    let edited =
        edited.map(|is_changed| if is_changed { Progress::Applied } else { Progress::Ended });
    Ok(Commanded { message_id, progress: progress(edited) })
}

/// Ends a letter for good.
pub async fn discard(
    broker: &Arc<dyn Broker>,
    store: &dyn Store,
    letter: DeadLetterName,
) -> Result<Commanded, BrokerError> {
    let envelope = publish(broker, EnvelopeKind::Discard, letter.discard_body()).await?;
    let ended = store.end_dead_letters(vec![letter], Ending::Discarded, clock::now()).await;
    let progress = progress(ended.map(|()| Progress::Applied));
    Ok(Commanded { message_id: envelope.message_id, progress })
}

fn progress(done: Result<Progress, StoreError>) -> Progress {
    done.unwrap_or_else(|error| {
        tracing::warn!(%error, "the store did not take a command; a worker will do it");
        Progress::Queued
    })
}

async fn publish(
    broker: &Arc<dyn Broker>,
    kind: EnvelopeKind,
    body: bytes::Bytes,
) -> Result<Envelope, BrokerError> {
    let envelope = Envelope {
        message_id: MessageId(Uuid::now_v7()),
        kind,
        received_at: clock::now(),
        source: SOURCE.to_owned(),
        replays: 0,
        traceparent: None,
        tracestate: None,
        body,
    };
    broker.publish(envelope.clone()).await?;
    Ok(envelope)
}
