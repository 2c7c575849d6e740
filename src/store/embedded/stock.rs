//! What commits change in stock: items, what orders hold of them, and the change feed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rusqlite::{CachedStatement, Connection, ToSql, params_from_iter};

use super::column::{execute, first};
use super::item::{StockRow, item};
use super::names::PreparedNames;
use crate::domain::{Cause, Counts, Hold, Quantity, StockChange, TotalError};
use crate::store::Commit;

/// The changes of a commit in the form in which they are written.
pub(super) struct PreparedChanges {
    changes: Vec<PreparedChange>,
    /// What items are called since.
    names: Vec<PreparedNames>,
    /// How many of them the change feed gets.
    in_feed: i64,
    message_id: String,
    at: i64,
}

/// One change; `key` and `cause_id` are texts.
pub(super) struct PreparedChange {
    key: String,
    cause: &'static str,
    cause_id: String,
    delta: Counts,
    hold: Option<Hold>,
    closed: Option<Quantity>,
}

/// What a commit makes of the stock that it changes.
pub(super) struct Totals<'a> {
    /// Each item once.
    items: BTreeMap<&'a str, StockRow<'a>>,
    /// The counts of the item of each change, after it.
    after: Vec<Counts>,
}

impl PreparedChanges {
    pub(super) fn new(commit: &Commit) -> Self {
        let changes: Vec<_> = commit.changes.iter().map(PreparedChange::new).collect();
        let in_feed = changes.iter().filter(|change| change.is_in_feed()).count();
        Self {
            changes,
            names: PreparedNames::all_of(&commit.item_names),
            in_feed: i64::try_from(in_feed).unwrap_or(i64::MAX),
            message_id: commit.message_id.to_string(),
            at: commit.at.micros(),
        }
    }

    /// Adds the changes up, unless a total would pass a limit.
    pub(super) fn totals(
        &self,
        connection: &Connection,
        site: &str,
    ) -> rusqlite::Result<Result<Totals<'_>, TotalError>> {
        let mut find = StockRow::finder(connection)?;
        let mut items = BTreeMap::new();
        for named in &self.names {
            items.insert(
                named.key.as_str(),
                StockRow::find(&mut find, site, &named.key, Some(named))?,
            );
        }
        let mut after = Vec::with_capacity(self.changes.len());
        for change in &self.changes {
            let item = match items.entry(change.key.as_str()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    unknown.insert(StockRow::find(&mut find, site, &change.key, None)?)
                }
            };
            match item.add(change.delta, change.closed) {
                Ok(counts) => after.push(counts),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(Totals { items, after }))
    }

    /// Writes what [`totals`](Self::totals) found, and makes the site known.
    pub(super) fn write(
        &self,
        connection: &Connection,
        site: &str,
        totals: &Totals<'_>,
    ) -> rusqlite::Result<()> {
        for (key, item) in &totals.items {
            item.write(connection, site, key)?;
        }
        let mut sequence = self.reserve_sequences(connection, site)?;
        let mut insert = PreparedChange::inserter(connection)?;
        let mut hold = connection.prepare_cached(concat!(
            "INSERT INTO holds (item, order_id, committed, fulfilled) VALUES (",
            item!(),
            ", ?3, ?4, ?5) ON CONFLICT (item, order_id) DO UPDATE SET \
             committed = excluded.committed, fulfilled = excluded.fulfilled"
        ))?;
        for (change, after) in self.changes.iter().zip(&totals.after) {
            match change.hold {
                // An order that holds nothing leaves no row.
                Some(nothing) if nothing == Hold::default() => {
                    execute(
                        connection,
                        concat!("DELETE FROM holds WHERE item = ", item!(), " AND order_id = ?3"),
                        (site, &change.key, &change.cause_id),
                    )?;
                }
                Some(Hold { committed, fulfilled }) => {
                    let (committed, fulfilled) = (committed.millionths(), fulfilled.millionths());
                    hold.execute((site, &change.key, &change.cause_id, committed, fulfilled))?;
                }
                None => {}
            }
            if !change.is_in_feed() {
                continue;
            }
            change.insert(&mut insert, (site, sequence), (self.at, &self.message_id), *after)?;
            sequence += 1;
        }
        Ok(())
    }

    /// Makes the site known, and returns the first of as many numbers as the feed gets entries.
    fn reserve_sequences(&self, connection: &Connection, site: &str) -> rusqlite::Result<i64> {
        if self.in_feed == 0 {
            let insert = "INSERT INTO sites (site, last_sequence) VALUES (?1, 0) \
                          ON CONFLICT (site) DO NOTHING";
            execute(connection, insert, (site,))?;
            return Ok(0);
        }
        let select = "SELECT last_sequence FROM sites WHERE site = ?1";
        let last: Option<i64> = first(connection, select, (site,), |row| row.get(0))?;
        let write = match last {
            Some(_) => "UPDATE sites SET last_sequence = ?2 WHERE site = ?1",
            None => "INSERT INTO sites (site, last_sequence) VALUES (?1, ?2)",
        };
        let last = last.unwrap_or_default();
        execute(connection, write, (site, last + self.in_feed))?;
        Ok(last + 1)
    }
}

impl PreparedChange {
    pub(super) fn new(change: &StockChange) -> Self {
        let (cause, cause_id) = match &change.cause {
            Cause::Order(order) => ("order", order.to_string()),
            Cause::Receipt(reference) => ("receipt", reference.to_string()),
            Cause::Repair(actor) => ("repair", actor.to_string()),
        };
        Self {
            key: change.key.to_string(),
            cause,
            cause_id,
            delta: change.delta,
            // A closed order holds nothing.
            hold: change.closed.map_or(change.hold, |_| Some(Hold::default())),
            closed: change.closed,
        }
    }

    /// The statement that [`insert`](Self::insert) runs.
    pub(super) fn inserter(connection: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
        connection.prepare_cached(
            "INSERT INTO changes (site, sequence, at, key, cause, cause_id, message_id, \
             delta_received, delta_committed, delta_fulfilled, received, committed, fulfilled) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )
    }

    /// Adds the change to the feed; `after` is what the item counts after it.
    pub(super) fn insert(
        &self,
        inserter: &mut CachedStatement<'_>,
        (site, sequence): (&str, i64),
        (at, message_id): (i64, &str),
        after: Counts,
    ) -> rusqlite::Result<()> {
        let named: [&dyn ToSql; 7] =
            [&site, &sequence, &at, &self.key, &self.cause, &self.cause_id, &message_id];
        let counts = [self.delta, after]
            .map(|it| [it.received, it.committed, it.fulfilled].map(Quantity::millionths));
        let counts = counts.iter().flatten().map(|count| count as &dyn ToSql);
        inserter.execute(params_from_iter(named.into_iter().chain(counts))).map(drop)
    }

    fn is_in_feed(&self) -> bool {
        self.delta != Counts::default()
    }
}
