//! The hot path: writes one commit after another inside the writer's transaction.
//!
//! States are encoded before the writer's thread is asked. Everything that can refuse a commit is
//! checked before its first write: a commit that is not written has nothing to undo, and does not
//! touch its neighbours. An error of SQLite undoes the whole call.

use rusqlite::Connection;

use super::column::{self, execute, first};
use super::entity::{EntityPlace, EntityRow};
use super::stock::PreparedChanges;
use super::{lists, names};
use crate::domain::{ClosedName, Link, OrderId, PolicyRevision, Site, Timestamp, Write};
use crate::store::{
    Closing, Commit, Committed, EntityName, EntityState, Revision, StoreError, state,
};

/// A commit in the form in which it is written.
pub(super) struct EncodedCommit {
    /// The commit without its writes: those are with the entities.
    commit: Commit,
    entities: Vec<PreparedEntity>,
    changes: PreparedChanges,
}

/// An entity that was read, and maybe is written.
struct PreparedEntity {
    place: EntityPlace,
    loaded: Option<Revision>,
    /// The write, and its state as text.
    write: Option<(Write, Option<String>)>,
}

impl EncodedCommit {
    /// Validates a commit and encodes its states.
    pub(super) fn new(mut commit: Commit) -> Result<Self, StoreError> {
        commit.validate()?;
        let mut writes = std::mem::take(&mut commit.writes);
        let entities = commit.read.iter().map(|(name, loaded)| {
            let write = writes.iter().position(|write| write.name == *name);
            let write = write.map(|place| writes.swap_remove(place)).map(|write| {
                let text = write.state.as_ref().map(state::encode_entity).transpose()?;
                Ok::<_, StoreError>((write, text))
            });
            let (place, loaded) = (EntityPlace::of(&commit.site, name), *loaded);
            Ok(PreparedEntity { place, loaded, write: write.transpose()? })
        });
        let entities = entities.collect::<Result<_, StoreError>>()?;
        Ok(Self { entities, changes: PreparedChanges::new(&commit), commit })
    }

    /// Writes the commit if all that it was computed from is still so, and its totals allow it.
    pub(super) fn write(
        &self,
        connection: &Connection,
        in_force: Option<PolicyRevision>,
    ) -> rusqlite::Result<Committed> {
        let (commit, site) = (&self.commit, self.commit.site.as_str());
        if commit.policy.zip(in_force).is_some_and(|(policy, in_force)| policy != in_force) {
            return Ok(Committed::PolicyChanged);
        }
        let Some(rows) = self.rows_as_read(connection)? else { return Ok(Committed::Conflict) };
        for (name, link) in &commit.links_read {
            let text = link.as_ref().map(Link::to_text);
            let is_same = first(connection, FIND_LINK, (site, name.to_string()), |row| {
                Ok(Some(column::text(row, "ids")?) == text.as_deref())
            })?;
            if !is_same.unwrap_or_else(|| link.is_none()) {
                return Ok(Committed::Conflict);
            }
        }
        if let Some(closed) = self.closed_otherwise(connection)? {
            return Ok(closed);
        }
        let totals = match self.changes.totals(connection, site)? {
            Ok(totals) => totals,
            Err(error) => return Ok(Committed::Overflow(error)),
        };
        for (entity, row) in self.entities.iter().zip(rows) {
            entity.write(connection, site, row, commit.at)?;
        }
        for (name, link) in &commit.links {
            write_link(connection, site, name, link.as_ref())?;
        }
        self.changes.write(connection, site, &totals)?;
        if let Some(closing) = &commit.closing {
            write_closing(connection, site, closing)?;
        }
        Ok(Committed::Written)
    }

    /// The rows of the entities that were read, if all are of the revisions that were read.
    fn rows_as_read(
        &self,
        connection: &Connection,
    ) -> rusqlite::Result<Option<Vec<Option<EntityRow>>>> {
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

    /// What is known of the closing of the new names, if it is not what the commit was computed
    /// from.
    fn closed_otherwise(&self, connection: &Connection) -> rusqlite::Result<Option<Committed>> {
        let site = self.commit.site.as_str();
        let new = &self.commit.new_names;
        let names =
            new.iter().map(|(name, _)| Ok((name.clone(), closed_name(connection, site, name)?)));
        let names = names.collect::<rusqlite::Result<Vec<_>>>()?;
        if names == *new {
            return Ok(None);
        }
        Ok(Some(Committed::Closed { names, watermark: watermark(connection, site)? }))
    }
}

impl PreparedEntity {
    fn write(
        &self,
        connection: &Connection,
        site: &str,
        row: Option<EntityRow>,
        at: Timestamp,
    ) -> rusqlite::Result<()> {
        let Some((write, text)) = &self.write else { return Ok(()) };
        match text {
            Some(text) => self.place.write(connection, text, at)?,
            None => self.place.remove(connection)?,
        }
        match (&write.name, &write.state) {
            (EntityName::Order(name), _) => {
                let times = (row.map(|row| row.at), at);
                lists::write(connection, site, name, write.lists, times)
            }
            (EntityName::Catalogue(id), Some(EntityState::Catalogue(entry))) => {
                names::write_entry(connection, site, id, Some(entry))
            }
            (EntityName::Catalogue(id), _) => names::write_entry(connection, site, id, None),
            (EntityName::Receipt(_), _) => Ok(()),
        }
    }
}

const FIND_LINK: &str = "SELECT ids FROM links WHERE site = ?1 AND name = ?2";

/// What was seen beside a name.
pub(super) fn link(
    connection: &Connection,
    site: &Site,
    name: &OrderId,
) -> rusqlite::Result<Option<Link>> {
    first(connection, FIND_LINK, (site.as_str(), name.to_string()), |row| {
        column::parsed(row, "ids", Link::parse)
    })
}

fn write_link(
    connection: &Connection,
    site: &str,
    name: &OrderId,
    link: Option<&Link>,
) -> rusqlite::Result<()> {
    let name = name.to_string();
    let Some(link) = link else {
        let delete = "DELETE FROM links WHERE site = ?1 AND name = ?2";
        return execute(connection, delete, (site, name)).map(drop);
    };
    let insert = "INSERT INTO links (site, name, ids) VALUES (?1, ?2, ?3) \
                  ON CONFLICT (site, name) DO UPDATE SET ids = excluded.ids";
    execute(connection, insert, (site, name, link.to_text())).map(drop)
}

/// Remembers the names, and raises the watermark of a site that is known. That a name was seen
/// beside an id is never forgotten.
fn write_closing(connection: &Connection, site: &str, closing: &Closing) -> rusqlite::Result<()> {
    for (name, closed) in &closing.names {
        execute(
            connection,
            "INSERT INTO closed_names (site, name, beside_an_id) VALUES (?1, ?2, ?3) \
             ON CONFLICT (site, name) DO UPDATE SET \
             beside_an_id = max(beside_an_id, excluded.beside_an_id)",
            (site, name.to_string(), *closed == ClosedName::BesideAnId),
        )?;
    }
    let raise = "UPDATE sites SET closed_before = max(closed_before, ?2) WHERE site = ?1";
    execute(connection, raise, (site, closing.before.micros())).map(drop)
}

/// What is remembered of a name.
pub(super) fn closed_name(
    connection: &Connection,
    site: &str,
    name: &OrderId,
) -> rusqlite::Result<Option<ClosedName>> {
    let select = "SELECT beside_an_id FROM closed_names WHERE site = ?1 AND name = ?2";
    first(connection, select, (site, name.to_string()), |row| {
        Ok(if row.get("beside_an_id")? { ClosedName::BesideAnId } else { ClosedName::Itself })
    })
}

/// What was received before it counts as known where an order is closed.
pub(super) fn watermark(connection: &Connection, site: &str) -> rusqlite::Result<Timestamp> {
    let select = "SELECT closed_before FROM sites WHERE site = ?1";
    let watermark = first(connection, select, (site,), |row| column::time(row, "closed_before"));
    Ok(watermark?.unwrap_or_default())
}
