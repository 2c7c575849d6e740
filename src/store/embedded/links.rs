//! What was seen beside second names and invoice numbers of orders.

use rusqlite::{Connection, OptionalExtension};

use super::column;
use crate::domain::{Link, OrderId, Site};
use crate::store::{Page, PageRequest};

/// A link in the form in which it is compared and written.
pub(super) struct PreparedLink {
    name: String,
    ids: Option<String>,
}

impl PreparedLink {
    pub(super) fn all_of(links: &[(OrderId, Option<Link>)]) -> Vec<Self> {
        let prepared = |(name, link): &(OrderId, Option<Link>)| Self {
            name: name.to_string(),
            ids: link.as_ref().map(Link::to_text),
        };
        links.iter().map(prepared).collect()
    }

    /// Whether the link is this one still.
    pub(super) fn is_there(&self, connection: &Connection, site: &str) -> rusqlite::Result<bool> {
        connection
            .prepare_cached(FIND)?
            .query_row((site, &self.name), |row| Ok(Some(column::text(row, "ids")?) == self.ids()))
            .optional()
            .map(|found| found.unwrap_or_else(|| self.ids.is_none()))
    }

    pub(super) fn write(&self, connection: &Connection, site: &str) -> rusqlite::Result<()> {
        match self.ids() {
            Some(ids) => connection
                .prepare_cached(
                    "INSERT INTO links (site, name, ids) VALUES (?1, ?2, ?3) \
                     ON CONFLICT (site, name) DO UPDATE SET ids = excluded.ids",
                )?
                .execute((site, &self.name, ids)),
            None => connection
                .prepare_cached("DELETE FROM links WHERE site = ?1 AND name = ?2")?
                .execute((site, &self.name)),
        }
        .map(drop)
    }

    fn ids(&self) -> Option<&str> {
        self.ids.as_deref()
    }
}

const FIND: &str = "SELECT ids FROM links WHERE site = ?1 AND name = ?2";

pub(super) fn find(
    connection: &Connection,
    site: &Site,
    name: &OrderId,
) -> rusqlite::Result<Option<Link>> {
    connection
        .prepare_cached(FIND)?
        .query_row((site.as_str(), name.to_string()), |row| column::parsed(row, "ids", Link::parse))
        .optional()
}

pub(super) fn list(
    connection: &Connection,
    site: &Site,
    page: &PageRequest,
) -> rusqlite::Result<Page<(OrderId, Link)>> {
    let after = page.after.as_deref().unwrap_or_default();
    let links = connection
        .prepare_cached(
            "SELECT name, ids FROM links WHERE site = ?1 AND name > ?2 ORDER BY name LIMIT ?3",
        )?
        .query_map((site.as_str(), after, column::page_and_one(page.limit)), |row| {
            let name = column::parsed(row, "name", OrderId::parse)?;
            Ok((name, column::parsed(row, "ids", Link::parse)?))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(column::page(links, page.limit, |(name, _)| name.to_string()))
}
