//! Validation of a commit, whatever the backend that writes it.
//!
//! An invalid commit is a mistake of the program, not of a webhook: it is refused as a whole before
//! anything is written.

use std::collections::BTreeSet;

use super::{Commit, EntityName, EntityState, StoreError};
use crate::domain::{Cause, Link, Quantity};

impl Commit {
    /// Refuses a commit that no backend may write.
    pub(super) fn validate(&self) -> Result<(), StoreError> {
        let Some(flaw) = self.flaw() else { return Ok(()) };
        let message = format!("a commit of site {} is ill-formed: {flaw}", self.site);
        Err(StoreError::Rejected { source: message.into() })
    }

    fn flaw(&self) -> Option<&'static str> {
        let read: BTreeSet<_> = self.read.iter().map(|(name, _)| name).collect();
        let links_read: BTreeSet<_> = self.links_read.iter().map(|(name, _)| name).collect();
        if read.len() < self.read.len() || links_read.len() < self.links_read.len() {
            return Some("something is read twice");
        }
        let is_unread = self.writes.iter().any(|write| !read.contains(&write.name))
            || self.links.iter().any(|(name, _)| !links_read.contains(name));
        if is_unread {
            return Some("something is written that was not read");
        }
        // Of a name of which nothing was seen there is no link.
        if self.links.iter().any(|(_, link)| link.as_ref().is_some_and(Link::is_empty)) {
            return Some("a link is empty");
        }
        let is_of_its_kind = |name: &EntityName, state: &Option<EntityState>| {
            matches!(
                (name, state),
                (_, None)
                    | (EntityName::Order(_), Some(EntityState::Order(_)))
                    | (EntityName::Catalogue(_), Some(EntityState::Catalogue(_)))
                    | (EntityName::Receipt(_), Some(EntityState::Receipt(_)))
            )
        };
        if self.writes.iter().any(|write| !is_of_its_kind(&write.name, &write.state)) {
            return Some("a state is of another kind than its name");
        }
        self.flaw_of_changes()
    }

    fn flaw_of_changes(&self) -> Option<&'static str> {
        let mut seen = BTreeSet::new();
        self.changes.iter().find_map(|change| {
            if !seen.insert((&change.key, &change.cause)) {
                return Some("two changes of one stock item are due to the same");
            }
            if !matches!(change.cause, Cause::Order(_)) && change.hold.is_some() {
                return Some("something holds that is no order");
            }
            let hold = change.hold.unwrap_or_default();
            (hold.committed < Quantity::ZERO || hold.fulfilled < Quantity::ZERO)
                .then_some("an order holds less than nothing")
        })
    }
}
