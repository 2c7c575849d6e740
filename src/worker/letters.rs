//! What people decided about dead letters, and what became of letters that were replayed.
//!
//! Edits and discards come through the queue as webhooks do, so that a rebuild repeats them. Both
//! are noted in the Store beside the letter, which may not be parked yet.
//!
//! Dies after the Store was told, before the delivery is settled: it is told again, which changes
//! nothing. A replayed envelope is told to be over after its event is committed and before it is
//! settled, so its letter goes only when nothing can be lost.

use super::Pool;
use super::batch::Verdict;
use crate::broker::{Envelope, EnvelopeKind};
use crate::clock;
use crate::domain::{Code, Outcome, Reason, Rejection, Settled};
use crate::store::{Ending, LetterEdit, LetterName, StoreError};

/// What becomes of an envelope that is about a dead letter; `None` for one that is an event.
pub fn outcome_of_order(envelope: &Envelope) -> Option<Result<Settled, Rejection>> {
    let is_readable = match envelope.kind {
        EnvelopeKind::Edit => LetterName::parse_edit(&envelope.body).is_some(),
        EnvelopeKind::Discard => LetterName::parse_discard(&envelope.body).is_some(),
        EnvelopeKind::Webhook | EnvelopeKind::Receipt | EnvelopeKind::Correction => return None,
    };
    Some(if is_readable { Ok(noted(envelope)) } else { Err(misread()) })
}

/// Whether an envelope is about a dead letter, and no event.
pub(super) const fn concerns_letter(envelope: &Envelope) -> bool {
    reason(envelope).is_some()
}

/// Why an envelope that is about a dead letter is counted apart from events.
const fn reason(envelope: &Envelope) -> Option<Reason> {
    match envelope.kind {
        EnvelopeKind::Edit => Some(Reason::Edited),
        EnvelopeKind::Discard => Some(Reason::Discarded),
        EnvelopeKind::Webhook | EnvelopeKind::Receipt | EnvelopeKind::Correction => None,
    }
}

const fn noted(envelope: &Envelope) -> Settled {
    Settled { outcome: Outcome::Applied, reason: reason(envelope) }
}

fn misread() -> Rejection {
    Rejection::new(Code::EditInvalid, "the body does not match its type")
}

/// Notes an edit or a discard in the Store; a Store that is away is waited for.
pub(super) async fn process(pool: &Pool, envelope: &Envelope) -> Result<Verdict, StoreError> {
    loop {
        let Some(noted) = note(pool, envelope).await else {
            return Ok(Verdict::Rejected(Box::new(misread())));
        };
        match noted {
            Ok(()) => break,
            Err(error) if error.is_transient() => pool.breaker.wait_out(&error).await,
            Err(error) => return Err(error),
        }
    }
    pool.breaker.succeeded();
    Ok(Verdict::Settled(noted(envelope)))
}

async fn note(pool: &Pool, envelope: &Envelope) -> Option<Result<(), StoreError>> {
    if envelope.kind == EnvelopeKind::Edit {
        let (letter, body) = LetterName::parse_edit(&envelope.body)?;
        let (edit, at) = (envelope.message_id, envelope.received_at);
        let edited = pool.store.edit_letter(LetterEdit { letter, edit, at, body }).await;
        return Some(edited.map(drop));
    }
    let letter = LetterName::parse_discard(&envelope.body)?;
    let at = clock::now();
    Some(pool.store.end_letters(vec![letter], Ending::Discarded, at).await)
}

/// Ends the letters whose replay had a good outcome; `false` if the Store will not have it.
pub(super) async fn end_replayed<'a>(
    pool: &Pool,
    done: impl Iterator<Item = (&'a Envelope, &'a Verdict)>,
) -> bool {
    let is_over = |verdict: &Verdict| matches!(verdict, Verdict::Settled(_) | Verdict::Unknown(_));
    // An envelope that was replayed n times was parked as generation n before.
    let replayed: Vec<_> = done
        .filter(|(envelope, verdict)| envelope.replays > 0 && is_over(verdict))
        .map(|(envelope, _)| LetterName {
            message_id: envelope.message_id,
            generation: envelope.replays,
        })
        .collect();
    while !replayed.is_empty() {
        let ended = pool.store.end_letters(replayed.clone(), Ending::Settled, clock::now()).await;
        match ended {
            Ok(()) => break,
            Err(error) if error.is_transient() => pool.breaker.wait_out(&error).await,
            Err(error) => {
                tracing::error!(%error, "the store refused the end of a dead letter");
                return false;
            }
        }
    }
    true
}
