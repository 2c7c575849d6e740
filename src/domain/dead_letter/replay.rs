//! A replay: what was asked for, how far it is, and when it is over.
//!
//! What became of its letters is counted beside the record, by whoever ends a letter: many do that
//! at once, and none of them reads the record for it. A letter that was sent counts for the round
//! in which it was sent. A new leader begins a new round: what the one before sent and
//! has no outcome counts as not sent, as nobody knows whether it is in the queue.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Fence, ReplayId};
use crate::domain::Timestamp;

/// A replay that is being made is taken for abandoned when nothing was done for so long.
const MAKING_IDLE_MICROS: i64 = 60_000_000;

/// How fast a replay goes, and when it gives up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// Letters a second; `None` is as fast as they are settled.
    pub rate: Option<u32>,
    /// Over so many milliseconds the rate rises from nothing.
    pub ramp_millis: u64,
    /// Sends no more once so many came back.
    pub abort_after: Option<u32>,
}

/// What a replay is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplayState {
    /// Its letters are being selected; nobody sees it.
    Making,
    /// It sends letters, or waits for what becomes of them.
    Running,
    /// Everything that it sent has its outcome.
    Done,
    /// Too many came back.
    Aborted,
    /// A person stopped it.
    Cancelled,
}

impl ReplayState {
    /// The state's name in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Making => "making",
            Self::Running => "running",
            Self::Done => "done",
            Self::Aborted => "aborted",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether its letters are its own. Once they are not, they never are again.
    pub const fn is_busy(self) -> bool {
        matches!(self, Self::Making | Self::Running)
    }
}

/// A place in the frozen list of a replay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The part of the list.
    pub chunk: u32,
    /// The letter in it.
    pub index: u32,
}

/// What is stored of a replay beside its list and its counters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayRecord {
    /// When it was asked for.
    pub made_at: Timestamp,
    /// How fast it goes.
    pub pace: Pace,
    /// What it is doing.
    pub state: ReplayState,
    /// Letters that were selected.
    pub selected: u64,
    /// In how many parts their list is.
    pub chunks: u32,
    /// When something was done last while it was made.
    pub touched_at: Timestamp,
    /// How often a leader began with it.
    pub round: u64,
    /// The leader who began this round.
    pub leader: Option<Fence>,
    /// Everything before it in the list was sent in this round, or has its outcome.
    pub position: Position,
}

/// What is counted of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counter {
    /// Letters that had a good outcome.
    Settled,
    /// Letters that came back.
    Failed,
    /// Letters that ended otherwise.
    Gone,
    /// Letters that were sent in a round.
    Sent(u64),
    /// Of those, letters that have their outcome.
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

/// What was counted of a replay; what is not there was not counted yet.
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
    /// Letters that were selected when it was made.
    pub selected: u64,
    /// Letters that were put back into the queue.
    pub sent: u64,
    /// Of those, letters that had a good outcome.
    pub settled: u64,
    /// Of those, letters that came back.
    pub failed: u64,
    /// Of those, letters that ended otherwise before they could be replayed.
    pub gone: u64,
    /// Whether a leader has begun with it.
    pub is_taken: bool,
}

impl Replay {
    /// Letters that were sent and have no outcome yet.
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

    /// With one more part of the list.
    #[must_use]
    pub fn with_chunk(&self, letters: usize, now: Timestamp) -> Self {
        let selected = self.selected + u64::try_from(letters).unwrap_or(u64::MAX);
        Self { selected, chunks: self.chunks + 1, touched_at: now, ..self.clone() }
    }

    /// Whether whoever made it has died.
    pub fn is_abandoned(&self, now: Timestamp) -> bool {
        self.state == ReplayState::Making && self.touched_at.plus_micros(MAKING_IDLE_MICROS) <= now
    }

    /// The replay once its letters are selected.
    #[must_use]
    pub fn begun(&self) -> Self {
        let state = if self.selected == 0 { ReplayState::Done } else { ReplayState::Running };
        Self { state, ..self.clone() }
    }

    /// The replay once a person stopped it; `None` if it does not run.
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

    /// Letters of this round without an outcome.
    pub fn open(&self, counts: &ReplayCounts) -> u64 {
        let count = |counter| counts.get(&counter).copied().unwrap_or(0);
        count(Counter::Sent(self.round)).saturating_sub(count(Counter::Ended(self.round)))
    }

    /// Whether somebody must look at it.
    pub fn is_open(&self, counts: &ReplayCounts) -> bool {
        self.state == ReplayState::Running || self.open(counts) > 0
    }

    /// The replay as people see it; `None` while it is being made.
    pub fn view(&self, id: ReplayId, counts: &ReplayCounts) -> Option<Replay> {
        let count = |counter| counts.get(&counter).copied().unwrap_or(0);
        let (settled, failed) = (count(Counter::Settled), count(Counter::Failed));
        let gone = count(Counter::Gone);
        let Self { made_at, pace, state, selected, .. } = *self;
        let sent = settled + failed + gone + self.open(counts);
        let is_taken = self.round > 0;
        let view =
            Replay { id, made_at, pace, state, selected, sent, settled, failed, gone, is_taken };
        (state != ReplayState::Making).then_some(view)
    }
}

/// Ends a replay that is due: `None` if it is not.
pub fn conclude(record: &ReplayRecord, counts: &ReplayCounts) -> Option<ReplayRecord> {
    let count = |counter| counts.get(&counter).copied().unwrap_or(0);
    let failed = count(Counter::Failed);
    let ended = count(Counter::Settled) + failed + count(Counter::Gone);
    let is_left = ended + record.open(counts) < record.selected;
    let too_many = record.pace.abort_after.is_some_and(|most| failed >= u64::from(most));
    let state = if too_many && is_left {
        ReplayState::Aborted
    } else if ended >= record.selected {
        ReplayState::Done
    } else {
        return None;
    };
    (record.state == ReplayState::Running).then(|| ReplayRecord { state, ..record.clone() })
}
