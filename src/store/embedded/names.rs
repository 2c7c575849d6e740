//! What items are called: by the catalogue, by lines of orders, and the other names by which they
//! can be found.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::Connection;

use super::column;
use crate::domain::{
    CatalogueEntry, CatalogueId, Identifier, ItemNames, Site, StockKey, StockKeyKind, Version,
};
use crate::store::named::{Named, keys_of};

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
    pub(super) key: String,
    /// What a line calls it.
    pub(super) line: Option<LineName>,
    /// A mark of the names beside its key: where it stands, those are written already.
    pub(super) mark: i64,
    also: Vec<StockKey>,
}

pub(super) struct LineName {
    pub(super) version: Arc<str>,
    pub(super) name: String,
    pub(super) lowercase: String,
}

impl PreparedNames {
    pub(super) fn all_of(names: &[ItemNames]) -> Vec<Self> {
        let mut last: Option<(Version, Arc<str>)> = None;
        // All lines of an order have one version.
        let mut sort_key = |version: &Version| match &last {
            Some((last, text)) if last == version => Arc::clone(text),
            _ => {
                let text = Arc::from(version.sort_key());
                last = Some((*version, Arc::clone(&text)));
                text
            }
        };
        let all = Named::all_of(names).into_iter();
        all.map(|named| Self::new(named, &mut sort_key)).collect()
    }

    fn new(named: Named<'_>, mut sort_key: impl FnMut(&Version) -> Arc<str>) -> Self {
        let line = named.line.map(|(version, name)| {
            let (name, lowercase) = with_lowercase(name);
            LineName { version: sort_key(version), name, lowercase }
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
    let mut named: BTreeSet<String> = connection
        .prepare_cached(
            "SELECT DISTINCT key FROM other_names WHERE site = ?1 AND identifier = ?2 \
             AND (?3 IS NULL OR kind = ?3) ORDER BY key LIMIT ?4",
        )?
        .query_map(
            (site.as_str(), name.as_str(), kind.map(StockKeyKind::as_str), column::at_most(limit)),
            |row| row.get("key"),
        )?
        .collect::<rusqlite::Result<_>>()?;
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

/// A name, and the form by which it is looked for.
fn with_lowercase(name: &str) -> (String, String) {
    (name.to_owned(), name.to_lowercase())
}
