//! What people order: edits and discards as they travel, and new replays.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::domain::{MessageId, Timestamp};
use crate::store::{DeadLetterFilter, DeadLetterName, Pace, ReplayId};

/// The limit of dead letters in one replay.
pub const REPLAY_DEAD_LETTERS_MAX: usize = 100_000;

/// Another body for a dead letter, which a person wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterEdit {
    /// The dead letter; the edit also applies to earlier generations, which a rebuild parks.
    pub letter: DeadLetterName,
    /// The message that carried the edit. Of two edits the greater id wins, whatever their
    /// generations, as a restored Store starts again at an earlier one.
    pub edit: MessageId,
    /// When it was made.
    pub at: Timestamp,
    /// The new body.
    pub body: Bytes,
}

/// The body of an envelope that edits or discards, as it is in queue and journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandBody {
    message_id: MessageId,
    generation: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

impl DeadLetterName {
    /// The body of an envelope that edits this dead letter.
    pub fn edit_body(self, body: &[u8]) -> Bytes {
        let (text, base64) = match std::str::from_utf8(body) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(STANDARD.encode(body))),
        };
        self.order(text, base64)
    }

    /// The body of an envelope that discards this dead letter.
    pub fn discard_body(self) -> Bytes {
        self.order(None, None)
    }

    fn order(self, text: Option<String>, base64: Option<String>) -> Bytes {
        let Self { message_id, generation } = self;
        let order = CommandBody { message_id, generation, text, base64 };
        serde_json::to_vec(&order).expect("texts and a number are always JSON").into()
    }

    /// Reads the body of an envelope that discards.
    pub fn parse_discard(body: &[u8]) -> Option<Self> {
        let order: CommandBody = serde_json::from_slice(body).ok()?;
        let has_body = order.text.is_some() || order.base64.is_some();
        (!has_body).then_some(Self { message_id: order.message_id, generation: order.generation })
    }

    /// Reads the body of an envelope that edits: the dead letter, and its new body.
    pub fn parse_edit(body: &[u8]) -> Option<(Self, Bytes)> {
        let order: CommandBody = serde_json::from_slice(body).ok()?;
        let body = match (order.text, order.base64) {
            (Some(text), None) => text.into(),
            (None, Some(base64)) => STANDARD.decode(base64).ok()?.into(),
            (Some(_), Some(_)) | (None, None) => return None,
        };
        Some((Self { message_id: order.message_id, generation: order.generation }, body))
    }
}

/// A replay to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReplay {
    /// Its id.
    pub id: ReplayId,
    /// Which dead letters; those of another running replay are left out.
    pub filter: DeadLetterFilter,
    /// How fast.
    pub pace: Pace,
    /// When it was requested.
    pub made_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const LETTER: DeadLetterName =
        DeadLetterName { message_id: MessageId(Uuid::nil()), generation: 3 };

    #[test]
    fn an_edit_carries_any_body_and_a_discard_none() {
        for body in [&b"{\"a\": 1}"[..], b"", b"\xff\0\xc3"] {
            let (letter, read) = DeadLetterName::parse_edit(&LETTER.edit_body(body)).unwrap();
            assert_eq!((letter, &*read), (LETTER, body));
        }
        assert_eq!(DeadLetterName::parse_discard(&LETTER.discard_body()), Some(LETTER));
    }

    #[test]
    fn what_is_of_another_form_is_no_order() {
        let edit = LETTER.edit_body(b"a");
        assert_eq!(DeadLetterName::parse_discard(&edit), None);
        assert_eq!(DeadLetterName::parse_edit(&LETTER.discard_body()), None);
        assert_eq!(DeadLetterName::parse_edit(b"{}"), None);
        assert_eq!(DeadLetterName::parse_discard(b"\xff"), None);
    }
}
