//! The encoding of states: as JSON text, which any SQL tool shows, and as compact bytes for memory.
//!
//! Each begins with the number of its format, outside of the state: a release that does not know
//! the format can report that without understanding the rest.
//!
//! # Invariants
//! - A state of a higher format is never read as if it were of ours.
//! - Errors name the entity and the place in the text, never its content.

use std::fmt::Display;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{EntityId, EntityName, EntityState, StoreError};

/// The format that this release writes, and the highest that it reads.
const STATE_FORMAT: u8 = 2;

/// How a text of this format begins. Such a text is decoded at once; any other is first searched for
/// its format.
const OWN_FORMAT: &str = "{\"format\":2,\"state\":";

/// Why a stored text is no state for this release.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A newer release wrote it.
    #[error(
        "{what} has format {found}, and this release knows {STATE_FORMAT}; run a newer release"
    )]
    Newer {
        /// What was read.
        what: String,
        /// Its format.
        found: u64,
    },
    /// No release wrote it.
    #[error("{what} cannot be read{place}; restore it from a backup")]
    Unreadable {
        /// What was read.
        what: String,
        /// Where reading stopped, if that is known.
        place: String,
    },
}

impl From<StateError> for StoreError {
    fn from(error: StateError) -> Self {
        let detail = error.to_string();
        match error {
            StateError::Newer { .. } => Self::Newer { detail },
            StateError::Unreadable { .. } => Self::Corrupt { detail },
        }
    }
}

#[derive(Serialize)]
struct EncodedState<'a, T> {
    format: u8,
    state: &'a T,
}

#[derive(Deserialize)]
struct StoredState<'a> {
    format: u64,
    // A newer format may have no such field, and must still be recognised by its number.
    #[serde(borrow)]
    state: Option<&'a RawValue>,
}

/// Writes a state.
pub(super) fn encode<T: Serialize>(state: &T) -> Result<String, StoreError> {
    serde_json::to_string(&EncodedState { format: STATE_FORMAT, state })
        .map_err(|error| StoreError::Rejected { source: error.into() })
}

/// Reads a state; `what` names it in errors.
pub(super) fn decode<T: DeserializeOwned>(
    what: &impl Display,
    text: &str,
) -> Result<T, StateError> {
    let own = text.strip_prefix(OWN_FORMAT).and_then(|state| state.strip_suffix('}'));
    if let Some(state) = own.and_then(|state| serde_json::from_str(state).ok()) {
        return Ok(state);
    }
    let unreadable = |column: usize| StateError::Unreadable {
        what: format!("the state of {what}"),
        place: format!(" from column {column} on"),
    };
    let read: StoredState<'_> =
        serde_json::from_str(text).map_err(|error| unreadable(error.column()))?;
    if read.format > u64::from(STATE_FORMAT) {
        let what = format!("the state of {what}");
        return Err(StateError::Newer { what, found: read.format });
    }
    // An older release's state means other things by the same fields.
    let state = read.state.filter(|_| read.format == u64::from(STATE_FORMAT));
    let state = state.ok_or_else(|| unreadable(0))?.get();
    // The state is a part of the text: its own columns start where it starts.
    let offset = text.len() - state.len();
    serde_json::from_str(state).map_err(|error| unreadable(offset + error.column()))
}

/// Writes a state as bytes.
pub(super) fn encode_bytes<T: Serialize>(state: &T) -> Result<Vec<u8>, StoreError> {
    postcard::to_extend(state, vec![STATE_FORMAT])
        .map_err(|error| StoreError::Rejected { source: error.into() })
}

/// Reads what [`encode_bytes`] wrote.
pub(super) fn decode_bytes<T: DeserializeOwned>(
    what: &impl Display,
    bytes: &[u8],
) -> Result<T, StateError> {
    if let [STATE_FORMAT, state @ ..] = bytes
        && let Ok((state, [])) = postcard::take_from_bytes(state)
    {
        return Ok(state);
    }
    let what = format!("the state of {what}");
    Err(match bytes {
        [found, ..] if *found > STATE_FORMAT => StateError::Newer { what, found: (*found).into() },
        _ => StateError::Unreadable { what, place: String::new() },
    })
}

/// Writes an entity's state as text.
pub fn encode_entity(state: &EntityState) -> Result<String, StoreError> {
    match state {
        EntityState::Order(record) => encode(record),
        EntityState::Catalogue(entry) => encode(entry),
        EntityState::Receipt(receipt) => encode(receipt),
    }
}

/// Reads an entity's state from text; its kind is that of the entity's name.
pub fn decode_entity(entity: &EntityId, text: &str) -> Result<EntityState, StateError> {
    Ok(match entity.name {
        EntityName::Order(_) => EntityState::Order(decode(entity, text)?),
        EntityName::Catalogue(_) => EntityState::Catalogue(decode(entity, text)?),
        EntityName::Receipt(_) => EntityState::Receipt(decode(entity, text)?),
    })
}

/// Writes an entity's state as bytes.
pub fn encode_entity_bytes(state: &EntityState) -> Result<Vec<u8>, StoreError> {
    match state {
        EntityState::Order(record) => encode_bytes(record),
        EntityState::Catalogue(entry) => encode_bytes(entry),
        EntityState::Receipt(receipt) => encode_bytes(receipt),
    }
}

/// Reads an entity's state from bytes; its kind is that of the entity's name.
pub fn decode_entity_bytes(entity: &EntityId, bytes: &[u8]) -> Result<EntityState, StateError> {
    Ok(match entity.name {
        EntityName::Order(_) => EntityState::Order(decode_bytes(entity, bytes)?),
        EntityName::Catalogue(_) => EntityState::Catalogue(decode_bytes(entity, bytes)?),
        EntityName::Receipt(_) => EntityState::Receipt(decode_bytes(entity, bytes)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        Class, Fingerprint, Hold, Latest, Line, List, OrderId, Quantity, Rank, Record, Site,
        Snapshot, Status, StockKey, StockKeyKind, Version,
    };

    fn entity() -> EntityId {
        EntityId {
            site: Site::parse("alpha").unwrap(),
            name: EntityName::Order(OrderId::parse("id:1").unwrap()),
        }
    }

    fn state() -> EntityState {
        let version = Version {
            class: Class::Creation,
            event_timestamp: 7,
            observed_at: 0,
            rank: Rank::Created,
            status: Status::Processed,
            fingerprint: Fingerprint(1),
        };
        let identifier = |text| crate::domain::Identifier::parse(text).unwrap();
        let line = Line {
            id: Some(identifier("l1")),
            names: [(StockKeyKind::Sku, identifier("S"))].into_iter().collect(),
            quantity: Quantity::from_millionths(3),
            name: None,
        };
        let snapshot = Snapshot { words: Fingerprint(2), lines: vec![line] };
        let hold = Hold { committed: Quantity::from_millionths(3), fulfilled: Quantity::ZERO };
        EntityState::Order(Box::new(Record {
            latest: Some(Latest { version, is_ambiguous: false, snapshot }),
            second_names: [OrderId::parse("external-id:E").unwrap()].into(),
            applied: [(StockKey::parse("sku:S").unwrap(), hold)].into(),
            policy: 1,
            lists: [List::All].into_iter().collect(),
            ..Record::default()
        }))
    }

    /// If this fails, states that are stored may not be readable: raise the format.
    #[test]
    fn the_text_of_a_state_is_pinned() {
        let text = encode_entity(&state()).unwrap();
        assert_eq!(
            text,
            OWN_FORMAT.to_owned()
                + r#"{"latest":{"version":"creation 7 0 created PROCESSED 0000000000000001","#
                + r#""is_ambiguous":false,"snapshot":{"words":"0000000000000002","#
                + r#""lines":[{"id":"l1","names":[["sku","S"]],"quantity":3,"name":null}]}},"#
                + r#""second_names":["external-id:E"],"#
                + r#""applied":{"sku:S":{"committed":3}},"policy":1,"lists":1}}"#
        );
        assert_eq!(decode_entity(&entity(), &text).unwrap(), state());
    }

    /// If this fails, states that are stored may not be readable: raise the format.
    #[test]
    fn the_bytes_of_a_state_are_pinned() {
        let bytes = encode_entity_bytes(&state()).unwrap();
        let mut expected = vec![2, 1, 0, 14, 0, 0, 3 + 1];
        expected.extend([0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 1, 2]);
        expected.extend(b"l1");
        expected.extend([1, 4, 1, b'S', 6, 0, 0, 0, 0, 0, 0, 0, 0, 1, 13]);
        expected.extend(b"external-id:E");
        expected.extend([0, 0, 1, 5]);
        expected.extend(b"sku:S");
        expected.extend([6, 0, 1, 1]);
        assert_eq!(bytes, expected);
        assert_eq!(decode_entity_bytes(&entity(), &bytes).unwrap(), state());
    }

    #[test]
    fn a_newer_format_is_told_by_its_number_alone() {
        let expected = "the state of order id:1 of site alpha has format 3, \
                        and this release knows 2; run a newer release";
        for text in [r#"{"format":3,"state":{"policy":"new"}}"#, r#"{"format":3,"other":[]}"#] {
            assert_eq!(decode_entity(&entity(), text).unwrap_err().to_string(), expected);
        }
        assert_eq!(decode_entity_bytes(&entity(), &[3]).unwrap_err().to_string(), expected);
    }

    #[test]
    fn bytes_that_cannot_be_read_are_named() {
        let bytes = encode_entity_bytes(&state()).unwrap();
        let mut longer = bytes.clone();
        longer.push(0);
        let cut = (0..bytes.len()).map(|length| &bytes[..length]);
        for bytes in cut.chain([longer.as_slice(), &[1, 0]]) {
            let error = StoreError::from(decode_entity_bytes(&entity(), bytes).unwrap_err());
            assert!(error.to_string().contains("order id:1 of site alpha cannot be read"));
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_and_not_shown() {
        for text in [
            "",
            "secret",
            r#"{"format":2}"#,
            r#"{"format":2,"state":"secret"}"#,
            r#"{"format":2,"state":{"policy":1,"second_names":["secret"]}}"#,
        ] {
            let error = StoreError::from(decode_entity(&entity(), text).unwrap_err()).to_string();
            assert!(error.contains("order id:1 of site alpha cannot be read"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
