//! Where each kind of entity is kept, and the reading and writing of its state.

use rusqlite::{Connection, OptionalExtension, ToSql, params_from_iter};

use super::column;
use crate::domain::{Site, Timestamp};
use crate::store::{EntityId, EntityName, Loaded, Revision, state};

/// The statements of one kind of entity: the parts of its name come first.
struct Table {
    find: &'static str,
    load: &'static str,
    insert: &'static str,
    update: &'static str,
    delete: &'static str,
}

static ORDERS: Table = Table {
    find: "SELECT rev, at FROM orders WHERE site = ?1 AND name = ?2",
    load: "SELECT rev, state FROM orders WHERE site = ?1 AND name = ?2",
    insert: "INSERT INTO orders (site, name, rev, state, at) VALUES (?1, ?2, ?3, ?4, ?5)",
    update: "UPDATE orders SET rev = ?3, state = ?4, at = ?5 WHERE site = ?1 AND name = ?2",
    delete: "DELETE FROM orders WHERE site = ?1 AND name = ?2",
};

static CATALOGUE: Table = Table {
    find: "SELECT rev, at FROM catalogue WHERE site = ?1 AND id = ?2",
    load: "SELECT rev, state FROM catalogue WHERE site = ?1 AND id = ?2",
    insert: "INSERT INTO catalogue (site, id, rev, state, at) VALUES (?1, ?2, ?3, ?4, ?5)",
    update: "UPDATE catalogue SET rev = ?3, state = ?4, at = ?5 WHERE site = ?1 AND id = ?2",
    delete: "DELETE FROM catalogue WHERE site = ?1 AND id = ?2",
};

static RECEIPTS: Table = Table {
    find: "SELECT rev, at FROM receipts WHERE site = ?1 AND key = ?2 AND reference = ?3",
    load: "SELECT rev, state FROM receipts WHERE site = ?1 AND key = ?2 AND reference = ?3",
    insert: "INSERT INTO receipts (site, key, reference, rev, state, at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    update: "UPDATE receipts SET rev = ?4, state = ?5, at = ?6 \
             WHERE site = ?1 AND key = ?2 AND reference = ?3",
    delete: "DELETE FROM receipts WHERE site = ?1 AND key = ?2 AND reference = ?3",
};

/// The row of one entity.
pub(super) struct Place {
    table: &'static Table,
    parts: Vec<String>,
}

/// What a commit must know of a row that it may replace.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) revision: Revision,
    /// When it was committed.
    pub(super) at: Timestamp,
}

impl Place {
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
    pub(super) fn find(&self, connection: &Connection) -> rusqlite::Result<Option<Row>> {
        connection
            .prepare_cached(self.table.find)?
            .query_row(params_from_iter(&self.parts), |row| {
                Ok(Row { revision: revision(row.get("rev")?), at: column::time(row, "at")? })
            })
            .optional()
    }

    /// Writes the entity's state: over the one that `exists`, or as its first.
    pub(super) fn write(
        &self,
        connection: &Connection,
        exists: bool,
        Row { revision, at }: Row,
        state: &str,
    ) -> rusqlite::Result<()> {
        let statement = if exists { self.table.update } else { self.table.insert };
        let (revision, at) = (revision.0.cast_signed(), at.micros());
        let written: [&dyn ToSql; 3] = [&revision, &state, &at];
        let parts = self.parts.iter().map(|part| part as &dyn ToSql);
        let values = params_from_iter(parts.chain(written));
        connection.prepare_cached(statement)?.execute(values)?;
        Ok(())
    }

    /// Removes the entity.
    pub(super) fn remove(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.prepare_cached(self.table.delete)?.execute(params_from_iter(&self.parts))?;
        Ok(())
    }
}

/// Reads one entity.
pub(super) fn load(connection: &Connection, entity: &EntityId) -> rusqlite::Result<Option<Loaded>> {
    let place = Place::of(&entity.site, &entity.name);
    connection
        .prepare_cached(place.table.load)?
        .query_row(params_from_iter(&place.parts), |row| {
            let text = column::text(row, "state")?;
            let state = state::decode_entity(entity, text).map_err(column::unreadable)?;
            Ok(Loaded { revision: revision(row.get("rev")?), state })
        })
        .optional()
}

/// A revision fills 64 bits; SQLite's integers have a sign.
const fn revision(stored: i64) -> Revision {
    Revision(stored.cast_unsigned())
}
