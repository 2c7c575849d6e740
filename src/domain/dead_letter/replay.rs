//! A replay: what was requested, its progress, and when it ends.
//!
//! The outcomes of its dead letters are counted beside the record by whoever ends one: many do that
//! at once, and none has to read the record. A dead letter that was sent counts for the round in
//! which it was sent. A new leader begins a new round: what an earlier one sent and has no outcome
//! counts as unsent, as it may not be in the queue.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Fence, ReplayId};
use crate::domain::Timestamp;
use crate::domain::named::named;

/// A replay that is being made counts as abandoned after this long without a step.
const MAKING_IDLE_MICROS: i64 = 60_000_000;

/// How fast a replay goes, and when it gives up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// Dead letters a second; `None` for as fast as their outcomes come.
    pub rate: Option<u32>,
    /// The time in which the rate rises from zero, in milliseconds.
    pub ramp_millis: u64,
    /// Aborts once this many failed again.
    pub abort_after: Option<u32>,
}

named! {
    /// What a replay is doing.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum ReplayState {
        /// Its dead letters are being selected; it is not shown.
        Making = "making",
        /// It sends dead letters or waits for their outcomes.
        Running = "running",
        /// Everything that it sent has its outcome.
        Done = "done",
        /// Too many failed again.
        Aborted = "aborted",
        /// A person cancelled it.
        Cancelled = "cancelled",
    }
}

impl ReplayState {
    /// Whether it owns its dead letters. Once it does not, it never does again.
    pub const fn is_busy(self) -> bool {
        matches!(self, Self::Making | Self::Running)
    }
}

/// A place in the frozen list of a replay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The part of the list.
    pub chunk: u32,
    /// The place in that part.
    pub index: u32,
}

/// What is stored of a replay beside its list and its counters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayRecord {
    /// When it was requested.
    pub made_at: Timestamp,
    /// How fast it goes.
    pub pace: Pace,
    /// What it is doing.
    pub state: ReplayState,
    /// The number of selected dead letters.
    pub selected: u64,
    /// The number of parts of their list.
    pub chunks: u32,
    /// The time of the last step while it was made, by the Store's clock.
    pub touched_at: Timestamp,
    /// How many leaders have begun a round.
    pub round: u64,
    /// The leader who began this round.
    pub leader: Option<Fence>,
    /// Everything before this place in the list was sent in this round or has ended.
    pub position: Position,
}

/// What is counted of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counter {
    /// Dead letters that had a good outcome.
    Settled,
    /// Dead letters that failed again or could not be sent.
    Failed,
    /// Dead letters that ended otherwise.
    Gone,
    /// Dead letters that were sent in a round.
    Sent(u64),
    /// Of those, dead letters that have their outcome.
    Ended(u64),
}

impl Counter {
    /// The counter of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name.split_once('.') {
            None if name == "settled" => Self::Settled,
            None if name == "failed" => Self::Failed,
            None if name == "gone" => Self::Gone,
            Some(("sent", round)) => Self::Sent(round.parse().ok()?),
            Some(("ended", round)) => Self::Ended(round.parse().ok()?),
            Some(_) | None => return None,
        })
    }
}

/// The counter's name in backends.
impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settled => f.write_str("settled"),
            Self::Failed => f.write_str("failed"),
            Self::Gone => f.write_str("gone"),
            Self::Sent(round) => write!(f, "sent.{round}"),
            Self::Ended(round) => write!(f, "ended.{round}"),
        }
    }
}

/// The counters of a replay; those that are missing are 0.
pub type ReplayCounts = BTreeMap<Counter, u64>;

/// A replay, and how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replay {
    /// Its id.
    pub id: ReplayId,
    /// When it was made.
    pub made_at: Timestamp,
    /// How fast it goes.
    pub pace: Pace,
    /// What it is doing.
    pub state: ReplayState,
    /// Dead letters that were selected when it was made.
    pub selected: u64,
    /// Dead letters that were sent to the queue.
    pub sent: u64,
    /// Of those, dead letters that had a good outcome.
    pub settled: u64,
    /// Of those, dead letters that failed again, or could not be sent.
    pub failed: u64,
    /// Of those, dead letters that ended otherwise before they could be replayed.
    pub gone: u64,
    /// Whether a leader has begun with it.
    pub is_taken: bool,
}

impl Replay {
    /// Dead letters that were sent and have no outcome yet.
    pub const fn open(&self) -> u64 {
        self.sent.saturating_sub(self.settled + self.failed + self.gone)
    }
}

impl ReplayRecord {
    /// A replay that is being made.
    pub const fn making(made_at: Timestamp, pace: Pace, now: Timestamp) -> Self {
        Self {
            made_at,
            pace,
            state: ReplayState::Making,
            selected: 0,
            chunks: 0,
            touched_at: now,
            round: 0,
            leader: None,
            position: Position { chunk: 0, index: 0 },
        }
    }

    /// Adds a part of the list.
    #[must_use]
    pub fn with_chunk(&self, letters: usize, now: Timestamp) -> Self {
        let selected = self.selected + u64::try_from(letters).unwrap_or(u64::MAX);
        Self { selected, chunks: self.chunks + 1, touched_at: now, ..self.clone() }
    }

    /// Whether its maker has died.
    pub fn is_abandoned(&self, now: Timestamp) -> bool {
        self.state == ReplayState::Making && self.touched_at.plus_micros(MAKING_IDLE_MICROS) <= now
    }

    /// The replay once its dead letters are selected.
    #[must_use]
    pub fn begun(&self) -> Self {
        let state = if self.selected == 0 { ReplayState::Done } else { ReplayState::Running };
        Self { state, ..self.clone() }
    }

    /// The cancelled replay; `None` if it does not run.
    pub fn cancelled(&self) -> Option<Self> {
        let runs = self.state == ReplayState::Running;
        runs.then(|| Self { state: ReplayState::Cancelled, ..self.clone() })
    }

    /// The next round, for a leader who did not begin this one; `None` for others.
    pub fn restarted(&self, fence: Fence) -> Option<Self> {
        let is_due = self.state == ReplayState::Running && self.leader != Some(fence);
        is_due.then(|| Self {
            round: self.round + 1,
            leader: Some(fence),
            position: Position::default(),
            ..self.clone()
        })
    }

    /// Dead letters of this round without an outcome.
    pub fn open(&self, counts: &ReplayCounts) -> u64 {
        let count = |counter| counts.get(&counter).copied().unwrap_or(0);
        count(Counter::Sent(self.round)).saturating_sub(count(Counter::Ended(self.round)))
    }

    /// Whether the whole list was sent, as far as it could be read.
    const fn is_passed(&self) -> bool {
        self.chunks > 0 && self.position.chunk >= self.chunks
    }

    /// Whether the leader must process it.
    pub fn is_open(&self, counts: &ReplayCounts) -> bool {
        self.state == ReplayState::Running || self.open(counts) > 0
    }

    /// The replay as it is shown; `None` while it is being made.
    pub fn view(&self, id: ReplayId, counts: &ReplayCounts) -> Option<Replay> {
        let count = |counter| counts.get(&counter).copied().unwrap_or(0);
        let (settled, mut failed) = (count(Counter::Settled), count(Counter::Failed));
        let gone = count(Counter::Gone);
        if self.state == ReplayState::Done {
            // What could not even be read was not sent.
            failed = failed.max(self.selected.saturating_sub(settled + gone));
        }
        let Self { made_at, pace, state, selected, .. } = *self;
        let sent = settled + failed + gone + self.open(counts);
        let is_taken = self.round > 0;
        let view =
            Replay { id, made_at, pace, state, selected, sent, settled, failed, gone, is_taken };
        (state != ReplayState::Making).then_some(view)
    }
}

/// Ends a replay that is finished or must be aborted; `None` for others.
pub fn conclude(record: &ReplayRecord, counts: &ReplayCounts) -> Option<ReplayRecord> {
    let count = |counter| counts.get(&counter).copied().unwrap_or(0);
    let failed = count(Counter::Failed);
    let ended = count(Counter::Settled) + failed + count(Counter::Gone);
    let is_left = ended + record.open(counts) < record.selected;
    let too_many = record.pace.abort_after.is_some_and(|most| failed >= u64::from(most));
    let state = if too_many && is_left {
        ReplayState::Aborted
    } else if ended >= record.selected || (record.is_passed() && record.open(counts) == 0) {
        ReplayState::Done
    } else {
        return None;
    };
    (record.state == ReplayState::Running).then(|| ReplayRecord { state, ..record.clone() })
}
