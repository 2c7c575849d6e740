//! Dead letters and replays above the port: load, decide by the rules, commit, and retry on a
//! conflict.
//!
//! The rules are in [`crate::domain::dead_letter`]; a backend compares revisions, writes, and reads
//! lists. A change of a dead letter and what its replay counts for it are one commit. A call about
//! many dead letters may die half-way: repeating it changes nothing for those already done.

mod body;
mod command;
pub(in crate::store) mod port;
mod replays;
mod sending;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

pub use self::command::{DeadLetterEdit, NewReplay, REPLAY_DEAD_LETTERS_MAX};
pub use self::port::{
    DeadLetterCommit, DeadLetterGroup, DeadLetterPlace, DeadLetterTotals, DeadLetterWrite,
    DeadLettersCommitted, LoadedDeadLetter, LoadedReplay, ReplayList, ReplayPlace, ReplayWrite,
};
pub use self::sending::Unsent;
use super::{
    DeadLetter, DeadLetterFilter, DeadLetterSummary, Page, PageRequest, Store, StoreError,
};
use crate::broker::Envelope;
use crate::clock::{self, Delays};
use crate::domain::dead_letter::{
    Act, DeadLetterName, DeadLetterState, Ending, Incoming, Parked, ReplayId, ReplayState, Room,
    Slot, decide,
};
use crate::domain::{Code, MessageId, Timestamp};

/// The most message ids that one filter may name.
const FILTER_IDS_MAX: usize = 10_000;
/// The most items of one page, whatever the caller asks for.
const ANSWER_MAX: usize = 10_000;
/// Dead letters decided on at a time.
const STEP: usize = 256;
/// How many conflicts in a row are retried before the call fails.
const CONFLICTS_MAX: u32 = 40;
/// The first and the longest pause after a conflict.
const CONFLICT_PAUSE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(200));

/// Messages that there is no room for, and how many bytes each needs.
type Refused = Vec<(MessageId, u64)>;

/// Retries after conflicts, with growing pauses and a limit.
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
    /// Files dead letters. One whose message id and generation is or was parked changes nothing;
    /// one of a later generation replaces the earlier, and keeps its first failure and first body.
    pub async fn park(&self, letters: Vec<DeadLetter>) -> Result<(), StoreError> {
        self.act(parks(letters), clock::now(), None).await.map(drop)
    }

    /// As `park`, as far as there is room. Returns the messages that there is none for, with the
    /// bytes that each needs.
    pub async fn park_within(
        &self,
        letters: Vec<DeadLetter>,
        room: &Mutex<Room>,
    ) -> Result<Refused, StoreError> {
        let (now, mut waiting) = (clock::now(), Vec::new());
        self.act(parks(letters), now, Some((room, &mut waiting))).await?;
        Ok(waiting)
    }

    /// Ends dead letters: they and their earlier generations are removed and never parked again. A
    /// discard ends the whole message, including generations that fail later.
    pub async fn end_dead_letters(
        &self,
        letters: Vec<DeadLetterName>,
        ending: Ending,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let ids: Vec<_> = letters.iter().map(|letter| letter.message_id).collect();
        let acts = letters.into_iter().map(|DeadLetterName { message_id, generation }| {
            (message_id, Act::End { generation, ending })
        });
        match (self.act(acts.collect(), at, None).await, &*ids) {
            (Err(StoreError::Corrupt { .. }), [id]) if ending == Ending::Discarded => {
                self.discard_unreadable(*id, at).await
            }
            (done, _) => done.map(drop),
        }
    }

    /// Discards a dead letter whose state cannot be read; one that is readable is left alone.
    async fn discard_unreadable(&self, id: MessageId, at: Timestamp) -> Result<(), StoreError> {
        match self.load_dead_letters(&[id], false).await {
            Err(StoreError::Corrupt { .. }) => {
                self.overwrite_dead_letter(id, DeadLetterState::of_discarded(at)).await
            }
            loaded => loaded.map(drop),
        }
    }

    /// Returns those of the given messages that a person discarded.
    pub async fn discarded(&self, ids: &[MessageId]) -> Result<Vec<MessageId>, StoreError> {
        let found = self.load_dead_letters(ids, false).await?.into_iter().flatten();
        Ok(found.filter(|found| found.state.is_discarded()).map(|found| found.id).collect())
    }

    /// Gives a dead letter another body. It keeps its id and its first body. One that is parked
    /// later, also as a later generation, gets the new body then; one that has ended stays ended.
    /// Returns whether this edit or a later one is in effect, which it is not once the dead letter
    /// has ended.
    pub async fn edit_dead_letter(&self, edit: DeadLetterEdit) -> Result<bool, StoreError> {
        let DeadLetterEdit { letter, edit: id, at, body } = edit;
        let DeadLetterName { message_id, generation } = letter;
        let act = Act::Edit { generation, id, at, body: body::pack(&body) };
        if !self.act(vec![(message_id, act)], at, None).await?.is_empty() {
            return Ok(true);
        }
        // Somebody else has applied the command already.
        let found = self.load_dead_letters(&[message_id], false).await?.pop().flatten();
        Ok(found.is_some_and(|found| found.state.edit.is_some_and(|known| known.id >= id)))
    }

    /// Expires dead letters that first failed before a time and are in no replay, and forgets
    /// messages and replays that are as old. Returns the number of expired dead letters by reason.
    /// A call does a bounded part: nothing is left when it returns nothing.
    pub async fn expire_dead_letters(
        &self,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<(Code, u64)>, StoreError> {
        // This frees the dead letters of a replay whose maker died.
        self.give_up_abandoned().await?;
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
            // A page of which something remains is the last, or it would be read for ever.
            if self.act(acts.collect(), now, None).await?.len() < STEP {
                break;
            }
        }
        self.forget_replays(before).await?;
        Ok(expired.into_iter().collect())
    }

    /// Lists parked dead letters without their bodies, oldest first failure first. One that stays
    /// parked while pages are read is on exactly one of them.
    pub async fn dead_letters(
        &self,
        filter: &DeadLetterFilter,
        page: &PageRequest,
    ) -> Result<Page<DeadLetterSummary>, StoreError> {
        let after = page.after.as_deref().map(|cursor| {
            DeadLetterPlace::parse(cursor)
                .ok_or_else(|| rejected("the cursor is not one of this list"))
        });
        check(filter)?;
        let limit = page.limit.min(ANSWER_MAX);
        // One more than the limit shows that there is a next page.
        let mut found = self.list_dead_letters(filter, after.transpose()?, limit + 1).await?;
        let is_last = found.len() <= limit;
        found.truncate(limit);
        let last = found.last().and_then(LoadedDeadLetter::place);
        let next = last.filter(|_| !is_last).map(DeadLetterPlace::to_text);
        let items = found.into_iter().filter_map(|letter| {
            let parked = letter.state.parked.as_ref()?;
            let (_, is_edited) = letter.state.body(parked);
            let parked = letter.state.parked?;
            Some(DeadLetterSummary {
                is_edited,
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

    /// Reads one parked dead letter with its body.
    pub async fn dead_letter(&self, id: MessageId) -> Result<Option<DeadLetter>, StoreError> {
        let found = self.load_dead_letters(&[id], true).await?.pop().flatten();
        Ok(found.map(whole).transpose()?.flatten())
    }

    /// Reads which generation of a message is parked.
    pub async fn parked_generation(&self, id: MessageId) -> Result<Option<u32>, StoreError> {
        let found = self.load_dead_letters(&[id], false).await?.pop().flatten();
        Ok(found.and_then(|found| found.state.parked).map(|parked| parked.generation))
    }

    /// Counts the parked dead letters by reason.
    pub async fn dead_letter_counts(&self) -> Result<Vec<(Code, u64)>, StoreError> {
        Ok(self.dead_letter_totals().await?.letters)
    }

    /// Applies acts, each in a commit of its own and as far as there is room. Returns what was
    /// parked before of each dead letter that changed.
    async fn act(
        &self,
        mut acts: Vec<(MessageId, Act)>,
        now: Timestamp,
        mut room: Option<(&Mutex<Room>, &mut Refused)>,
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
                    let stored = step.after.as_ref().and_then(DeadLetterState::stored);
                    waiting.push((id, stored.map_or(0, |(_, bytes)| bytes)));
                    continue;
                }
                let was_parked = before.and_then(|before| before.parked.clone());
                let before = found.map(|found| (found.revision, found.state));
                let write = DeadLetterWrite { id, before, after: step.after, bodies: step.bodies };
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

    /// Reads the states of the replays that decide about acts.
    async fn replays_of<'a>(
        &self,
        acts: impl Iterator<Item = (&'a (MessageId, Act), &'a Option<LoadedDeadLetter>)>,
    ) -> Result<BTreeMap<ReplayId, ReplayState>, StoreError> {
        let mut ids = BTreeSet::new();
        for ((_, act), found) in acts {
            let parked = found.as_ref().and_then(|found| found.state.parked.as_ref());
            // Once a dead letter was sent, only its expiry depends on the replay.
            let asks = |act: &Act| matches!(act, Act::Expire { .. });
            let mark = parked.and_then(|parked| parked.mark);
            ids.extend(mark.filter(|mark| mark.round.is_none() || asks(act)).map(|it| it.replay));
        }
        self.replay_states(ids).await
    }
}

/// Takes the next acts to decide on: one of each message, so that the next one sees its effect.
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

fn parks(letters: Vec<DeadLetter>) -> Vec<(MessageId, Act)> {
    let park =
        |letter: DeadLetter| (letter.envelope.message_id, Act::Park(Box::new(incoming(letter))));
    letters.into_iter().map(park).collect()
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
        received: own.digest,
        own: own.digest,
        mark: None,
    };
    Incoming { parked, own, received }
}

/// A parked dead letter with its bodies.
fn whole(letter: LoadedDeadLetter) -> Result<Option<DeadLetter>, StoreError> {
    let LoadedDeadLetter { id, state, bodies, .. } = letter;
    let Some(parked) = &state.parked else { return Ok(None) };
    let (slot, is_other) = state.body(parked);
    let read = |slot: Slot| -> Result<Bytes, StoreError> {
        let digest = match (slot, &state.edit) {
            (Slot::Edited, Some(edit)) => &edit.body,
            (Slot::Own, _) => &parked.own,
            (Slot::Received | Slot::Edited, _) => &parked.received,
        };
        let stored = bodies.iter().find(|(at, _)| *at == slot).map(|(_, stored)| &**stored);
        body::unpack(id, digest, stored.unwrap_or_default())
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
