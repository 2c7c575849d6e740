//! Replays above the port: making, showing, cancelling and forgetting.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Conflicts, DeadLetterCommit, DeadLetterWrite, DeadLettersCommitted, LoadedDeadLetter,
    LoadedReplay, ReplayList, ReplayWrite, check, port, rejected,
};
use crate::domain::dead_letter::{
    DeadLetterName, DeadLetterState, Fence, Replay, ReplayId, ReplayRecord, ReplayState, claim,
};
use crate::domain::{MessageId, Timestamp};
use crate::store::{NewReplay, Page, PageRequest, REPLAY_DEAD_LETTERS_MAX, Store, StoreError};

/// Dead letters that one step selects or sends.
pub(super) const STEP: usize = 500;
/// Replays per page.
const REPLAYS: usize = 100;

/// The result of changing a record.
pub(super) enum Changed {
    /// The record is as intended, now or already before.
    Is(Box<LoadedReplay>),
    /// There is no such replay.
    Unknown,
    /// Another process leads.
    Fenced,
}

impl dyn Store + '_ {
    /// Makes a replay of the dead letters that the filter selects now; each is in one replay at a
    /// time. More than [`REPLAY_DEAD_LETTERS_MAX`] are rejected.
    ///
    /// It goes in steps. If the process dies
    /// 1. before or between the steps that select: their dead letters belong to a replay that is
    ///    not shown. A minute after its last step, by the clock of the Store, the next process that
    ///    makes a replay or expires dead letters removes it in one commit, which frees them;
    /// 2. after the last step, before the answer: the replay runs.
    pub async fn make_replay(&self, new: NewReplay) -> Result<Replay, StoreError> {
        check(&new.filter)?;
        self.give_up_abandoned().await?;
        let record = ReplayRecord::making(new.made_at, new.pace, self.now().await?);
        let write = ReplayWrite {
            id: new.id,
            before: None,
            after: Some(record),
            is_open: false,
            chunk: None,
        };
        if self.commit_replay(None, write).await? != DeadLettersCommitted::Written {
            return Err(rejected(&format!("there is a replay {} already", new.id)));
        }
        let selected = self.select(&new).await;
        if selected.is_err() {
            // If this fails too, the replay is removed a minute later.
            self.change_replay(new.id, None, |_| Some(None)).await.ok();
        }
        selected?;
        let begin = |replay: &LoadedReplay| {
            (replay.record.state == ReplayState::Making).then(|| Some(replay.record.begun()))
        };
        match self.change_replay(new.id, None, begin).await? {
            Changed::Is(replay) => replay.view().ok_or_else(|| given_up(new.id)),
            Changed::Unknown | Changed::Fenced => Err(given_up(new.id)),
        }
    }

    /// Takes the selection into a replay that is being made.
    async fn select(&self, new: &NewReplay) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let mut page = self.list_dead_letters(&new.filter, after, STEP).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.place();
            let mut conflicts = Conflicts::new();
            while !self.take(new.id, &page).await? {
                conflicts.pause().await?;
                let ids: Vec<MessageId> = page.iter().map(|letter| letter.id).collect();
                page = self.load_dead_letters(&ids, false).await?.into_iter().flatten().collect();
            }
        }
    }

    /// Takes the free ones of a page; `false` on a conflict.
    async fn take(&self, id: ReplayId, page: &[LoadedDeadLetter]) -> Result<bool, StoreError> {
        let marks = page.iter().filter_map(|letter| letter.state.parked.as_ref()?.mark);
        let replays = self.replay_states(marks.map(|mark| mark.replay).collect()).await?;
        let (mut letters, mut names) = (Vec::new(), Vec::new());
        for letter in page {
            let Some(place) = letter.place() else { continue };
            let Some(after) = claim(&letter.state, place.generation, id, &replays) else {
                continue;
            };
            names.push(DeadLetterName { message_id: letter.id, generation: place.generation });
            letters.push(DeadLetterWrite::of_mark(letter, after));
        }
        if letters.is_empty() {
            return Ok(true);
        }
        let replay = self.load_replay(id).await?.ok_or_else(|| given_up(id))?;
        let record = replay.record.with_chunk(names.len(), self.now().await?);
        if record.selected > u64::try_from(REPLAY_DEAD_LETTERS_MAX).unwrap_or(u64::MAX) {
            let why = format!("more than {REPLAY_DEAD_LETTERS_MAX} letters; select fewer");
            return Err(rejected(&why));
        }
        let chunk = Some((replay.record.chunks, names));
        let write = ReplayWrite { chunk, ..replay.write(Some(record)) };
        let commit = DeadLetterCommit { letters, replay: Some(write), ..Default::default() };
        Ok(self.commit_dead_letter(commit).await? == DeadLettersCommitted::Written)
    }

    /// Reads a replay and its progress.
    pub async fn replay(&self, id: ReplayId) -> Result<Option<Replay>, StoreError> {
        Ok(self.load_replay(id).await?.and_then(|replay| replay.view()))
    }

    /// Lists replays by the time at which they were made, oldest first.
    pub async fn replays(&self, page: &PageRequest) -> Result<Page<Replay>, StoreError> {
        let after = page.after.as_deref().map(|cursor| {
            port::parse_replay(cursor).ok_or_else(|| rejected("the cursor is not one of this list"))
        });
        let limit = page.limit.min(super::ANSWER_MAX);
        let mut found = self.list_replays(ReplayList::Made, after.transpose()?, limit + 1).await?;
        let is_last = found.len() <= limit;
        found.truncate(limit);
        let last = found.last().filter(|_| !is_last);
        let next = last.map(|last| port::replay_text((last.record.made_at, last.id)));
        Ok(Page { items: found.iter().filter_map(LoadedReplay::view).collect(), next })
    }

    /// Cancels a replay: dead letters that were not sent are free again.
    pub async fn cancel_replay(&self, id: ReplayId) -> Result<Option<Replay>, StoreError> {
        let cancel = |replay: &LoadedReplay| replay.record.cancelled().map(Some);
        match self.change_replay(id, None, cancel).await? {
            Changed::Is(replay) => Ok(replay.view()),
            Changed::Unknown | Changed::Fenced => Ok(None),
        }
    }

    /// Returns the running replay that has a message's dead letter.
    pub async fn replay_of(&self, id: MessageId) -> Result<Option<ReplayId>, StoreError> {
        let found = self.load_dead_letters(&[id], false).await?.pop().flatten();
        let mark = found.and_then(|found| found.state.parked?.mark);
        let Some(mark) = mark else { return Ok(None) };
        let replay = self.replay(mark.replay).await?;
        let runs = replay.is_some_and(|replay| replay.state == ReplayState::Running);
        Ok(runs.then_some(mark.replay))
    }

    /// Reads the states of those replays that still exist.
    pub(super) async fn replay_states(
        &self,
        ids: BTreeSet<ReplayId>,
    ) -> Result<BTreeMap<ReplayId, ReplayState>, StoreError> {
        let mut states = BTreeMap::new();
        for id in ids {
            states.extend(self.load_replay(id).await?.map(|replay| (id, replay.record.state)));
        }
        Ok(states)
    }

    /// Removes unfinished replays whose makers died.
    pub(super) async fn give_up_abandoned(&self) -> Result<(), StoreError> {
        let now = self.now().await?;
        for replay in self.all_replays(ReplayList::Making).await? {
            let give_up = |replay: &LoadedReplay| replay.record.is_abandoned(now).then_some(None);
            self.change_replay(replay.id, None, give_up).await?;
        }
        Ok(())
    }

    /// Removes replays that were made before a time and do not run.
    pub(super) async fn forget_replays(&self, before: Timestamp) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = self.list_replays(ReplayList::Made, after, REPLAYS).await?;
            let is_old = |replay: &&LoadedReplay| replay.record.made_at < before;
            let old: Vec<&LoadedReplay> = page.iter().take_while(is_old).collect();
            let Some(last) = old.last() else { return Ok(()) };
            after = Some((last.record.made_at, last.id));
            let mut forgotten = false;
            for replay in &old {
                let forget = |replay: &LoadedReplay| {
                    (replay.record.state != ReplayState::Running).then_some(None)
                };
                let changed = self.change_replay(replay.id, None, forget).await?;
                forgotten |= matches!(changed, Changed::Unknown);
            }
            if forgotten {
                return Ok(());
            }
        }
    }

    pub(super) async fn all_replays(
        &self,
        list: ReplayList,
    ) -> Result<Vec<LoadedReplay>, StoreError> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self.list_replays(list, after, REPLAYS).await?;
            let is_last = page.len() < REPLAYS;
            after = page.last().map(|last| (last.record.made_at, last.id));
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Changes the record of a replay to what `change` returns for its current state: another
    /// record, none, or no change.
    pub(super) async fn change_replay(
        &self,
        id: ReplayId,
        fence: Option<Fence>,
        change: impl Fn(&LoadedReplay) -> Option<Option<ReplayRecord>> + Send + Sync,
    ) -> Result<Changed, StoreError> {
        let mut conflicts = Conflicts::new();
        loop {
            let Some(replay) = self.load_replay(id).await? else { return Ok(Changed::Unknown) };
            let Some(after) = change(&replay) else { return Ok(Changed::Is(Box::new(replay))) };
            match self.commit_replay(fence, replay.write(after.clone())).await? {
                DeadLettersCommitted::Written => {
                    return Ok(match after {
                        Some(record) => Changed::Is(Box::new(LoadedReplay { record, ..replay })),
                        None => Changed::Unknown,
                    });
                }
                DeadLettersCommitted::Fenced => return Ok(Changed::Fenced),
                DeadLettersCommitted::Conflict => conflicts.pause().await?,
            }
        }
    }

    async fn commit_replay(
        &self,
        fence: Option<Fence>,
        write: ReplayWrite,
    ) -> Result<DeadLettersCommitted, StoreError> {
        let commit = DeadLetterCommit { fence, replay: Some(write), ..Default::default() };
        self.commit_dead_letter(commit).await
    }

    pub(super) async fn commit_dead_letter(
        &self,
        commit: DeadLetterCommit,
    ) -> Result<DeadLettersCommitted, StoreError> {
        let committed = self.commit_dead_letters(vec![commit]).await?.pop();
        Ok(committed.unwrap_or(DeadLettersCommitted::Conflict))
    }
}

fn given_up(id: ReplayId) -> StoreError {
    let why = format!("making the replay {id} took too long; make it again");
    StoreError::Unavailable { source: why.into() }
}

impl DeadLetterWrite {
    /// A write of a dead letter that changes only its mark.
    pub(super) fn of_mark(letter: &LoadedDeadLetter, after: DeadLetterState) -> Self {
        let before = Some((letter.revision, letter.state.clone()));
        Self { id: letter.id, before, after: Some(after), bodies: Vec::new() }
    }
}

impl LoadedReplay {
    /// The replay as it is shown.
    pub(super) fn view(&self) -> Option<Replay> {
        self.record.view(self.id, &self.counts)
    }

    pub(super) fn write(&self, after: Option<ReplayRecord>) -> ReplayWrite {
        let is_open = after.as_ref().is_some_and(|after| after.is_open(&self.counts));
        let before = Some((self.revision, self.record.made_at));
        ReplayWrite { id: self.id, before, after, is_open, chunk: None }
    }
}
