//! Where each kind of entity is kept, and the reading and writing of its state.

use rusqlite::{Connection, ToSql, params_from_iter};

use super::column;
use crate::domain::{Site, Timestamp};
use crate::store::{EntityId, EntityName, Loaded, Revision, state};

/// The statements of one kind of entity: the parts of its name come first.
struct EntityTable {
    find: &'static str,
    load: &'static str,
    write: &'static str,
    delete: &'static str,
}

static ORDERS: EntityTable = EntityTable {
    find: "SELECT rev, at FROM orders WHERE site = ?1 AND name = ?2",
    load: "SELECT rev, state FROM orders WHERE site = ?1 AND name = ?2",
    write: "INSERT INTO orders (site, name, rev, state, at) VALUES (?1, ?2, ?3, ?4, ?5) \
            ON CONFLICT DO UPDATE SET rev = ?3, state = ?4, at = ?5",
    delete: "DELETE FROM orders WHERE site = ?1 AND name = ?2",
};

static CATALOGUE: EntityTable = EntityTable {
    find: "SELECT rev, at FROM catalogue WHERE site = ?1 AND id = ?2",
    load: "SELECT rev, state FROM catalogue WHERE site = ?1 AND id = ?2",
    write: "INSERT INTO catalogue (site, id, rev, state, at) VALUES (?1, ?2, ?3, ?4, ?5) \
            ON CONFLICT DO UPDATE SET rev = ?3, state = ?4, at = ?5",
    delete: "DELETE FROM catalogue WHERE site = ?1 AND id = ?2",
};

static RECEIPTS: EntityTable = EntityTable {
    find: "SELECT rev, at FROM receipts WHERE site = ?1 AND key = ?2 AND reference = ?3",
    load: "SELECT rev, state FROM receipts WHERE site = ?1 AND key = ?2 AND reference = ?3",
    write: "INSERT INTO receipts (site, key, reference, rev, state, at) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
            ON CONFLICT DO UPDATE SET rev = ?4, state = ?5, at = ?6",
    delete: "DELETE FROM receipts WHERE site = ?1 AND key = ?2 AND reference = ?3",
};

/// The row of one entity.
pub(super) struct EntityPlace {
    table: &'static EntityTable,
    parts: Vec<String>,
}

/// What a commit must know of a row that it may replace.
#[derive(Clone, Copy)]
pub(super) struct EntityRow {
    pub(super) revision: Revision,
    /// When it was committed.
    pub(super) at: Timestamp,
}

impl EntityPlace {
    /// Where an entity is kept.
    pub(super) fn of(site: &Site, name: &EntityName) -> Self {
        let site = site.to_string();
        match name {
            EntityName::Order(id) => Self { table: &ORDERS, parts: vec![site, id.to_string()] },
            EntityName::Catalogue(id) => {
                Self { table: &CATALOGUE, parts: vec![site, id.to_string()] }
            }
            EntityName::Receipt(id) => Self {
                table: &RECEIPTS,
                parts: vec![site, id.key.to_string(), id.reference.to_string()],
            },
        }
    }

    /// Reads all of the entity's row but its state.
    pub(super) fn find(&self, connection: &Connection) -> rusqlite::Result<Option<EntityRow>> {
        column::first(connection, self.table.find, params_from_iter(&self.parts), |row| {
            Ok(EntityRow { revision: revision(row.get("rev")?), at: column::time(row, "at")? })
        })
    }

    /// Writes the entity's state under a new revision.
    pub(super) fn write(
        &self,
        connection: &Connection,
        state: &str,
        at: Timestamp,
    ) -> rusqlite::Result<()> {
        let (revision, at) = (rand::random::<i64>(), at.micros());
        let written: [&dyn ToSql; 3] = [&revision, &state, &at];
        let parts = self.parts.iter().map(|part| part as &dyn ToSql);
        let values = params_from_iter(parts.chain(written));
        column::execute(connection, self.table.write, values).map(drop)
    }

    /// Removes the entity.
    pub(super) fn remove(&self, connection: &Connection) -> rusqlite::Result<()> {
        let values = params_from_iter(&self.parts);
        column::execute(connection, self.table.delete, values).map(drop)
    }
}

/// Reads one entity.
pub(super) fn load(connection: &Connection, entity: &EntityId) -> rusqlite::Result<Option<Loaded>> {
    let EntityPlace { table, parts } = EntityPlace::of(&entity.site, &entity.name);
    column::first(connection, table.load, params_from_iter(&parts), |row| {
        let text = column::text(row, "state")?;
        let state = state::decode_entity(entity, text).map_err(column::unreadable)?;
        Ok(Loaded { revision: revision(row.get("rev")?), state })
    })
}

/// A revision fills 64 bits; SQLite's integers have a sign.
const fn revision(stored: i64) -> Revision {
    Revision(stored.cast_unsigned())
}
