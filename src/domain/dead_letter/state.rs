//! The life of one dead letter: parked, edited, claimed by a replay, sent, ended, forgotten.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Counter, Ending, Mark, ReplayId, ReplayState};
use crate::domain::named::named;
use crate::domain::{EnvelopeKind, Fingerprint, MessageId, Rejection, Timestamp};

/// The state of a message that became a dead letter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterState {
    /// The generation that is parked.
    pub parked: Option<Parked>,
    /// The last generation that ended.
    pub ended: Option<Ended>,
    /// The last edit, which also applies to generations parked later.
    pub edit: Option<Edit>,
}

/// A generation that is parked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// Which life of the message.
    pub generation: u32,
    /// When the message failed first, in any generation.
    pub failed_at: Timestamp,
    /// How many attempts this generation had.
    pub attempts: u32,
    /// Why it became a dead letter.
    pub rejection: Rejection,
    /// What the envelope carries.
    pub kind: EnvelopeKind,
    /// When the body was received.
    pub received_at: Timestamp,
    /// The configured source that it came from.
    pub source: String,
    /// The W3C `traceparent` of the request that brought it.
    pub traceparent: Option<String>,
    /// The W3C `tracestate` beside it.
    pub tracestate: Option<String>,
    /// The first body of the message.
    pub received: BodyDigest,
    /// The body of this generation, which may be the same.
    pub own: BodyDigest,
    /// The replay that has it.
    pub mark: Option<Mark>,
}

/// The last generation of a message that ended, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The last generation that ended.
    pub generation: u32,
    /// How it ended.
    pub ending: Ending,
    /// When.
    pub at: Timestamp,
}

/// Another body for a dead letter, which a person wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// The message that carried it. Of two edits the greater id wins, whatever their generations,
    /// as a restored Store starts again at an earlier one.
    pub id: MessageId,
    /// When it was made.
    pub at: Timestamp,
    /// The body.
    pub body: BodyDigest,
}

/// What a state knows of a body that is stored beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyDigest {
    /// The fingerprint that identifies it.
    pub fingerprint: Fingerprint,
    /// Its length in bytes.
    pub bytes: u32,
    /// Its stored length, which counts against `dead_letters.bytes_max`.
    pub stored: u32,
}

impl BodyDigest {
    /// Whether two bodies are the same.
    pub fn is_same(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint && self.bytes == other.bytes
    }
}

/// A body as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// What the state knows of it.
    pub digest: BodyDigest,
    /// Its bytes, compressed.
    pub stored: Bytes,
}

named! {
    /// Where a body is stored beside its state.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Slot {
        /// The first body of the message.
        Received = "received",
        /// The body of the parked generation, if that is another.
        Own = "own",
        /// The body of the last edit.
        Edited = "edited",
    }
}

/// A dead letter to be parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The state to be parked, with the first failure as far as its sender knows.
    pub parked: Parked,
    /// Its body.
    pub own: Body,
    /// The first body, if that is known to differ.
    pub received: Option<Body>,
}

/// An act on a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// A generation arrives from the intake.
    Park(Box<Incoming>),
    /// A generation and those before it end.
    End {
        /// The last generation that is meant.
        generation: u32,
        /// How.
        ending: Ending,
    },
    /// A person gives it another body.
    Edit {
        /// The generation that the person saw.
        generation: u32,
        /// The message that brought the edit.
        id: MessageId,
        /// When it was made.
        at: Timestamp,
        /// The new body.
        body: Body,
    },
    /// It expires if it first failed before a time and no replay has it.
    Expire {
        /// The time.
        before: Timestamp,
    },
    /// What is remembered of a message that is not parked is forgotten, if older than a time.
    Forget {
        /// The time.
        before: Timestamp,
    },
}

/// What is to be written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// The new state; `None` if nothing of the message is kept.
    pub after: Option<DeadLetterState>,
    /// Bodies that are written or removed.
    pub bodies: Vec<(Slot, Option<Bytes>)>,
    /// The counters of a replay that go up.
    pub counts: Vec<(ReplayId, Counter)>,
}

/// Decides what an act changes; `None` if nothing. `replays` has the state of the replay in the
/// dead letter's mark, if that still exists.
pub fn decide(
    before: Option<&DeadLetterState>,
    act: &Act,
    now: Timestamp,
    replays: &BTreeMap<ReplayId, ReplayState>,
) -> Option<Step> {
    let state = before.cloned().unwrap_or_default();
    match act {
        Act::Park(incoming) => park(state, incoming, now),
        Act::End { generation, ending } => end(state, *generation, *ending, now, replays),
        Act::Edit { generation, id, at, body } => edit(state, *generation, (*id, *at), body),
        Act::Expire { before } => {
            let parked = state.parked.as_ref()?;
            if parked.failed_at >= *before || is_owned(parked, replays) {
                return None;
            }
            let generation = parked.generation;
            end(state, generation, Ending::Expired, now, replays)
        }
        Act::Forget { before } => {
            let is_old = state.idle_since().is_some_and(|since| since < *before);
            is_old.then(|| Step { bodies: removed(&Slot::ALL), ..Step::default() })
        }
    }
}

impl DeadLetterState {
    /// Whether a generation has ended. A discard also ends all later ones.
    fn is_over(&self, generation: u32) -> bool {
        self.is_discarded() || self.ended.is_some_and(|ended| ended.generation >= generation)
    }

    /// The state of a message that was discarded while its state could not be read.
    pub fn of_discarded(at: Timestamp) -> Self {
        let ended = Ended { generation: 1, ending: Ending::Discarded, at };
        Self { ended: Some(ended), ..Self::default() }
    }

    /// Whether a person discarded the message: no copy of it may be applied any more.
    pub fn is_discarded(&self) -> bool {
        self.ended.is_some_and(|ended| ended.ending == Ending::Discarded)
    }

    /// The time of the last act on a message that is not parked.
    pub fn idle_since(&self) -> Option<Timestamp> {
        if self.parked.is_some() {
            return None;
        }
        let edited = self.edit.map(|edit| edit.at);
        self.ended.map(|ended| ended.at).max(edited)
    }

    /// The slot of the body that a replay sends, and whether it differs from the first body.
    pub fn body(&self, parked: &Parked) -> (Slot, bool) {
        let (slot, body) = match self.edit {
            Some(edit) => (Slot::Edited, edit.body),
            None => (Slot::Own, parked.own),
        };
        let is_other = !body.is_same(&parked.received);
        (if is_other { slot } else { Slot::Received }, is_other)
    }

    /// The source of a parked dead letter and the bytes that its bodies take.
    pub fn stored(&self) -> Option<(&str, u64)> {
        let parked = self.parked.as_ref()?;
        let own = if parked.own.is_same(&parked.received) { 0 } else { parked.own.stored };
        let edited = self.edit.map_or(0, |edit| edit.body.stored);
        let bytes = [parked.received.stored, own, edited].map(u64::from).iter().sum();
        Some((&parked.source, bytes))
    }

    /// Records an ending, unless a later one is known.
    fn record_ended(&mut self, generation: u32, ending: Ending, at: Timestamp) {
        if generation > self.ended.map_or(0, |ended| ended.generation) {
            self.ended = Some(Ended { generation, ending, at });
        }
    }
}

fn park(mut state: DeadLetterState, incoming: &Incoming, now: Timestamp) -> Option<Step> {
    let mut parked = incoming.parked.clone();
    let generation = parked.generation;
    let is_there = state.parked.as_ref().is_some_and(|known| known.generation >= generation);
    // A replay that was killed may have sent a generation twice: where one copy settled it, it is
    // over, although the other copy failed.
    let is_settled = state.ended.is_some_and(|ended| {
        ended.ending == Ending::Settled && ended.generation.saturating_add(1) == generation
    });
    if is_there || is_settled || state.is_over(generation) {
        return None;
    }
    let (mut bodies, mut counts) = (Vec::new(), Vec::new());
    let earlier = state.parked.take();
    if let Some(earlier) = &earlier {
        parked.failed_at = parked.failed_at.min(earlier.failed_at);
        counts = outcome(earlier, Ending::Failed, &BTreeMap::new());
    }
    match (&incoming.received, earlier) {
        (Some(received), _) => {
            parked.received = received.digest;
            bodies.push((Slot::Received, Some(received.stored.clone())));
        }
        (None, Some(earlier)) => parked.received = earlier.received,
        (None, None) => {
            parked.received = incoming.own.digest;
            bodies.push((Slot::Received, Some(incoming.own.stored.clone())));
        }
    }
    parked.own = incoming.own.digest;
    let is_other = !parked.own.is_same(&parked.received);
    bodies.push((Slot::Own, is_other.then(|| incoming.own.stored.clone())));
    state.record_ended(generation.saturating_sub(1), Ending::Failed, now);
    state.parked = Some(parked);
    Some(Step { after: Some(state), bodies, counts })
}

fn end(
    mut state: DeadLetterState,
    generation: u32,
    ending: Ending,
    at: Timestamp,
    replays: &BTreeMap<ReplayId, ReplayState>,
) -> Option<Step> {
    let there = state.parked.as_ref().map(|parked| parked.generation);
    // If a replay overtook the discard, it is about the generation that failed again.
    let generation =
        if ending == Ending::Discarded { generation.max(there.unwrap_or(0)) } else { generation };
    if state.is_over(generation) {
        return None;
    }
    let mut step = Step::default();
    let ends = state.parked.take_if(|parked| parked.generation <= generation);
    if let Some(parked) = ends {
        let became = match ending {
            Ending::Settled if parked.generation < generation => Ending::Failed,
            Ending::Settled | Ending::Failed | Ending::Discarded | Ending::Expired => ending,
        };
        step.counts = outcome(&parked, became, replays);
        step.bodies = removed(&[Slot::Received, Slot::Own]);
    }
    // The next generation may still need the edit.
    if state.parked.is_none() && ending != Ending::Failed && state.edit.take().is_some() {
        step.bodies.extend(removed(&[Slot::Edited]));
    }
    state.record_ended(generation, ending, at);
    step.after = Some(state);
    Some(step)
}

fn edit(
    mut state: DeadLetterState,
    generation: u32,
    (id, at): (MessageId, Timestamp),
    body: &Body,
) -> Option<Step> {
    let there = state.parked.as_ref().map_or(0, |parked| parked.generation);
    if state.is_over(generation.max(there)) || state.edit.is_some_and(|known| known.id >= id) {
        return None;
    }
    state.edit = Some(Edit { id, at, body: body.digest });
    let bodies = vec![(Slot::Edited, Some(body.stored.clone()))];
    Some(Step { after: Some(state), bodies, counts: Vec::new() })
}

/// What a replay counts when one of its dead letters ends. One that ends unsent counts only while
/// the replay runs.
fn outcome(
    parked: &Parked,
    ending: Ending,
    replays: &BTreeMap<ReplayId, ReplayState>,
) -> Vec<(ReplayId, Counter)> {
    let Some(mark) = parked.mark else { return Vec::new() };
    let counter = match ending {
        Ending::Settled => Counter::Settled,
        Ending::Failed => Counter::Failed,
        Ending::Discarded | Ending::Expired => Counter::Gone,
    };
    match mark.round {
        Some(round) => vec![(mark.replay, counter), (mark.replay, Counter::Ended(round))],
        None if counter == Counter::Gone && !is_owned(parked, replays) => Vec::new(),
        None => vec![(mark.replay, counter)],
    }
}

/// Whether a replay owns the dead letter: the replay runs, or has sent it and still exists. A
/// replay that ended never runs again, so one write frees any number of dead letters.
fn is_owned(parked: &Parked, replays: &BTreeMap<ReplayId, ReplayState>) -> bool {
    parked.mark.is_some_and(|mark| {
        let replay = replays.get(&mark.replay);
        replay.is_some_and(|state| mark.round.is_some() || state.is_busy())
    })
}

/// Takes a dead letter into a replay, unless another owns it or that generation is not parked.
pub fn claim(
    state: &DeadLetterState,
    generation: u32,
    replay: ReplayId,
    replays: &BTreeMap<ReplayId, ReplayState>,
) -> Option<DeadLetterState> {
    let mut state = state.clone();
    let parked = state.parked.as_mut().filter(|parked| parked.generation == generation)?;
    if is_owned(parked, replays) {
        return None;
    }
    parked.mark = Some(Mark { replay, round: None });
    Some(state)
}

/// Marks a dead letter as sent in a round of the replay that has it; `None` if it is not to be
/// sent.
pub fn mark_sent(
    state: &DeadLetterState,
    generation: u32,
    replay: ReplayId,
    round: u64,
) -> Option<DeadLetterState> {
    let mut state = state.clone();
    let parked = state.parked.as_mut().filter(|parked| parked.generation == generation)?;
    let mark = parked.mark.as_mut().filter(|mark| mark.replay == replay)?;
    if mark.round == Some(round) {
        return None;
    }
    mark.round = Some(round);
    Some(state)
}

/// Takes a dead letter that cannot be sent out of its replay, which counts it as failed: it stays
/// parked. `None` if the replay does not have it.
pub fn fail_unsent(
    state: &DeadLetterState,
    generation: u32,
    replay: ReplayId,
) -> Option<(DeadLetterState, Vec<(ReplayId, Counter)>)> {
    let mut state = state.clone();
    let parked = state.parked.as_mut().filter(|parked| parked.generation == generation)?;
    parked.mark.filter(|mark| mark.replay == replay)?;
    let counts = outcome(parked, Ending::Failed, &BTreeMap::new());
    parked.mark = None;
    Some((state, counts))
}

fn removed(slots: &[Slot]) -> Vec<(Slot, Option<Bytes>)> {
    slots.iter().map(|slot| (*slot, None)).collect()
}
