//! What items are called: by the catalogue, by lines of orders, and the other names by which they
//! can be found.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::column;
use crate::domain::{
    CatalogueEntry, CatalogueId, Identifier, ItemNames, Site, StockKey, StockKeyKind,
};

/// What a catalogue entry says of stock items.
pub(super) struct PreparedEntry {
    entry: String,
    keys: BTreeSet<String>,
    name: Option<(String, String)>,
    is_deleted: bool,
    is_untracked: bool,
}

impl PreparedEntry {
    /// What an entry says, or one that is gone and says nothing.
    pub(super) fn new(id: &CatalogueId, entry: Option<&CatalogueEntry>) -> Self {
        let description = entry.map(|entry| &entry.description);
        let keys = description.map(|it| it.stock_keys().iter().map(StockKey::to_string).collect());
        let is_deleted = entry.is_some_and(CatalogueEntry::is_deleted);
        Self {
            entry: id.to_string(),
            keys: keys.unwrap_or_default(),
            name: description.and_then(|it| it.name.as_deref()).map(with_lowercase),
            is_deleted,
            is_untracked: !is_deleted && description.is_some_and(|it| it.is_untracked),
        }
    }

    /// Replaces what the entry said before.
    pub(super) fn write(&self, connection: &Connection, site: &str) -> rusqlite::Result<()> {
        for delete in [
            "DELETE FROM catalogue_names WHERE site = ?1 AND entry = ?2",
            "DELETE FROM untracked WHERE site = ?1 AND entry = ?2",
        ] {
            connection.prepare_cached(delete)?.execute((site, &self.entry))?;
        }
        if let Some((name, lowercase)) = &self.name {
            let mut insert = connection.prepare_cached(
                "INSERT INTO catalogue_names (site, key, deleted, entry, name, lowercase) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            for key in &self.keys {
                insert.execute((site, key, self.is_deleted, &self.entry, name, lowercase))?;
            }
        }
        if self.is_untracked {
            let mut insert = connection
                .prepare_cached("INSERT INTO untracked (site, key, entry) VALUES (?1, ?2, ?3)")?;
            for key in &self.keys {
                insert.execute((site, key, &self.entry))?;
            }
        }
        Ok(())
    }
}

/// What an item is called, in the form in which it is written.
pub(super) struct PreparedNames {
    key: String,
    line: Option<LineName>,
    also: Vec<StockKey>,
}

struct LineName {
    version: String,
    name: String,
    lowercase: String,
}

impl PreparedNames {
    pub(super) fn new(ItemNames { key, line, also }: ItemNames) -> Self {
        let line = line.map(|(version, name)| {
            let (name, lowercase) = with_lowercase(&name);
            LineName { version: version.sort_key(), name, lowercase }
        });
        Self { key: key.to_string(), line, also }
    }

    /// Adds the names to those that are known.
    pub(super) fn write(&self, connection: &Connection, site: &str) -> rusqlite::Result<()> {
        if let Some(LineName { version, name, lowercase }) = &self.line {
            connection
                .prepare_cached(
                    "INSERT INTO line_names (site, key, version, name, lowercase) \
                     VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (site, key) DO UPDATE SET \
                     version = excluded.version, name = excluded.name, \
                     lowercase = excluded.lowercase \
                     WHERE (excluded.version, excluded.name) > (version, name)",
                )?
                .execute((site, &self.key, version, name, lowercase))?;
        }
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

/// The items that go by a name beside their key.
pub(super) fn items_named(
    connection: &Connection,
    site: &Site,
    kind: Option<StockKeyKind>,
    name: &Identifier,
    limit: usize,
) -> rusqlite::Result<Vec<StockKey>> {
    connection
        .prepare_cached(
            "SELECT DISTINCT key FROM other_names WHERE site = ?1 AND identifier = ?2 \
             AND (?3 IS NULL OR kind = ?3) ORDER BY key LIMIT ?4",
        )?
        .query_map(
            (site.as_str(), name.as_str(), kind.map(StockKeyKind::as_str), column::at_most(limit)),
            |row| column::parsed(row, "key", StockKey::parse),
        )?
        .collect()
}

/// A name, and the form by which it is looked for.
fn with_lowercase(name: &str) -> (String, String) {
    (name.to_owned(), name.to_lowercase())
}
