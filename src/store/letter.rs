//! What happens to parked dead letters: names, edits, endings, groups and replays.
//!
//! A letter is (message id, generation). Each way to end one leaves a mark that says up to which
//! generation the message is over, so that a late copy of an old generation is not parked again.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::DeadLetterFilter;
use crate::domain::{Code, Identifier, MessageId, Site, Timestamp};

/// The most letters of one replay.
pub const REPLAY_LETTERS_MAX: usize = 100_000;

/// One life of a message that was put aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LetterName {
    /// The message.
    pub message_id: MessageId,
    /// Which life of it: 1, and one more for every replay.
    pub generation: u32,
}

/// How a letter's generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

impl Ending {
    /// The ending's name in backends.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Failed => "failed",
            Self::Discarded => "discarded",
            Self::Expired => "expired",
        }
    }
}

/// Another body for a letter, which a person wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterEdit {
    /// The letter; an edit also serves earlier generations, which a rebuild parks.
    pub letter: LetterName,
    /// The message that brought the edit: of two edits, the greater wins, whichever
    /// generations they were made for: a Store that was restored begins at an earlier one again.
    pub edit: MessageId,
    /// When it was made.
    pub at: Timestamp,
    /// The new body.
    pub body: Bytes,
}

/// The body of an envelope that edits or discards: as it stands in queue and journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LetterOrder {
    message_id: MessageId,
    generation: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

impl LetterName {
    /// The body of an envelope that edits this letter.
    pub fn edit_body(self, body: &[u8]) -> Bytes {
        let (text, base64) = match std::str::from_utf8(body) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(STANDARD.encode(body))),
        };
        self.order(text, base64)
    }

    /// The body of an envelope that discards this letter.
    pub fn discard_body(self) -> Bytes {
        self.order(None, None)
    }

    fn order(self, text: Option<String>, base64: Option<String>) -> Bytes {
        let Self { message_id, generation } = self;
        let order = LetterOrder { message_id, generation, text, base64 };
        serde_json::to_vec(&order).expect("texts and a number are always JSON").into()
    }

    /// Reads the body of an envelope that discards.
    pub fn parse_discard(body: &[u8]) -> Option<Self> {
        let order: LetterOrder = serde_json::from_slice(body).ok()?;
        let has_body = order.text.is_some() || order.base64.is_some();
        (!has_body).then_some(Self { message_id: order.message_id, generation: order.generation })
    }

    /// Reads the body of an envelope that edits: the letter, and its new body.
    pub fn parse_edit(body: &[u8]) -> Option<(Self, Bytes)> {
        let order: LetterOrder = serde_json::from_slice(body).ok()?;
        let body = match (order.text, order.base64) {
            (Some(text), None) => text.into(),
            (None, Some(base64)) => STANDARD.decode(base64).ok()?.into(),
            (Some(_), Some(_)) | (None, None) => return None,
        };
        Some((Self { message_id: order.message_id, generation: order.generation }, body))
    }
}

/// Dead letters that have reason, site and event's name in common.
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

/// The name of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplayId(pub Uuid);

impl std::fmt::Display for ReplayId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// How fast a replay goes, and when it gives up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    /// Letters a second; `None` is as fast as they are settled.
    pub rate: Option<u32>,
    /// Over so many milliseconds the rate rises from nothing.
    pub ramp_millis: u64,
    /// Sends no more once so many came back.
    pub abort_after: Option<u32>,
}

/// A replay that shall be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReplay {
    /// Its name.
    pub id: ReplayId,
    /// Which letters; those of a replay that is under way are left out.
    pub filter: DeadLetterFilter,
    /// How fast.
    pub pace: Pace,
    /// When it was asked for.
    pub made_at: Timestamp,
}

/// What a replay is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayState {
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
    /// The state's name in answers and backends.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Aborted => "aborted",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of that name.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::Running, Self::Done, Self::Aborted, Self::Cancelled];
        all.into_iter().find(|state| state.as_str() == name)
    }
}

/// A replay, and how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replay {
    /// Its name.
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
}

impl Replay {
    /// Letters that were sent and have no outcome yet.
    pub const fn open(&self) -> u64 {
        self.sent.saturating_sub(self.settled + self.failed + self.gone)
    }
}

/// The holder's number of a lease: what an earlier holder writes is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    const LETTER: LetterName = LetterName { message_id: MessageId(Uuid::nil()), generation: 3 };

    #[test]
    fn an_edit_carries_any_body_and_a_discard_none() {
        for body in [&b"{\"a\": 1}"[..], b"", b"\xff\0\xc3"] {
            let (letter, read) = LetterName::parse_edit(&LETTER.edit_body(body)).unwrap();
            assert_eq!((letter, &*read), (LETTER, body));
        }
        assert_eq!(LetterName::parse_discard(&LETTER.discard_body()), Some(LETTER));
    }

    #[test]
    fn what_is_of_another_form_is_no_order() {
        let edit = LETTER.edit_body(b"a");
        assert_eq!(LetterName::parse_discard(&edit), None);
        assert_eq!(LetterName::parse_edit(&LETTER.discard_body()), None);
        assert_eq!(LetterName::parse_edit(b"{}"), None);
        assert_eq!(LetterName::parse_discard(b"\xff"), None);
    }
}
