//! Names of items: those of the catalogue, those of lines of orders, and the others by which they can
//! be found.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::column::{self, execute};
use crate::domain::{
    CatalogueEntry, CatalogueId, Identifier, ItemNames, Site, StockKey, StockKeyKind,
};
use crate::store::named::{Named, keys_of};

/// Replaces the names and flags that a catalogue entry gives items; `None` removes them.
pub(super) fn write_entry(
    connection: &Connection,
    site: &str,
    id: &CatalogueId,
    entry: Option<&CatalogueEntry>,
) -> rusqlite::Result<()> {
    let id = id.to_string();
    for delete in [
        "DELETE FROM catalogue_names WHERE site = ?1 AND entry = ?2",
        "DELETE FROM untracked WHERE site = ?1 AND entry = ?2",
    ] {
        execute(connection, delete, (site, &id))?;
    }
    let Some(entry) = entry else { return Ok(()) };
    let keys = entry.description.stock_keys();
    let keys: BTreeSet<String> = keys.iter().map(StockKey::to_string).collect();
    let is_deleted = entry.is_deleted();
    for key in &keys {
        if let Some(name) = &entry.description.name {
            let insert = "INSERT INTO catalogue_names (site, key, deleted, entry, name, lowercase) \
                          VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let values = (site, key, is_deleted, &id, name, name.to_lowercase());
            execute(connection, insert, values)?;
        }
        if entry.description.is_untracked && !is_deleted {
            let insert = "INSERT INTO untracked (site, key, entry) VALUES (?1, ?2, ?3)";
            execute(connection, insert, (site, key, &id))?;
        }
    }
    Ok(())
}

/// The names of an item, in the form in which they are written.
pub(super) struct PreparedNames {
    pub(super) key: String,
    /// The name that a line gives it.
    pub(super) line: Option<LineName>,
    /// A hash of the names beside its key: where it is stored, those are written already.
    pub(super) mark: i64,
    also: Vec<StockKey>,
}

pub(super) struct LineName {
    pub(super) version: String,
    pub(super) name: String,
    pub(super) lowercase: String,
}

impl PreparedNames {
    pub(super) fn all_of(names: &[ItemNames]) -> Vec<Self> {
        Named::all_of(names).into_iter().map(Self::new).collect()
    }

    fn new(named: Named<'_>) -> Self {
        let line = named.line.map(|(version, name)| LineName {
            version: version.sort_key(),
            name: name.clone(),
            lowercase: name.to_lowercase(),
        });
        let (key, mark) = (named.key.to_string(), named.mark().cast_signed());
        Self { key, line, mark, also: named.also.into_iter().cloned().collect() }
    }

    /// Adds the names beside the key to those that are known.
    pub(super) fn write_others(&self, connection: &Connection, site: &str) -> rusqlite::Result<()> {
        let mut insert = connection.prepare_cached(
            "INSERT INTO other_names (site, identifier, kind, key) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT DO NOTHING",
        )?;
        for other in &self.also {
            insert.execute((site, other.identifier.as_str(), other.kind.as_str(), &self.key))?;
        }
        Ok(())
    }
}

/// The items that go by a name: their key, if a line of an order named them, or one beside it.
pub(super) fn items_named(
    connection: &Connection,
    site: &Site,
    kind: Option<StockKeyKind>,
    name: &Identifier,
    limit: usize,
) -> rusqlite::Result<Vec<StockKey>> {
    let named = column::all(
        connection,
        "SELECT DISTINCT key FROM other_names WHERE site = ?1 AND identifier = ?2 \
         AND (?3 IS NULL OR kind = ?3) ORDER BY key LIMIT ?4",
        (site.as_str(), name.as_str(), kind.map(StockKeyKind::as_str), column::at_most(limit)),
        |row| row.get("key"),
    );
    let mut named: BTreeSet<String> = named?.into_iter().collect();
    let mut is_named = connection.prepare_cached(
        "SELECT 1 FROM stock WHERE site = ?1 AND key = ?2 AND line_name IS NOT NULL",
    )?;
    for key in keys_of(kind, name).map(|key| key.to_string()) {
        if is_named.exists((site.as_str(), &key))? {
            named.insert(key);
        }
    }
    let keys = named.iter().take(limit);
    keys.map(|key| StockKey::parse(key).map_err(column::unreadable)).collect()
}
