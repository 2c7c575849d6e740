//! Commands about dead letters, and the ends of dead letters that were replayed.
//!
//! Edits and discards come through the queue as webhooks do, so that a rebuild repeats them. Both
//! are recorded with the dead letter, which may not be parked yet.
//!
//! If the process dies between the write and the settlement of the delivery, the write is repeated,
//! which changes nothing. The dead letter of a replayed envelope ends after its event is committed
//! and before the delivery is settled, so nothing can be lost.

use std::collections::BTreeSet;

use super::Pool;
use super::batch::Verdict;
use crate::broker::{Envelope, EnvelopeKind};
use crate::clock;
use crate::domain::{Code, EventOutcome, Outcome, Reason, Rejection, causes};
use crate::store::{DeadLetterEdit, DeadLetterName, Ending, StoreError};

/// The outcome of an envelope that is a command about a dead letter; `None` for an event.
pub fn outcome_of_command(envelope: &Envelope) -> Option<Result<EventOutcome, Rejection>> {
    let is_readable = match envelope.kind {
        EnvelopeKind::Edit => DeadLetterName::parse_edit(&envelope.body).is_some(),
        EnvelopeKind::Discard => DeadLetterName::parse_discard(&envelope.body).is_some(),
        EnvelopeKind::Webhook | EnvelopeKind::Receipt | EnvelopeKind::Correction => return None,
    };
    Some(if is_readable { Ok(outcome(envelope)) } else { Err(misread()) })
}

/// Whether an envelope is a command about a dead letter and not an event.
pub(super) const fn is_command(envelope: &Envelope) -> bool {
    reason(envelope).is_some()
}

/// The reason under which a command is counted, apart from events.
const fn reason(envelope: &Envelope) -> Option<Reason> {
    match envelope.kind {
        EnvelopeKind::Edit => Some(Reason::Edited),
        EnvelopeKind::Discard => Some(Reason::Discarded),
        EnvelopeKind::Webhook | EnvelopeKind::Receipt | EnvelopeKind::Correction => None,
    }
}

const fn outcome(envelope: &Envelope) -> EventOutcome {
    EventOutcome { outcome: Outcome::Applied, reason: reason(envelope) }
}

fn misread() -> Rejection {
    Rejection::new(Code::EditInvalid, "the body does not match its type")
}

/// Applies an edit or a discard; waits while the Store is away.
pub(super) async fn process(pool: &Pool, envelope: &Envelope) -> Result<Verdict, StoreError> {
    loop {
        let Some(applied) = apply(pool, envelope).await else {
            return Ok(Verdict::Rejected(Box::new(misread())));
        };
        match applied {
            Ok(()) => break,
            Err(error) if pool.breaker.waited_out(&error, BTreeSet::new()).await => {}
            Err(error) => return Err(error),
        }
    }
    pool.breaker.succeeded();
    Ok(Verdict::Settled(outcome(envelope)))
}

async fn apply(pool: &Pool, envelope: &Envelope) -> Option<Result<(), StoreError>> {
    if envelope.kind == EnvelopeKind::Edit {
        let (letter, body) = DeadLetterName::parse_edit(&envelope.body)?;
        let (edit, at) = (envelope.message_id, envelope.received_at);
        let edited = pool.store.edit_dead_letter(DeadLetterEdit { letter, edit, at, body }).await;
        return Some(edited.map(drop));
    }
    let letter = DeadLetterName::parse_discard(&envelope.body)?;
    let at = clock::now();
    Some(pool.store.end_dead_letters(vec![letter], Ending::Discarded, at).await)
}

/// Ends the dead letters whose replay succeeded; `false` if the Store refuses that.
pub(super) async fn end_replayed<'a>(
    pool: &Pool,
    done: impl Iterator<Item = (&'a Envelope, &'a Verdict)>,
) -> bool {
    let is_over = |verdict: &Verdict| matches!(verdict, Verdict::Settled(_) | Verdict::Unknown(_));
    // An envelope that was replayed n times was parked as generation n before.
    let replayed: Vec<_> = done
        .filter(|(envelope, verdict)| envelope.replays > 0 && is_over(verdict))
        .map(|(envelope, _)| DeadLetterName {
            message_id: envelope.message_id,
            generation: envelope.replays,
        })
        .collect();
    while !replayed.is_empty() {
        let ended =
            pool.store.end_dead_letters(replayed.clone(), Ending::Settled, clock::now()).await;
        match ended {
            Ok(()) => break,
            Err(error) if pool.breaker.waited_out(&error, BTreeSet::new()).await => {}
            Err(error) => {
                let error = causes(&error);
                tracing::error!(error, "the store refused the end of a dead letter");
                return false;
            }
        }
    }
    true
}
