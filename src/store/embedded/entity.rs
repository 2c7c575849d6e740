//! Where each kind of entity is kept, and the reading of its state.

use rusqlite::{Connection, OptionalExtension, ToSql, params_from_iter};

use super::column;
use crate::store::{EntityId, EntityName, Loaded, Revision, state};

/// The statements of one kind of entity: the parts of its name come first.
struct Table {
    revision: &'static str,
    load: &'static str,
    insert: &'static str,
    update: &'static str,
    /// Whether the last value written is when the entity was settled.
    knows_settlement: bool,
}

static ORDERS: Table = Table {
    revision: "SELECT rev FROM orders WHERE site = ?1 AND id = ?2",
    load: "SELECT rev, state FROM orders WHERE site = ?1 AND id = ?2",
    insert: "INSERT INTO orders (site, id, rev, state, settled_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    update: "UPDATE orders SET rev = ?3, state = ?4, settled_at = ?5 WHERE site = ?1 AND id = ?2",
    knows_settlement: true,
};

static CATALOGUE: Table = Table {
    revision: "SELECT rev FROM catalogue WHERE site = ?1 AND id = ?2",
    load: "SELECT rev, state FROM catalogue WHERE site = ?1 AND id = ?2",
    insert: "INSERT INTO catalogue (site, id, rev, state) VALUES (?1, ?2, ?3, ?4)",
    update: "UPDATE catalogue SET rev = ?3, state = ?4 WHERE site = ?1 AND id = ?2",
    knows_settlement: false,
};

static RECEIPTS: Table = Table {
    revision: "SELECT rev FROM receipts WHERE site = ?1 AND key = ?2 AND reference = ?3",
    load: "SELECT rev, state FROM receipts WHERE site = ?1 AND key = ?2 AND reference = ?3",
    insert: "INSERT INTO receipts (site, key, reference, rev, state) VALUES (?1, ?2, ?3, ?4, ?5)",
    update: "UPDATE receipts SET rev = ?4, state = ?5 \
             WHERE site = ?1 AND key = ?2 AND reference = ?3",
    knows_settlement: false,
};

/// The row of one entity.
pub(super) struct Place {
    table: &'static Table,
    parts: Vec<String>,
}

impl Place {
    /// Where an entity is kept.
    pub(super) fn of(entity: &EntityId) -> Self {
        let site = entity.site.to_string();
        match &entity.name {
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

    /// Reads the entity's revision.
    pub(super) fn revision(&self, connection: &Connection) -> rusqlite::Result<Option<Revision>> {
        connection
            .prepare_cached(self.table.revision)?
            .query_row(params_from_iter(&self.parts), |row| row.get(0).map(revision))
            .optional()
    }

    /// Writes the entity's state: over the one that `exists`, or as its first.
    pub(super) fn write(
        &self,
        connection: &Connection,
        exists: bool,
        revision: Revision,
        state: &str,
        settled_at: Option<i64>,
    ) -> rusqlite::Result<()> {
        let statement = if exists { self.table.update } else { self.table.insert };
        let revision = revision.0.cast_signed();
        let written: [&dyn ToSql; 2] = [&revision, &state];
        let settlement = self.table.knows_settlement.then_some(&settled_at as &dyn ToSql);
        let parts = self.parts.iter().map(|part| part as &dyn ToSql);
        let values = params_from_iter(parts.chain(written).chain(settlement));
        connection.prepare_cached(statement)?.execute(values)?;
        Ok(())
    }
}

/// Reads one entity.
pub(super) fn load(connection: &Connection, entity: &EntityId) -> rusqlite::Result<Option<Loaded>> {
    let place = Place::of(entity);
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
pub(super) const fn revision(stored: i64) -> Revision {
    Revision(stored.cast_unsigned())
}
