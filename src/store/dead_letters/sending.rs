//! Replays above the port, for the process that leads: what to send next, what was sent, and the
//! outcomes.

use super::replays::{Changed, STEP};
use super::{
    Conflicts, DeadLetterCommit, DeadLetterWrite, DeadLettersCommitted, LoadedDeadLetter,
    LoadedReplay, ReplayList, whole,
};
use crate::domain::dead_letter::{
    Counter, DeadLetterName, Fence, Position, Replay, ReplayId, ReplayRecord, ReplayState,
    conclude, fail_unsent, mark_sent,
};
use crate::domain::{MessageId, causes};
use crate::store::{DeadLetter, Store, StoreError};

/// Dead letters read together to find the next ones to send.
const READ_AHEAD: usize = 64;

/// Dead letters to be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unsent {
    /// The dead letters, in the order of the replay.
    pub letters: Vec<DeadLetter>,
    /// Those whose body cannot be read, each with the error.
    pub unreadable: Vec<(DeadLetterName, String)>,
    /// The place after the last of them.
    pub after: Position,
}

impl dyn Store + '_ {
    /// Lists replays that run or have dead letters without an outcome, oldest first.
    pub async fn open_replays(&self) -> Result<Vec<Replay>, StoreError> {
        let open = self.all_replays(ReplayList::Open).await?;
        Ok(open.iter().filter_map(LoadedReplay::view).collect())
    }

    /// Starts or continues to run replays for the leader of this number. Returns the number to
    /// write under, or `None` if a later leader runs them. It differs for every leader and after a
    /// restart of the server. Then dead letters that were sent and have no outcome count as unsent:
    /// they may not be in the queue, and sending them again is harmless.
    pub async fn run_replays(&self, leader: Fence) -> Result<Option<Fence>, StoreError> {
        let fence = self.lead_replays(leader).await?;
        let Some(fence) = fence else { return Ok(None) };
        for replay in self.all_replays(ReplayList::Open).await? {
            let restart = |replay: &LoadedReplay| replay.record.restarted(fence).map(Some);
            if restart(&replay).is_some()
                && let Changed::Fenced = self.change_replay(replay.id, Some(fence), restart).await?
            {
                return Ok(None);
            }
        }
        Ok(Some(fence))
    }

    /// The next dead letters of a running replay that were not sent in this round, at most `limit`;
    /// none if it has ended. Fewer only if there are no more, or hundreds.
    pub async fn unsent_dead_letters(
        &self,
        id: ReplayId,
        limit: usize,
    ) -> Result<Unsent, StoreError> {
        let Some(LoadedReplay { record, .. }) = self.load_replay(id).await? else {
            return Ok(Unsent::default());
        };
        let (mut wanted, mut at) = (Vec::new(), record.position);
        let limit = if record.state == ReplayState::Running { limit.min(STEP) } else { 0 };
        while at.chunk < record.chunks && wanted.len() < limit {
            let chunk = self.replay_chunk(id, at.chunk).await?;
            let index = usize::try_from(at.index).unwrap_or(usize::MAX);
            let rest = chunk.get(index..).unwrap_or_default();
            let read_ahead = rest.get(..READ_AHEAD).unwrap_or(rest);
            let ids: Vec<MessageId> = read_ahead.iter().map(|name| name.message_id).collect();
            let found = self.load_readable(&ids, false).await?;
            for (name, found) in read_ahead.iter().zip(found) {
                at.index += 1;
                let sends = |found: LoadedDeadLetter| {
                    mark_sent(&found.state, name.generation, id, record.round).is_some()
                };
                if found.is_some_and(sends) {
                    wanted.push(*name);
                }
                if wanted.len() == limit {
                    break;
                }
            }
            if usize::try_from(at.index).is_ok_and(|index| index >= chunk.len()) {
                at = Position { chunk: at.chunk + 1, index: 0 };
            }
        }
        let ids: Vec<MessageId> = wanted.iter().map(|name| name.message_id).collect();
        let found = self.load_readable(&ids, true).await?;
        let mut unsent = Unsent { after: at, ..Unsent::default() };
        for (name, found) in wanted.iter().zip(found) {
            match found.map(whole).transpose() {
                Ok(letter) => {
                    let letter = letter.flatten();
                    let is_same = |letter: &DeadLetter| letter.generation() == name.generation;
                    unsent.letters.extend(letter.filter(is_same));
                }
                Err(error) => unsent.unreadable.push((*name, causes(&error))),
            }
        }
        Ok(unsent)
    }

    /// Loads dead letters; one whose state cannot be read is as if it were not there.
    async fn load_readable(
        &self,
        ids: &[MessageId],
        with_bodies: bool,
    ) -> Result<Vec<Option<LoadedDeadLetter>>, StoreError> {
        match self.load_dead_letters(ids, with_bodies).await {
            Err(error) if error.is_of_data() => {}
            loaded => return loaded,
        }
        let mut loaded = Vec::with_capacity(ids.len());
        for id in ids {
            match self.load_dead_letters(&[*id], with_bodies).await {
                Ok(one) => loaded.extend(one),
                Err(error) if error.is_of_data() => {
                    let error = causes(&error);
                    tracing::error!(message_id = %id, error, "cannot send a dead letter; discard it");
                    loaded.push(None);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(loaded)
    }

    /// Counts dead letters that cannot be sent as failed and frees them; they stay parked. Returns
    /// `false`, and writes nothing, if another process leads.
    pub async fn fail_unsent(
        &self,
        id: ReplayId,
        fence: Fence,
        names: &[DeadLetterName],
    ) -> Result<bool, StoreError> {
        for name in names {
            let mut conflicts = Conflicts::new();
            loop {
                let found = self.load_dead_letters(&[name.message_id], false).await?;
                let Some(found) = found.into_iter().flatten().next() else { break };
                let failed = fail_unsent(&found.state, name.generation, id);
                let Some((after, counts)) = failed else { break };
                let commit = DeadLetterCommit {
                    fence: Some(fence),
                    letters: vec![DeadLetterWrite::of_mark(&found, after)],
                    counts: counts.into_iter().map(|(id, counter)| (id, counter, 1)).collect(),
                    replay: None,
                };
                match self.commit_dead_letter(commit).await? {
                    DeadLettersCommitted::Written => break,
                    DeadLettersCommitted::Fenced => return Ok(false),
                    DeadLettersCommitted::Conflict => conflicts.pause().await?,
                }
            }
        }
        Ok(true)
    }

    /// Records that dead letters were sent, and that those before a place need not be read again in
    /// this round. Returns `false`, and writes nothing, if another process leads.
    pub async fn record_sent(
        &self,
        id: ReplayId,
        fence: Fence,
        names: Vec<DeadLetterName>,
        after: Option<Position>,
    ) -> Result<bool, StoreError> {
        let ids: Vec<MessageId> = names.iter().map(|name| name.message_id).collect();
        let mut conflicts = Conflicts::new();
        loop {
            let replay = self.load_replay(id).await?;
            let mut commit = DeadLetterCommit { fence: Some(fence), ..Default::default() };
            if let Some(mut replay) = replay {
                let round = replay.record.round;
                let found = self.load_dead_letters(&ids, false).await?;
                for (name, found) in names.iter().zip(found) {
                    let Some(found) = found else { continue };
                    let after = mark_sent(&found.state, name.generation, id, round);
                    commit
                        .letters
                        .extend(after.map(|after| DeadLetterWrite::of_mark(&found, after)));
                }
                let sent = u64::try_from(commit.letters.len()).unwrap_or(u64::MAX);
                if sent > 0 {
                    commit.counts.push((id, Counter::Sent(round), sent));
                    *replay.counts.entry(Counter::Sent(round)).or_default() += sent;
                }
                let position = after.unwrap_or_default().max(replay.record.position);
                let record = ReplayRecord { position, ..replay.record.clone() };
                if sent > 0 || record != replay.record {
                    commit.replay = Some(replay.write(Some(record)));
                }
            }
            match self.commit_dead_letter(commit).await? {
                DeadLettersCommitted::Written => return Ok(true),
                DeadLettersCommitted::Fenced => return Ok(false),
                DeadLettersCommitted::Conflict => conflicts.pause().await?,
            }
        }
    }

    /// Ends the replay if it is done or too many dead letters failed again, and returns it. Returns
    /// `None`, and writes nothing, if another process leads.
    pub async fn record_outcomes(
        &self,
        id: ReplayId,
        fence: Fence,
    ) -> Result<Option<Replay>, StoreError> {
        let next = |replay: &LoadedReplay| {
            let LoadedReplay { record, counts, .. } = replay;
            let is_over = record.state != ReplayState::Making && !record.is_open(counts);
            let ended = conclude(record, counts).or_else(|| record.restarted(fence));
            // A stopped replay is written once more to leave the list of open ones.
            ended.or_else(|| is_over.then(|| record.clone())).map(Some)
        };
        match self.change_replay(id, Some(fence), next).await? {
            Changed::Is(replay) => Ok(replay.view()),
            Changed::Unknown | Changed::Fenced => Ok(None),
        }
    }
}
