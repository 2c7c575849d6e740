//! Dead letters and replays above the port: read, decide by the rules, commit, and again if
//! somebody was faster.
//!
//! The rules are in [`crate::domain::dead_letter`]; a backend compares revisions, writes, and
//! reads lists. What happens to a letter is one commit, with what a replay counts for it. Calls
//! about many letters may die in between: some are done, and doing all again changes nothing for
//! those.

mod body;
mod port;
mod replays;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

pub use self::port::{
    DeadLetterCommit, DeadLetterGroup, DeadLetterPlace, DeadLetterTotals, DeadLettersCommitted,
    LetterWrite, LoadedDeadLetter, LoadedReplay, ReplayList, ReplayPlace, ReplayWrite,
};
pub use self::replays::Unsent;
use super::{
    DeadLetter, DeadLetterFilter, DeadLetterSummary, LetterEdit, Page, PageRequest, Store,
    StoreError,
};
use crate::broker::Envelope;
use crate::clock::{self, Delays};
use crate::domain::dead_letter::{
    Act, DeadLetterState, Ending, Incoming, LetterName, Parked, ReplayId, ReplayState, Room, Slot,
    decide,
};
use crate::domain::{Code, MessageId, Timestamp};

/// The most message ids that one filter may name.
const FILTER_IDS_MAX: usize = 10_000;
/// At most so many items are read for one answer, whatever was asked for.
const ANSWER_MAX: usize = 10_000;
/// Letters that are decided on at a time.
const STEP: usize = 256;
/// How often somebody else may be faster before it is said that there is something wrong.
const CONFLICTS_MAX: u32 = 40;
/// The pause after a conflict, and how long it may grow.
const CONFLICT_PAUSE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(200));

/// Goes on after conflicts, each time a little later, and not for ever.
#[derive(Debug)]
struct Conflicts {
    delays: Delays,
    left: u32,
}

impl Conflicts {
    fn new() -> Self {
        let (first, most) = CONFLICT_PAUSE;
        Self { delays: Delays::new(first, most), left: CONFLICTS_MAX }
    }

    async fn pause(&mut self) -> Result<(), StoreError> {
        let left = self.left.checked_sub(1);
        self.left = left.ok_or_else(|| StoreError::Unavailable {
            source: "others write the same dead letters all the while".into(),
        })?;
        tokio::time::sleep(self.delays.next()).await;
        Ok(())
    }
}

impl dyn Store + '_ {
    /// Files dead letters. One whose message id and generation are there already, or were there,
    /// changes nothing; one of a later generation takes the place of the earlier, and keeps its
    /// first failure and first body.
    pub async fn park(&self, letters: Vec<DeadLetter>) -> Result<(), StoreError> {
        let acts = letters
            .into_iter()
            .map(|letter| (letter.envelope.message_id, Act::Park(Box::new(incoming(letter)))));
        self.act(acts.collect(), clock::now(), None).await.map(drop)
    }

    /// As `park`, as far as there is room; answers with the messages that there is
    /// none for.
    pub async fn park_within(
        &self,
        letters: Vec<DeadLetter>,
        room: &Mutex<Room>,
    ) -> Result<Vec<MessageId>, StoreError> {
        let acts = letters
            .into_iter()
            .map(|letter| (letter.envelope.message_id, Act::Park(Box::new(incoming(letter)))));
        let (now, mut waiting) = (clock::now(), Vec::new());
        self.act(acts.collect(), now, Some((room, &mut waiting))).await?;
        Ok(waiting)
    }

    /// Ends letters: they and their earlier generations go, and are never parked again. A discard
    /// ends the message: also a generation that came back meanwhile, or will.
    pub async fn end_letters(
        &self,
        letters: Vec<LetterName>,
        ending: Ending,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let acts = letters.into_iter().map(|LetterName { message_id, generation }| {
            (message_id, Act::End { generation, ending })
        });
        self.act(acts.collect(), at, None).await.map(drop)
    }

    /// Gives a letter another body. It keeps its id and its first body; one that is parked later
    /// gets the new body then, also as a later generation, and one that has ended stays ended.
    /// Answers with whether it stands, or a later edit does: not of one that has ended.
    pub async fn edit_letter(&self, edit: LetterEdit) -> Result<bool, StoreError> {
        let LetterEdit { letter, edit: id, at, body } = edit;
        let LetterName { message_id, generation } = letter;
        let act = Act::Edit { generation, id, at, body: body::pack(&body) };
        if !self.act(vec![(message_id, act)], at, None).await?.is_empty() {
            return Ok(true);
        }
        // Whoever came to the command first has done it.
        let found = self.load_dead_letters(&[message_id], false).await?.pop().flatten();
        Ok(found.is_some_and(|found| found.state.edit.is_some_and(|known| known.id >= id)))
    }

    /// Ends letters that failed first before a time and are in no replay, and forgets messages and
    /// replays that are as old. Answers with how many letters those were, for each reason; a
    /// bounded number a call, so nothing is left when it answers with none.
    pub async fn expire_letters(
        &self,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<(Code, u64)>, StoreError> {
        // Letters of a replay whose maker died are in none.
        self.give_up_abandoned(now).await?;
        let old = DeadLetterFilter { failed_before: Some(before), ..DeadLetterFilter::default() };
        let (mut expired, mut after) = (BTreeMap::new(), None);
        while expired.is_empty() {
            let page = self.list_dead_letters(&old, after, STEP).await?;
            let Some(last) = page.last() else { break };
            after = last.place();
            let acts = page.iter().map(|letter| (letter.id, Act::Expire { before }));
            for parked in self.act(acts.collect(), now, None).await?.into_iter().flatten() {
                *expired.entry(parked.rejection.code).or_default() += 1;
            }
        }
        loop {
            let ended = self.ended_dead_letters(before, STEP).await?;
            let acts = ended.into_iter().map(|letter| (letter.id, Act::Forget { before }));
            // A page of which something stays is the last: it would be read for ever.
            if self.act(acts.collect(), now, None).await?.len() < STEP {
                break;
            }
        }
        self.forget_replays(before).await?;
        Ok(expired.into_iter().collect())
    }

    /// Parked dead letters, oldest first failure first, without their bodies. One that is parked
    /// all the while that pages are read is on exactly one of them.
    pub async fn dead_letters(
        &self,
        filter: &DeadLetterFilter,
        page: &PageRequest,
    ) -> Result<Page<DeadLetterSummary>, StoreError> {
        let after = page.after.as_deref().map(|cursor| {
            DeadLetterPlace::parse_cursor(cursor)
                .ok_or_else(|| rejected("the cursor is not one of this list"))
        });
        check(filter)?;
        let limit = page.limit.min(ANSWER_MAX);
        // One more than asked for says that there is a next page.
        let mut found = self.list_dead_letters(filter, after.transpose()?, limit + 1).await?;
        let is_last = found.len() <= limit;
        found.truncate(limit);
        let last = found.last().and_then(LoadedDeadLetter::place);
        let next = last.filter(|_| !is_last).map(DeadLetterPlace::to_cursor);
        let items = found.into_iter().filter_map(|letter| {
            let parked = letter.state.parked?;
            Some(DeadLetterSummary {
                id: letter.id,
                generation: parked.generation,
                rejection: parked.rejection,
                failed_at: parked.failed_at,
                attempts: parked.attempts,
                replays: parked.generation.saturating_sub(1),
            })
        });
        Ok(Page { items: items.collect(), next })
    }

    /// One parked dead letter with its body.
    pub async fn dead_letter(&self, id: MessageId) -> Result<Option<DeadLetter>, StoreError> {
        let found = self.load_dead_letters(&[id], true).await?.pop().flatten();
        Ok(found.map(whole).transpose()?.flatten())
    }

    /// How many dead letters are parked for each reason.
    pub async fn dead_letter_counts(&self) -> Result<Vec<(Code, u64)>, StoreError> {
        Ok(self.dead_letter_totals().await?.letters)
    }

    /// Does what happens to letters, each by itself and as far as there is room; answers with what
    /// was parked of those that it changed.
    async fn act(
        &self,
        mut acts: Vec<(MessageId, Act)>,
        now: Timestamp,
        mut room: Option<(&Mutex<Room>, &mut Vec<MessageId>)>,
    ) -> Result<Vec<Option<Parked>>, StoreError> {
        let (mut done, mut conflicts) = (Vec::new(), Conflicts::new());
        while !acts.is_empty() {
            let turn = take_turn(&mut acts);
            let ids: Vec<MessageId> = turn.iter().map(|(id, _)| *id).collect();
            let found = self.load_dead_letters(&ids, false).await?;
            let replays = self.replays_of(turn.iter().zip(&found)).await?;
            let (mut commits, mut open) = (Vec::new(), Vec::new());
            for ((id, act), found) in turn.into_iter().zip(found) {
                let before = found.as_ref().map(|found| &found.state);
                let Some(step) = decide(before, &act, now, &replays) else { continue };
                if let Some((room, waiting)) = &mut room
                    && !takes(room, before, step.after.as_ref())
                {
                    waiting.push(id);
                    continue;
                }
                let was_parked = before.and_then(|before| before.parked.clone());
                let before = found.map(|found| (found.revision, found.state));
                let write = LetterWrite { id, before, after: step.after, bodies: step.bodies };
                let counts = step.counts.into_iter();
                commits.push(DeadLetterCommit {
                    letters: vec![write],
                    counts: counts.map(|(replay, counter)| (replay, counter, 1)).collect(),
                    ..DeadLetterCommit::default()
                });
                open.push((id, act, was_parked));
            }
            let written = self.commit_dead_letters(commits).await?;
            let mut again = Vec::new();
            for ((id, act, was_parked), written) in open.into_iter().zip(written) {
                if written == DeadLettersCommitted::Written {
                    done.push(was_parked);
                } else {
                    again.push((id, act));
                }
            }
            if !again.is_empty() {
                conflicts.pause().await?;
                again.append(&mut acts);
                acts = again;
            }
        }
        Ok(done)
    }

    /// The states of the replays that acts on letters are decided by.
    async fn replays_of<'a>(
        &self,
        acts: impl Iterator<Item = (&'a (MessageId, Act), &'a Option<LoadedDeadLetter>)>,
    ) -> Result<BTreeMap<ReplayId, ReplayState>, StoreError> {
        let mut ids = BTreeSet::new();
        for ((_, act), found) in acts {
            let parked = found.as_ref().and_then(|found| found.state.parked.as_ref());
            // Of a letter that was sent only the expiry asks.
            let asks = |act: &Act| matches!(act, Act::Expire { .. });
            let mark = parked.and_then(|parked| parked.mark);
            ids.extend(mark.filter(|mark| mark.round.is_none() || asks(act)).map(|it| it.replay));
        }
        self.replay_states(ids).await
    }
}

/// Takes the next acts to decide on: of each message the first, so that the others see what it did.
fn take_turn(acts: &mut Vec<(MessageId, Act)>) -> Vec<(MessageId, Act)> {
    let (mut turn, mut later, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (id, act) in acts.drain(..) {
        let is_next = turn.len() < STEP && seen.insert(id);
        if is_next { &mut turn } else { &mut later }.push((id, act));
    }
    *acts = later;
    turn
}

fn takes(
    room: &Mutex<Room>,
    before: Option<&DeadLetterState>,
    after: Option<&DeadLetterState>,
) -> bool {
    room.lock().unwrap_or_else(PoisonError::into_inner).takes(before, after)
}

fn rejected(why: &str) -> StoreError {
    StoreError::Rejected { source: why.into() }
}

fn check(filter: &DeadLetterFilter) -> Result<(), StoreError> {
    let count = filter.ids.len();
    if count > FILTER_IDS_MAX {
        let why = format!("{count} message ids in one filter; the most is {FILTER_IDS_MAX}");
        return Err(rejected(&why));
    }
    Ok(())
}

impl LoadedDeadLetter {
    /// Its place in lists, if it is parked.
    fn place(&self) -> Option<DeadLetterPlace> {
        self.state.parked.as_ref().map(|parked| DeadLetterPlace::of(self.id, parked))
    }
}

fn incoming(letter: DeadLetter) -> Incoming {
    let own = body::pack(&letter.envelope.body);
    let received = letter.original.as_deref().map(body::pack);
    let generation = letter.generation();
    let Envelope { kind, received_at, source, traceparent, tracestate, .. } = letter.envelope;
    let parked = Parked {
        generation,
        failed_at: letter.failed_at,
        attempts: letter.attempts,
        rejection: letter.rejection,
        kind,
        received_at,
        source,
        traceparent,
        tracestate,
        received: own.note,
        own: own.note,
        mark: None,
    };
    Incoming { parked, own, received }
}

/// A parked letter with its bodies.
fn whole(letter: LoadedDeadLetter) -> Result<Option<DeadLetter>, StoreError> {
    let LoadedDeadLetter { id, state, bodies, .. } = letter;
    let Some(parked) = &state.parked else { return Ok(None) };
    let (slot, is_other) = state.body(parked);
    let read = |slot: Slot| -> Result<Bytes, StoreError> {
        let note = match (slot, &state.edit) {
            (Slot::Edited, Some(edit)) => &edit.body,
            (Slot::Own, _) => &parked.own,
            (Slot::Received | Slot::Edited, _) => &parked.received,
        };
        let stored = bodies.iter().find(|(at, _)| *at == slot).map(|(_, stored)| &**stored);
        body::unpack(id, note, stored.unwrap_or_default())
    };
    let body = read(slot)?;
    let original = if is_other { Some(read(Slot::Received)?) } else { None };
    let envelope = Envelope {
        message_id: id,
        kind: parked.kind,
        received_at: parked.received_at,
        source: parked.source.clone(),
        replays: parked.generation.saturating_sub(1),
        traceparent: parked.traceparent.clone(),
        tracestate: parked.tracestate.clone(),
        body,
    };
    let Parked { rejection, failed_at, attempts, .. } = parked.clone();
    Ok(Some(DeadLetter { envelope, rejection, failed_at, attempts, original }))
}
