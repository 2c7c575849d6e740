//! The hot path: writes one commit after another inside the writer's transaction.
//!
//! Texts are made before the writer's thread is asked, so that it only binds and compares. All
//! that can refuse a commit is looked at before its first write: a commit that is not written has
//! nothing to undo, and does not touch its neighbours. An error of SQLite undoes the whole call.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::closing::{self, PreparedClosing};
use super::entity::{Place, Row};
use super::links::PreparedLink;
use super::lists::PreparedLists;
use super::names::PreparedEntry;
use super::stock::PreparedChanges;
use crate::domain::{ClosedName, OrderId, PolicyRevision, Timestamp, Write};
use crate::store::{Commit, Committed, EntityName, EntityState, Revision, StoreError, state};

/// A commit in the form in which it is written.
pub(super) struct PreparedCommit {
    site: String,
    at: Timestamp,
    policy: Option<PolicyRevision>,
    entities: Vec<PreparedEntity>,
    links_read: Vec<PreparedLink>,
    links: Vec<PreparedLink>,
    new_names: Vec<NewName>,
    changes: PreparedChanges,
    closing: Option<PreparedClosing>,
}

/// An entity that was read, and maybe is written.
struct PreparedEntity {
    place: Place,
    loaded: Option<Revision>,
    write: Option<PreparedWrite>,
}

struct PreparedWrite {
    revision: Revision,
    state: Option<String>,
    /// If it is an order.
    lists: Option<PreparedLists>,
    /// If it is of the catalogue.
    entry: Option<PreparedEntry>,
}

/// A name that must be as closed, or not, as it was.
struct NewName {
    name: OrderId,
    text: String,
    closed: Option<ClosedName>,
}

impl PreparedCommit {
    /// Checks a commit's form and makes its texts.
    pub(super) fn new(commit: &Commit) -> Result<Self, StoreError> {
        commit.check_form()?;
        let mut writes: BTreeMap<&EntityName, &Write> =
            commit.writes.iter().map(|write| (&write.name, write)).collect();
        let entities = commit.read.iter().map(|(name, loaded)| {
            let write = writes.remove(name).map(PreparedWrite::new).transpose()?;
            Ok(PreparedEntity { place: Place::of(&commit.site, name), loaded: *loaded, write })
        });
        let new_name = |(name, closed): &(OrderId, Option<ClosedName>)| NewName {
            name: name.clone(),
            text: name.to_string(),
            closed: *closed,
        };
        Ok(Self {
            site: commit.site.to_string(),
            at: commit.at,
            policy: commit.policy,
            entities: entities.collect::<Result<_, StoreError>>()?,
            links_read: PreparedLink::all_of(&commit.links_read),
            links: PreparedLink::all_of(&commit.links),
            new_names: commit.new_names.iter().map(new_name).collect(),
            changes: PreparedChanges::new(commit),
            closing: commit.closing.as_ref().map(PreparedClosing::new),
        })
    }

    /// Writes the commit if all that it was computed from is still so, and its totals allow it.
    pub(super) fn write(
        &self,
        connection: &Connection,
        in_force: Option<PolicyRevision>,
    ) -> rusqlite::Result<Committed> {
        if self.policy.zip(in_force).is_some_and(|(policy, in_force)| policy != in_force) {
            return Ok(Committed::PolicyChanged);
        }
        let Some(rows) = self.rows_as_read(connection)? else { return Ok(Committed::Conflict) };
        for link in &self.links_read {
            if !link.is_there(connection, &self.site)? {
                return Ok(Committed::Conflict);
            }
        }
        if let Some(closed) = self.closed_otherwise(connection)? {
            return Ok(closed);
        }
        let totals = match self.changes.totals(connection, &self.site)? {
            Ok(totals) => totals,
            Err(error) => return Ok(Committed::Overflow(error)),
        };
        for (entity, row) in self.entities.iter().zip(rows) {
            entity.write(connection, &self.site, row, self.at)?;
        }
        for link in &self.links {
            link.write(connection, &self.site)?;
        }
        self.changes.write(connection, &self.site, &totals)?;
        if let Some(closing) = &self.closing {
            closing.write(connection, &self.site)?;
        }
        Ok(Committed::Written)
    }

    /// The rows of the entities that were read, if all are of the revisions that were read.
    fn rows_as_read(&self, connection: &Connection) -> rusqlite::Result<Option<Vec<Option<Row>>>> {
        let mut rows = Vec::with_capacity(self.entities.len());
        for entity in &self.entities {
            let row = entity.place.find(connection)?;
            if row.map(|row| row.revision) != entity.loaded {
                return Ok(None);
            }
            rows.push(row);
        }
        Ok(Some(rows))
    }

    /// What is known of the closing of the new names, if it is not what the commit says.
    fn closed_otherwise(&self, connection: &Connection) -> rusqlite::Result<Option<Committed>> {
        let mut names = Vec::with_capacity(self.new_names.len());
        let mut is_as_said = true;
        for NewName { name, text, closed } in &self.new_names {
            let known = closing::find(connection, &self.site, text)?;
            is_as_said &= known == *closed;
            names.push((name.clone(), known));
        }
        if is_as_said {
            return Ok(None);
        }
        let watermark = closing::watermark(connection, &self.site)?;
        Ok(Some(Committed::Closed { names, watermark }))
    }
}

impl PreparedEntity {
    fn write(
        &self,
        connection: &Connection,
        site: &str,
        row: Option<Row>,
        at: Timestamp,
    ) -> rusqlite::Result<()> {
        let Some(PreparedWrite { revision, state, lists, entry }) = &self.write else {
            return Ok(());
        };
        match state {
            Some(state) => {
                let written = Row { revision: *revision, at };
                self.place.write(connection, row.is_some(), written, state)?;
            }
            None => self.place.remove(connection)?,
        }
        if let Some(lists) = lists {
            lists.write(connection, site, row.map(|row| row.at), at)?;
        }
        if let Some(entry) = entry {
            entry.write(connection, site)?;
        }
        Ok(())
    }
}

impl PreparedWrite {
    fn new(write: &Write) -> Result<Self, StoreError> {
        let (before, after) = write.lists;
        let lists = match &write.name {
            EntityName::Order(name) => {
                Some(PreparedLists { name: name.to_string(), before, after })
            }
            EntityName::Catalogue(_) | EntityName::Receipt(_) => None,
        };
        let entry = match (&write.name, &write.state) {
            (EntityName::Catalogue(id), Some(EntityState::Catalogue(entry))) => {
                Some(PreparedEntry::new(id, Some(entry)))
            }
            (EntityName::Catalogue(id), _) => Some(PreparedEntry::new(id, None)),
            (EntityName::Order(_) | EntityName::Receipt(_), _) => None,
        };
        Ok(Self {
            revision: Revision(rand::random()),
            state: write.state.as_ref().map(state::encode_entity).transpose()?,
            lists,
            entry,
        })
    }
}
