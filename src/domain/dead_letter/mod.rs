//! The rules of dead letters and their replays.
//!
//! A dead letter is an entity named by the id of its message: the parked generation, the last
//! generation that ended, the last edit, and the replay that has it. [`decide`] computes the new
//! state from a state and an act; a backend compares the revision that was read, and writes. A
//! replay is a record and a frozen list of names: [`ReplayRecord`] decides what it does next, and
//! [`Counter`]s count the outcomes of its dead letters.
//!
//! # Invariants
//! - At most one generation of a message is parked, and never one that has ended.
//! - An act done twice is the same as done once, as a step without an answer may have been written.
//! - The end of a dead letter and the count of its replay are one step, so no crash can separate
//!   them.

pub mod pace;
mod replay;
mod room;
mod state;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use replay::{
    Counter, Pace, Position, Replay, ReplayCounts, ReplayRecord, ReplayState, conclude,
};
pub use room::Room;
pub use state::{
    Act, Body, BodyDigest, DeadLetterState, Edit, Ended, Incoming, Parked, Slot, Step, claim,
    decide, fail_unsent, mark_sent,
};

use super::MessageId;

/// One life of a message that was put aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeadLetterName {
    /// The message.
    pub message_id: MessageId,
    /// Which life of it: 1, and one more for every replay.
    pub generation: u32,
}

/// How a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// It was replayed and had a good outcome.
    Settled,
    /// It was replayed and came back: the next generation stands in its place.
    Failed,
    /// A person discarded it.
    Discarded,
    /// It outlived its retention.
    Expired,
}

/// The id of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplayId(pub Uuid);

impl fmt::Display for ReplayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The replay that has a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The replay.
    pub replay: ReplayId,
    /// The round of the replay in which the dead letter was sent; `None` while it was not.
    pub round: Option<u64>,
}

/// The number of a leader: what an earlier leader writes is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub u64);
