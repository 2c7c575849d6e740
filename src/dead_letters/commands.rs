//! The commands of a person about one dead letter: edit and discard.
//!
//! The caller publishes the command, so that a rebuild repeats it, and then applies it to the
//! Store: no worker has to run, and one that receives the command later finds it done. If the
//! caller dies in between, the command is in the queue and a worker applies it.

use std::sync::Arc;

use uuid::Uuid;

use crate::broker::{Broker, BrokerError, Envelope, EnvelopeKind};
use crate::clock;
use crate::domain::dead_letter::Ended;
use crate::domain::{MessageId, causes};
use crate::store::{DeadLetterEdit, DeadLetterName, Ending, ReplayId, Store, StoreError};

/// The largest body of an edit, in bytes: the upper limit of `ingress.body_bytes_max`.
pub const EDIT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The source of envelopes that people make.
const SOURCE: &str = "operator";

/// A command that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commanded {
    /// The message that carries it.
    pub message_id: MessageId,
    /// Its progress.
    pub progress: Progress,
}

/// The progress of a command. It is durable, so a Store that is away is no failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It is in effect.
    Applied,
    /// A worker will apply it.
    Queued,
    /// The dead letter had ended; nothing was changed.
    Ended,
}

/// The dead letter that a command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// It is parked and free. If a replay takes it before the command is applied, the command is
    /// about the generation that comes back.
    Free(DeadLetterName),
    /// A running replay has it, and cannot call back what it has sent.
    InReplay(ReplayId),
    /// It was parked once, and has ended.
    Ended(Ended),
    /// No such message was ever parked, as far as is known.
    Unknown,
}

/// Why there is nothing to act on, for the person who asked; `None` for a message that was never
/// parked.
pub fn why_gone(id: MessageId, ended: Option<Ended>) -> String {
    let Some(Ended { ending, at, .. }) = ended else { return format!("no message {id} is parked") };
    match ending {
        Ending::Settled => format!("{id} is no longer parked: its replay was applied at {at}"),
        Ending::Discarded => format!("{id} is no longer parked: it was discarded at {at}"),
        Ending::Expired => {
            format!(
                "{id} is no longer parked: it was older than its retention, and expired at {at}"
            )
        }
        Ending::Failed => format!("{id} failed again at {at} and is about to be parked; try again"),
    }
}

/// Finds the dead letter that an edit is about.
pub async fn find(store: &dyn Store, id: MessageId) -> Result<Target, StoreError> {
    let Some(generation) = store.parked_generation(id).await? else {
        let ended = store.load_dead_letters(&[id], false).await?.pop().flatten();
        let ended = ended.and_then(|found| found.state.ended);
        return Ok(ended.map_or(Target::Unknown, Target::Ended));
    };
    let replay = store.replay_of(id).await?;
    let free = Target::Free(DeadLetterName { message_id: id, generation });
    Ok(replay.map_or(free, Target::InReplay))
}

/// Finds the dead letter that a discard is about, even one that cannot be read: its generation does
/// not matter, as a discard ends all of them.
pub async fn find_to_discard(store: &dyn Store, id: MessageId) -> Result<Target, StoreError> {
    match store.parked_generation(id).await {
        Err(StoreError::Corrupt { .. }) => {
            Ok(Target::Free(DeadLetterName { message_id: id, generation: 1 }))
        }
        _ => find(store, id).await,
    }
}

/// Gives a dead letter another body.
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

/// Discards a dead letter for good.
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
        let error = causes(&error);
        tracing::warn!(error, "the store did not take a command; a worker will do it");
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
