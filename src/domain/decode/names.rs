//! Names as they are received: texts or whole numbers, with or without surrounding white space.
//!
//! An unreadable name is treated as absent, and is counted. The body is refused only if nothing
//! else says what it is about.

use std::fmt;

use super::Fault;
use super::json::{Value, present, text};
use crate::domain::{Code, Identifier, IdentifierError, Names, OrderId};

/// A name as found in a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Name(Identifier),
    /// Null, an empty text and white space alone all mean that there is no name.
    Nothing,
    /// What is wrong with it.
    Unreadable(&'static str),
}

impl Found {
    /// Returns the name if it is readable, and counts one that is not.
    pub(super) fn or_count(self, unreadable: &mut u32) -> Option<Identifier> {
        match self {
            Self::Name(name) => Some(name),
            Self::Nothing => None,
            Self::Unreadable(_) => {
                *unreadable += 1;
                None
            }
        }
    }

    /// Returns a required name; `absent` creates the fault if there is none.
    pub(super) fn required(
        self,
        path: impl fmt::Display,
        absent: impl FnOnce() -> Fault,
    ) -> Result<Identifier, Fault> {
        match self {
            Self::Name(name) => Ok(name),
            Self::Nothing => Err(absent()),
            Self::Unreadable(why) => {
                Err(Fault::new(Code::InvalidIdentifier, format!("{path}: {why}")))
            }
        }
    }
}

/// Reads a name.
pub(super) fn read(value: Option<Value<'_>>) -> Found {
    let Some(value) = present(value) else { return Found::Nothing };
    let json = value.get();
    if let Some(first) = json.bytes().next()
        && first.is_ascii_digit()
    {
        let is_complete = first != b'0' && json.bytes().all(|byte| byte.is_ascii_digit());
        if !is_complete {
            return Found::Unreadable("expected a text or a whole number, found another number");
        }
        return parsed(json);
    }
    match text(value) {
        Some(name) => parsed(&name),
        None => Found::Unreadable("expected a text or a whole number"),
    }
}

fn parsed(name: &str) -> Found {
    match Identifier::parse(name) {
        Ok(name) => Found::Name(name),
        Err(IdentifierError::Empty) => Found::Nothing,
        Err(IdentifierError::TooLong) => Found::Unreadable("is longer than 256 bytes"),
        Err(IdentifierError::ControlCharacter) => Found::Unreadable("has a control character"),
    }
}

/// Returns the names that a body has for its order, from the fields that may name it, in their
/// order.
pub(super) fn of_order(
    fields: Vec<(crate::domain::OrderIdKind, Found, &'static str)>,
    unreadable: &mut u32,
    absent: impl FnOnce() -> Fault,
) -> Result<Names, Fault> {
    let mut names = Vec::new();
    // An order whose id is unreadable cannot be identified by its invoice number.
    let mut worst = None;
    for (kind, found, path) in fields {
        if let Found::Unreadable(why) = found
            && (kind.is_id() || kind.is_second_name())
        {
            worst = worst.or(Some((path, why)));
        }
        let name = found.or_count(unreadable);
        names.extend(name.map(|identifier| OrderId { kind, identifier }));
    }
    let is_told = names.iter().any(|name| name.kind.is_id() || name.kind.is_second_name());
    match worst {
        Some((path, why)) if !is_told => {
            Err(Fault::new(Code::InvalidIdentifier, format!("{path}: {why}")))
        }
        Some(_) | None => Names::new(names).ok_or_else(absent),
    }
}
