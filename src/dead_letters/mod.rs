//! What people do with dead letters: replay, edit, discard.
//!
//! A person asks through [`crate::console`] or [`crate::cli`]; both end here. Edits and discards
//! become envelopes that go through queue and journal, so that a rebuild repeats them. A replay is
//! a record in the Store: its letters are frozen when it is made, and the [`Replayer`] of whatever
//! process holds the lease sends them.
//!
//! # Why are some letters journalled when they are replayed?
//! Of an edited letter the journal has the first body only, and one that was put aside on receipt
//! it has as a dead letter, not as work. A rebuild that did not see them arrive could not repeat
//! what they did to the stock. All other letters are put back without the journal.
//!
//! # Invariants
//! - A letter is parked until an outcome of its replay is durable: then its generation ends, or
//!   the next one stands in its place. A replay by itself removes nothing.
//! - Sending a letter twice is harmless: its event is a join, and its generation ends once.

mod dry_run;
mod pace;
mod replayer;

use std::sync::Arc;

use uuid::Uuid;

use crate::broker::{Broker, BrokerError, Envelope, EnvelopeKind};
use crate::clock;
use crate::domain::MessageId;
use crate::store::LetterName;

pub use dry_run::{DRY_RUN_LETTERS_MAX, DryRun, Effect, Forecast, WouldBe, dry_run};
pub use replayer::Replayer;

/// The largest body that an edit may give, in bytes: as the largest that the ingress may take.
pub const EDIT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The source of envelopes that people make.
const SOURCE: &str = "operator";

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
