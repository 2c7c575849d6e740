//! The types of the port for dead letters and replays.

use bytes::Bytes;

use crate::domain::dead_letter::{
    Counter, DeadLetterName, DeadLetterState, Fence, Parked, ReplayCounts, ReplayId, ReplayRecord,
    Slot,
};
use crate::domain::{Code, Identifier, MessageId, Site, Timestamp};
use crate::store::{DeadLetterFilter, Revision};

/// The state of a dead letter, and the revision that a commit of it must name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedDeadLetter {
    /// The message.
    pub id: MessageId,
    /// The token of this state.
    pub revision: Revision,
    /// The state.
    pub state: DeadLetterState,
    /// Its bodies as they are stored, if they were asked for.
    pub bodies: Vec<(Slot, Bytes)>,
}

/// A replay as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedReplay {
    /// Its id.
    pub id: ReplayId,
    /// The token of this record.
    pub revision: Revision,
    /// The record.
    pub record: ReplayRecord,
    /// Its counters.
    pub counts: ReplayCounts,
}

/// One step: written as a whole if nothing it was decided on has changed, else not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterCommit {
    /// The number under which this process must still run replays.
    pub fence: Option<Fence>,
    /// Writes of dead letters, at most one of each.
    pub letters: Vec<DeadLetterWrite>,
    /// A replay.
    pub replay: Option<ReplayWrite>,
    /// Additions to the counters of replays that still exist.
    pub counts: Vec<(ReplayId, Counter, u64)>,
}

/// A dead letter that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterWrite {
    /// The message.
    pub id: MessageId,
    /// What was read.
    pub before: Option<(Revision, DeadLetterState)>,
    /// The new state; `None` removes it.
    pub after: Option<DeadLetterState>,
    /// Bodies that are written or removed.
    pub bodies: Vec<(Slot, Option<Bytes>)>,
}

/// A replay that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayWrite {
    /// Its id.
    pub id: ReplayId,
    /// The revision that was read, and when the replay was made.
    pub before: Option<(Revision, Timestamp)>,
    /// The new record; `None` removes it with its list and counters.
    pub after: Option<ReplayRecord>,
    /// Whether the leader must process it.
    pub is_open: bool,
    /// The next part of its list.
    pub chunk: Option<(u32, Vec<DeadLetterName>)>,
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadLettersCommitted {
    /// It is written.
    Written,
    /// Something it was decided on has changed; nothing is written.
    Conflict,
    /// Another process leads; nothing is written.
    Fenced,
}

impl DeadLetterCommit {
    /// Whether it is written even on a server that is out of memory: it only removes, or a person
    /// edits a body so that it can go.
    pub fn is_written_when_full(&self) -> bool {
        let removes = |write: &DeadLetterWrite| {
            let is_edit = matches!(&*write.bodies, [(Slot::Edited, Some(_))]);
            is_edit
                || write.after.as_ref().is_none_or(|after| after.parked.is_none())
                    && write.bodies.iter().all(|(_, body)| body.is_none())
        };
        let is_stopped = |write: &ReplayWrite| write.chunk.is_none() && write.before.is_some();
        self.letters.iter().all(removes) && self.replay.as_ref().is_none_or(is_stopped)
    }
}

/// A dead letter's place among all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeadLetterPlace {
    /// The first failure.
    pub failed_at: Timestamp,
    /// The message.
    pub id: MessageId,
    /// The generation.
    pub generation: u32,
}

impl DeadLetterPlace {
    /// The place of a parked dead letter.
    pub const fn of(id: MessageId, parked: &Parked) -> Self {
        Self { failed_at: parked.failed_at, id, generation: parked.generation }
    }

    /// The place as text, of fixed length: texts sort as places do.
    pub fn to_text(self) -> String {
        let Self { failed_at, id, generation } = self;
        format!("{}.{id}.{generation:08x}", time_text(failed_at))
    }

    /// Reads what [`to_text`](Self::to_text) has written.
    pub fn parse(text: &str) -> Option<Self> {
        let (failed_at, rest) = text.split_once('.')?;
        let (id, generation) = rest.split_once('.')?;
        Some(Self {
            failed_at: parse_time(failed_at)?,
            id: MessageId(id.parse().ok()?),
            generation: u32::from_str_radix(generation, 16).ok()?,
        })
    }
}

/// Maps the least time to zero, so that digits sort as times do.
const SIGN: u64 = 1 << 63;

/// A time as text that sorts as times do.
pub(in crate::store) fn time_text(time: Timestamp) -> String {
    format!("{:016x}", time.micros().cast_unsigned() ^ SIGN)
}

fn parse_time(text: &str) -> Option<Timestamp> {
    let micros = u64::from_str_radix(text, 16).ok()? ^ SIGN;
    Some(Timestamp::from_micros(micros.cast_signed()))
}

impl DeadLetterFilter {
    /// Whether it selects a dead letter.
    pub fn selects(&self, id: MessageId, parked: &Parked) -> bool {
        let Self { reason, site, failed_before, ids } = self;
        reason.is_none_or(|reason| parked.rejection.code == reason)
            && site.as_ref().is_none_or(|site| parked.rejection.site.as_ref() == Some(site))
            && failed_before.is_none_or(|before| parked.failed_at < before)
            && (ids.is_empty() || ids.contains(&id))
    }
}

/// Dead letters with the same reason, site and event type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterGroup {
    /// Why.
    pub reason: Code,
    /// The site, as far as bodies were understood.
    pub site: Option<Site>,
    /// The event's name, as far as bodies were understood.
    pub event_type: Option<Identifier>,
    /// How many.
    pub letters: u64,
    /// The earliest first failure among them.
    pub oldest: Timestamp,
    /// The latest first failure among them.
    pub newest: Timestamp,
}

/// How much is parked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterTotals {
    /// Dead letters, by reason.
    pub letters: Vec<(Code, u64)>,
    /// What their bodies take, by the source that they came from.
    pub bytes: Vec<(String, u64)>,
}

/// A list of replays, each by the time at which they were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayList {
    /// Those that are being made.
    Making,
    /// Those that the leader must process.
    Open,
    /// Those that were made.
    Made,
}

/// A replay's place in a list.
pub type ReplayPlace = (Timestamp, ReplayId);

/// A replay's place as text that sorts as places do.
pub(in crate::store) fn replay_text((made_at, id): ReplayPlace) -> String {
    format!("{}.{id}", time_text(made_at))
}

/// Reads what [`replay_text`] has written.
pub(in crate::store) fn parse_replay(text: &str) -> Option<ReplayPlace> {
    let (made_at, id) = text.split_once('.')?;
    Some((parse_time(made_at)?, ReplayId(id.parse().ok()?)))
}
