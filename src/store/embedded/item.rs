//! A stock item's row: what it counts, and the name that lines give it.

use rusqlite::{CachedStatement, Connection, OptionalExtension, ToSql, params_from_iter};

use super::column;
use super::names::PreparedNames;
use crate::domain::{Counts, Quantity, STOCK_TOTAL_MAX, TotalError};

/// SQL for the number of the item with site `?1` and key `?2`.
macro_rules! item {
    () => {
        "(SELECT item FROM items WHERE site = ?1 AND key = ?2)"
    };
}
pub(super) use item;

/// Gives an item a number, unless it has one.
pub(super) fn number(connection: &Connection, site: &str, key: &str) -> rusqlite::Result<()> {
    let insert = "INSERT INTO items (site, key) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    column::execute(connection, insert, (site, key)).map(drop)
}

/// A row as a commit finds it, and as it leaves it.
pub(super) struct StockRow<'a> {
    before: Option<StockCounts>,
    after: StockCounts,
    /// The names that the commit gives it.
    names: Option<&'a PreparedNames>,
    /// How that compares with the row.
    naming: NameMatch,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct StockCounts {
    counts: Counts,
    closed_orders: i64,
    closed_fulfilled: Quantity,
    /// Whether anything was ever counted of it.
    is_counted: bool,
}

/// How the names that a commit gives an item compare with its row.
#[derive(Clone, Copy)]
struct NameMatch {
    /// The row's name is of a lower version, or there is none.
    is_newer: bool,
    /// The name is the row's.
    is_same_name: bool,
    /// The names beside the key are the row's.
    is_same_mark: bool,
}

impl NameMatch {
    const fn of_a_new_row() -> Self {
        Self { is_newer: true, is_same_name: false, is_same_mark: false }
    }
}

impl<'a> StockRow<'a> {
    /// The statement that [`find`](Self::find) runs.
    pub(super) fn finder(connection: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
        connection.prepare_cached(
            "SELECT received, committed, fulfilled, closed_orders, closed_fulfilled, is_counted, \
             coalesce((line_version, line_name) < (?3, ?4), TRUE) AS is_newer, \
             line_name IS ?4 AS is_same_name, line_mark IS ?5 AS is_same_mark \
             FROM stock WHERE site = ?1 AND key = ?2",
        )
    }

    /// The item as it is; one that is not there counts nothing.
    pub(super) fn find(
        finder: &mut CachedStatement<'_>,
        site: &str,
        key: &str,
        names: Option<&'a PreparedNames>,
    ) -> rusqlite::Result<Self> {
        let line = names.and_then(|names| names.line.as_ref());
        let version = line.map(|line| &line.version);
        let (name, mark) = (line.map(|line| &line.name), names.map(|names| &names.mark));
        let found = finder
            .query_row((site, key, version, name, mark), |row| {
                let found = StockCounts {
                    counts: column::counts(row, 0)?,
                    closed_orders: row.get("closed_orders")?,
                    closed_fulfilled: column::quantity(row, "closed_fulfilled")?,
                    is_counted: row.get("is_counted")?,
                };
                let naming = NameMatch {
                    is_newer: row.get("is_newer")?,
                    is_same_name: row.get("is_same_name")?,
                    is_same_mark: row.get("is_same_mark")?,
                };
                Ok((found, naming))
            })
            .optional()?;
        let (before, naming) = found.unzip();
        Ok(Self {
            before,
            after: before.unwrap_or_default(),
            names,
            naming: naming.unwrap_or_else(NameMatch::of_a_new_row),
        })
    }

    /// Adds to what it counts, and to what closed orders keep of it; returns the counts.
    pub(super) fn add(
        &mut self,
        delta: Counts,
        closed: Option<Quantity>,
    ) -> Result<Counts, TotalError> {
        let row = &mut self.after;
        row.counts = row.counts.plus(delta)?;
        row.is_counted = true;
        if let Some(fulfilled) = closed {
            let most = Quantity::from_millionths(STOCK_TOTAL_MAX);
            let sum = row.closed_fulfilled.checked_add(fulfilled);
            row.closed_fulfilled = sum.filter(|sum| *sum <= most).ok_or(TotalError::TooLarge)?;
            row.closed_orders = row.closed_orders.saturating_add(1);
        }
        Ok(row.counts)
    }

    /// Writes what changed.
    pub(super) fn write(
        &self,
        connection: &Connection,
        site: &str,
        key: &str,
    ) -> rusqlite::Result<()> {
        let line = self.names.and_then(|names| names.line.as_ref());
        let line = line.filter(|_| self.naming.is_newer);
        let StockCounts { counts, closed_orders, closed_fulfilled, is_counted } = self.after;
        let Counts { received, committed, fulfilled } = counts;
        let [received, committed, fulfilled, closed_fulfilled] =
            [received, committed, fulfilled, closed_fulfilled].map(Quantity::millionths);
        let version = line.map(|line| &line.version);
        let row: [&dyn ToSql; 9] = [
            &site,
            &key,
            &received,
            &committed,
            &fulfilled,
            &closed_orders,
            &closed_fulfilled,
            &is_counted,
            &version,
        ];
        if let Some(names) = self.names
            && !(self.naming.is_same_mark && names.line.is_some())
        {
            names.write_others(connection, site)?;
        }
        let is_renamed = line.is_some() && !(self.naming.is_same_name && self.naming.is_same_mark);
        if self.before.is_some() && !is_renamed {
            if line.is_none() && self.before == Some(self.after) {
                return Ok(());
            }
            // The usual case: no index is touched.
            let update = "UPDATE stock SET received = ?3, committed = ?4, fulfilled = ?5, \
                          closed_orders = ?6, closed_fulfilled = ?7, is_counted = ?8, \
                          line_version = coalesce(?9, line_version) WHERE site = ?1 AND key = ?2";
            return column::execute(connection, update, &row[..]).map(drop);
        }
        if line.is_none() && !is_counted {
            return Ok(());
        }
        if self.before.is_none() {
            number(connection, site, key)?;
        }
        let (name, lowercase) = line.map(|line| (&line.name, &line.lowercase)).unzip();
        let mark = line.and(self.names).map(|names| &names.mark);
        let naming: [&dyn ToSql; 3] = [&name, &lowercase, &mark];
        column::execute(
            connection,
            "INSERT INTO stock (site, key, received, committed, fulfilled, closed_orders, \
             closed_fulfilled, is_counted, line_version, line_name, line_lowercase, line_mark) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
             ON CONFLICT (site, key) DO UPDATE SET received = ?3, committed = ?4, \
             fulfilled = ?5, closed_orders = ?6, closed_fulfilled = ?7, is_counted = ?8, \
             line_version = ?9, line_name = ?10, line_lowercase = ?11, line_mark = ?12",
            params_from_iter(row.into_iter().chain(naming)),
        )
        .map(drop)
    }
}
