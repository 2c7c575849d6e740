//! Dead letters and their replays: every rule about them.
//!
//! A dead letter is an entity by the id of its message: the generation that is parked, up to which
//! generation the message is over, the last edit, and the replay that has it. [`decide`] takes a
//! state and what happens to it, and says what shall stand there then; a backend compares the
//! revision that the state was read at, and writes. A replay is a record beside a frozen list of
//! names: [`ReplayRecord`] says what it does next, and [`Counter`]s say what became of its letters.
//!
//! # Invariants
//! - Of a message at most one generation is parked, and never one that is over.
//! - What happens twice is the same as once: nobody can know whether a step without an answer was
//!   written.
//! - The end of a letter and the count of its replay are in one step, so that no kill can come
//!   between them.

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
    Act, Body, BodyNote, DeadLetterState, Edit, Ended, Incoming, Parked, Slot, Step, claim, decide,
    fail_unsent, is_held, mark_sent,
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

/// The replay that has a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The replay.
    pub replay: ReplayId,
    /// The round of the replay in which the letter was sent; `None` while it was not.
    pub round: Option<u64>,
}

/// The number of a leader: what an earlier leader writes is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub u64);
