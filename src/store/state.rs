//! States as text: compact JSON with a number that says how to read it.
//!
//! Every backend keeps the same text, so a state can be moved from one to another. The number
//! stands outside of the state: a release that does not know it can say so without understanding
//! the rest.
//!
//! # Invariants
//! - A text of a higher format is never read as if it were of ours.
//! - Errors name the entity and the place in the text, never what stands there.

use std::fmt::Display;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{EntityId, EntityName, EntityState, StoreError};

/// The format that this release writes, and the highest that it reads.
const STATE_FORMAT: u32 = 1;

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
        found: u32,
    },
    /// No release wrote it.
    #[error("{what} cannot be read from column {column} on; restore it from a backup")]
    Unreadable {
        /// What was read.
        what: String,
        /// Where in the text reading stopped.
        column: usize,
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
struct Written<'a, T> {
    format: u32,
    state: &'a T,
}

#[derive(Deserialize)]
struct Read<'a> {
    format: u32,
    // A newer format may have no such field, and must still be told by its number.
    #[serde(borrow)]
    state: Option<&'a RawValue>,
}

/// Writes a state.
pub(super) fn encode<T: Serialize>(state: &T) -> Result<String, StoreError> {
    serde_json::to_string(&Written { format: STATE_FORMAT, state })
        .map_err(|error| StoreError::Rejected { source: error.into() })
}

/// Reads a state; `what` names it in errors.
pub(super) fn decode<T: DeserializeOwned>(
    what: &impl Display,
    text: &str,
) -> Result<T, StateError> {
    let unreadable =
        |column: usize| StateError::Unreadable { what: format!("the state of {what}"), column };
    let read: Read<'_> = serde_json::from_str(text).map_err(|error| unreadable(error.column()))?;
    if read.format > STATE_FORMAT {
        let what = format!("the state of {what}");
        return Err(StateError::Newer { what, found: read.format });
    }
    let state = read.state.ok_or_else(|| unreadable(0))?.get();
    // The state is a part of the text: its own columns start where it starts.
    let offset = text.len() - state.len();
    serde_json::from_str(state).map_err(|error| unreadable(offset + error.column()))
}

/// Writes an entity's state.
pub fn encode_entity(state: &EntityState) -> Result<String, StoreError> {
    match state {
        EntityState::Order(order) => encode(order),
        EntityState::Catalogue(entry) => encode(entry),
        EntityState::Receipt(receipt) => encode(receipt),
    }
}

/// Reads an entity's state, of the kind that its name says.
pub fn decode_entity(entity: &EntityId, text: &str) -> Result<EntityState, StateError> {
    Ok(match entity.name {
        EntityName::Order(_) => EntityState::Order(decode(entity, text)?),
        EntityName::Catalogue(_) => EntityState::Catalogue(decode(entity, text)?),
        EntityName::Receipt(_) => EntityState::Receipt(decode(entity, text)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Hold, OrderId, OrderState, Quantity, Site, StockKey};

    fn entity() -> EntityId {
        EntityId {
            site: Site::parse("alpha").unwrap(),
            name: EntityName::Order(OrderId::parse("id:1").unwrap()),
        }
    }

    /// If this fails, states of older releases may not be readable: raise the format.
    #[test]
    fn the_text_of_a_state_is_pinned() {
        let hold = Hold { committed: Quantity::from_millionths(3), fulfilled: Quantity::ZERO };
        let state = OrderState {
            ever_shipped: true,
            aliases: vec![OrderId::parse("external-id:E").unwrap()],
            applied: [(StockKey::parse("sku:S").unwrap(), hold)].into(),
            policy: 1,
            ..OrderState::default()
        };
        let text = encode_entity(&EntityState::Order(Box::new(state.clone()))).unwrap();
        assert_eq!(
            text,
            r#"{"format":1,"state":{"ever_shipped":true,"aliases":["external-id:E"],"#.to_owned()
                + r#""applied":{"sku:S":{"committed":3}},"policy":1}}"#
        );
        let read = decode_entity(&entity(), &text).unwrap();
        assert_eq!(read, EntityState::Order(Box::new(state)));
    }

    /// What is noted only where there is something to note is left out otherwise, as by the releases
    /// that knew no such note.
    #[test]
    fn a_timeline_without_notes_is_the_text_that_it_always_was() {
        let text = r#"{"format":1,"state":{"policy":1,"timeline":[{"version":{"event_timestamp":7,"#
            .to_owned()
            + r#""rank":"created","status":"PROCESSED","fingerprint":"0000000000000001"},"#
            + r#""message_id":"00000000-0000-0000-0000-000000000000","event_type":"E","#
            + r#""received_at":7,"outcome":"applied"}]}}"#;
        let read = decode_entity(&entity(), &text).unwrap();
        assert_eq!(encode_entity(&read).unwrap(), text);
    }

    #[test]
    fn a_newer_format_is_told_by_its_number_alone() {
        for text in [r#"{"format":2,"state":{"policy":"new"}}"#, r#"{"format":2,"other":[]}"#] {
            let error = decode_entity(&entity(), text).unwrap_err().to_string();
            assert_eq!(
                error,
                "the state of order id:1 of site alpha has format 2, \
                 and this release knows 1; run a newer release"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_and_not_shown() {
        for text in [
            "",
            "secret",
            r#"{"format":1}"#,
            r#"{"format":1,"state":"secret"}"#,
            r#"{"format":1,"state":{"policy":1,"aliases":["secret"]}}"#,
        ] {
            let error = StoreError::from(decode_entity(&entity(), text).unwrap_err()).to_string();
            assert!(error.contains("order id:1 of site alpha cannot be read"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
