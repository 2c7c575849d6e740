//! The lists that orders are in, each in order of the time of the last commit.

use rusqlite::Connection;
use rusqlite::types::Value;

use super::column;
use crate::domain::{List, Lists, OrderId, Site, Timestamp};
use crate::store::{Direction, Listed, Page, StoreError};

/// What a commit changes in the lists of one order.
pub(super) struct PreparedLists {
    pub(super) name: String,
    pub(super) before: Lists,
    pub(super) after: Lists,
}

impl PreparedLists {
    /// Takes the order to a new time in its lists; `known_at` is its time there until now.
    pub(super) fn write(
        &self,
        connection: &Connection,
        site: &str,
        known_at: Option<Timestamp>,
        at: Timestamp,
    ) -> rusqlite::Result<()> {
        for list in List::ALL {
            let was_in = known_at.filter(|_| self.before.has(list));
            match (was_in, self.after.has(list)) {
                (Some(known_at), true) => {
                    if !self.shift(connection, site, list, known_at, at)? {
                        self.insert(connection, site, list, at)?;
                    }
                }
                (Some(known_at), false) => self.remove(connection, site, list, known_at)?,
                (None, true) => self.insert(connection, site, list, at)?,
                (None, false) => {}
            }
        }
        Ok(())
    }

    /// Changes the time; whether the order was there.
    fn shift(
        &self,
        connection: &Connection,
        site: &str,
        list: List,
        from: Timestamp,
        to: Timestamp,
    ) -> rusqlite::Result<bool> {
        let shifted = connection
            .prepare_cached(
                "UPDATE order_lists SET at = ?5 \
                 WHERE site = ?1 AND list = ?2 AND at = ?3 AND name = ?4",
            )?
            .execute((site, list.as_str(), from.micros(), &self.name, to.micros()))?;
        Ok(shifted > 0)
    }

    fn insert(
        &self,
        connection: &Connection,
        site: &str,
        list: List,
        at: Timestamp,
    ) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "INSERT INTO order_lists (site, list, at, name) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT DO NOTHING",
            )?
            .execute((site, list.as_str(), at.micros(), &self.name))
            .map(drop)
    }

    fn remove(
        &self,
        connection: &Connection,
        site: &str,
        list: List,
        at: Timestamp,
    ) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "DELETE FROM order_lists \
                 WHERE site = ?1 AND list = ?2 AND at = ?3 AND name = ?4",
            )?
            .execute((site, list.as_str(), at.micros(), &self.name))
            .map(drop)
    }
}

/// The place in a list that a page starts after: a time, and a name or what stands beside all names.
pub(super) type Cursor = (i64, Value);

/// Reads a cursor; without one, the place before the first order.
pub(super) fn parse_cursor(text: Option<&str>, direction: Direction) -> Result<Cursor, StoreError> {
    let Some(text) = text else {
        return Ok(match direction {
            Direction::OldestFirst => (i64::MIN, Value::Text(String::new())),
            // A BLOB is greater than every text.
            Direction::NewestFirst => (i64::MAX, Value::Blob(Vec::new())),
        });
    };
    text.split_once('.')
        .and_then(|(at, name)| Some((at.parse().ok()?, Value::Text(name.to_owned()))))
        .ok_or_else(|| StoreError::Rejected { source: "the cursor is not one of this list".into() })
}

pub(super) fn page(
    connection: &Connection,
    site: &Site,
    list: List,
    direction: Direction,
    (at, name): &Cursor,
    limit: usize,
) -> rusqlite::Result<Page<Listed>> {
    let select = match direction {
        Direction::OldestFirst => {
            "SELECT at, name FROM order_lists WHERE site = ?1 AND list = ?2 \
             AND (at, name) > (?3, ?4) ORDER BY at, name LIMIT ?5"
        }
        Direction::NewestFirst => {
            "SELECT at, name FROM order_lists WHERE site = ?1 AND list = ?2 \
             AND (at, name) < (?3, ?4) ORDER BY at DESC, name DESC LIMIT ?5"
        }
    };
    let values = (site.as_str(), list.as_str(), at, name, column::page_and_one(limit));
    let orders = connection
        .prepare_cached(select)?
        .query_map(values, |row| {
            let order = column::parsed(row, "name", OrderId::parse)?;
            Ok(Listed { order, at: column::time(row, "at")? })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(column::page(orders, limit, |last| format!("{}.{}", last.at.micros(), last.order)))
}

/// How many orders are in a list. Each site's part of it is a range of the table.
pub(super) fn count(connection: &Connection, list: List) -> rusqlite::Result<u64> {
    connection
        .prepare_cached(
            "SELECT coalesce(sum((SELECT count(*) FROM order_lists \
             WHERE order_lists.site = sites.site AND list = ?1)), 0) FROM sites",
        )?
        .query_row((list.as_str(),), |row| row.get::<_, i64>(0).map(i64::cast_unsigned))
}
