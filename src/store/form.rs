//! What a commit must look like, whatever the backend that writes it.
//!
//! A commit that is not of this form is a mistake of the program, not of a webhook: it is refused
//! as a whole before anything is written.

use std::collections::BTreeSet;

use super::{Commit, EntityName, EntityState, StoreError};
use crate::domain::Quantity;

/// What is wrong with a commit.
#[derive(Debug, thiserror::Error)]
#[error("the commit of {entity} is ill-formed: {what}")]
struct IllFormed {
    entity: String,
    what: &'static str,
}

impl Commit {
    /// Refuses a commit that no backend may write.
    pub(super) fn check_form(&self) -> Result<(), StoreError> {
        let Some(what) = self.flaw() else { return Ok(()) };
        let flaw = IllFormed { entity: self.entity.to_string(), what };
        Err(StoreError::Rejected { source: flaw.into() })
    }

    fn flaw(&self) -> Option<&'static str> {
        let flaw = match (&self.entity.name, &self.state) {
            (EntityName::Order(_), EntityState::Order(_)) => None,
            (EntityName::Catalogue(_), EntityState::Catalogue(_)) => {
                (!self.changes.is_empty()).then_some("a catalogue entry changes stock")
            }
            (EntityName::Receipt(receipt), EntityState::Receipt(_)) => self
                .changes
                .iter()
                .any(|change| change.key != receipt.key || change.hold.is_some())
                .then_some("a receipt changes more than its own stock item"),
            _ => Some("its state is of another kind than its name"),
        };
        flaw.or_else(|| self.flaw_of_changes())
    }

    fn flaw_of_changes(&self) -> Option<&'static str> {
        let mut keys = BTreeSet::new();
        self.changes.iter().find_map(|change| {
            if !keys.insert(&change.key) {
                return Some("two changes of one stock item");
            }
            let hold = change.hold.unwrap_or_default();
            (hold.committed < Quantity::ZERO || hold.fulfilled < Quantity::ZERO)
                .then_some("an order holds less than nothing")
        })
    }
}
