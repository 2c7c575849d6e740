//! What commits change in stock: items, what orders hold of them, and the change feed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rusqlite::{Connection, OptionalExtension};

use super::column;
use crate::domain::{
    Cause, Counts, Hold, MessageId, Quantity, STOCK_TOTAL_MAX, StockChange, Timestamp, TotalError,
};

/// The changes of a commit in the form in which they are written.
pub(super) struct PreparedChanges {
    changes: Vec<PreparedChange>,
    /// How many of them the change feed gets.
    in_feed: i64,
    message_id: String,
    at: i64,
}

struct PreparedChange {
    key: String,
    cause: &'static str,
    cause_id: String,
    delta: Counts,
    hold: Option<Hold>,
    closed: Option<Quantity>,
}

/// What a commit makes of the stock that it changes.
pub(super) struct Totals<'a> {
    /// Each item once: as it is, and as it will be.
    items: BTreeMap<&'a str, (Option<Item>, Item)>,
    /// The counts of the item of each change, after it.
    after: Vec<Counts>,
}

/// A stock item's row.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Item {
    counts: Counts,
    closed_orders: i64,
    closed_fulfilled: Quantity,
}

impl PreparedChanges {
    pub(super) fn new(changes: &[StockChange], message_id: MessageId, at: Timestamp) -> Self {
        let changes: Vec<_> = changes.iter().map(PreparedChange::new).collect();
        let in_feed = changes.iter().filter(|change| change.is_in_feed()).count();
        Self {
            changes,
            in_feed: i64::try_from(in_feed).unwrap_or(i64::MAX),
            message_id: message_id.to_string(),
            at: at.micros(),
        }
    }

    /// Adds the changes up, unless a total would pass a limit.
    pub(super) fn totals(
        &self,
        connection: &Connection,
        site: &str,
    ) -> rusqlite::Result<Result<Totals<'_>, TotalError>> {
        let mut items = BTreeMap::new();
        let mut after = Vec::with_capacity(self.changes.len());
        for change in &self.changes {
            let (_, item) = match items.entry(change.key.as_str()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    let found = Item::find(connection, site, &change.key)?;
                    unknown.insert((found, found.unwrap_or_default()))
                }
            };
            match item.plus(change) {
                Ok(sum) => *item = sum,
                Err(error) => return Ok(Err(error)),
            }
            after.push(item.counts);
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
        for (key, (before, after)) in &totals.items {
            if *before != Some(*after) {
                after.write(connection, site, key)?;
            }
        }
        let mut sequence = self.reserve_sequences(connection, site)?;
        for (change, after) in self.changes.iter().zip(&totals.after) {
            change.write_hold(connection, site)?;
            if change.is_in_feed() {
                self.write_change(connection, site, sequence, change, after)?;
                sequence += 1;
            }
        }
        Ok(())
    }

    /// Makes the site known, and answers the first of as many numbers as the feed gets entries.
    fn reserve_sequences(&self, connection: &Connection, site: &str) -> rusqlite::Result<i64> {
        if self.in_feed == 0 {
            connection
                .prepare_cached(
                    "INSERT INTO sites (site, last_sequence) VALUES (?1, 0) \
                     ON CONFLICT (site) DO NOTHING",
                )?
                .execute((site,))?;
            return Ok(0);
        }
        let last: i64 = connection
            .prepare_cached(
                "INSERT INTO sites (site, last_sequence) VALUES (?1, ?2) \
                 ON CONFLICT (site) DO UPDATE SET \
                 last_sequence = last_sequence + excluded.last_sequence RETURNING last_sequence",
            )?
            .query_row((site, self.in_feed), |row| row.get(0))?;
        Ok(last - self.in_feed + 1)
    }

    fn write_change(
        &self,
        connection: &Connection,
        site: &str,
        sequence: i64,
        change: &PreparedChange,
        after: &Counts,
    ) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "INSERT INTO changes (site, sequence, at, key, cause, cause_id, message_id, \
                 delta_received, delta_committed, delta_fulfilled, \
                 received, committed, fulfilled) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?
            .execute((
                site,
                sequence,
                self.at,
                &change.key,
                change.cause,
                &change.cause_id,
                &self.message_id,
                change.delta.received.millionths(),
                change.delta.committed.millionths(),
                change.delta.fulfilled.millionths(),
                after.received.millionths(),
                after.committed.millionths(),
                after.fulfilled.millionths(),
            ))
            .map(drop)
    }
}

impl PreparedChange {
    fn new(change: &StockChange) -> Self {
        let (cause, cause_id) = match &change.cause {
            Cause::Order(order) => ("order", order.to_string()),
            Cause::Receipt(reference) => ("receipt", reference.to_string()),
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

    fn is_in_feed(&self) -> bool {
        self.delta != Counts::default()
    }

    /// Writes what the order holds, which is the cause then; holding nothing leaves no row.
    fn write_hold(&self, connection: &Connection, site: &str) -> rusqlite::Result<()> {
        let Some(hold) = self.hold else { return Ok(()) };
        if hold == Hold::default() {
            connection
                .prepare_cached("DELETE FROM holds WHERE site = ?1 AND key = ?2 AND order_id = ?3")?
                .execute((site, &self.key, &self.cause_id))?;
            return Ok(());
        }
        connection
            .prepare_cached(
                "INSERT INTO holds (site, key, order_id, committed, fulfilled) \
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (site, key, order_id) DO UPDATE SET \
                 committed = excluded.committed, fulfilled = excluded.fulfilled \
                 WHERE committed <> excluded.committed OR fulfilled <> excluded.fulfilled",
            )?
            .execute((
                site,
                &self.key,
                &self.cause_id,
                hold.committed.millionths(),
                hold.fulfilled.millionths(),
            ))
            .map(drop)
    }
}

impl Item {
    fn find(connection: &Connection, site: &str, key: &str) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached(
                "SELECT received, committed, fulfilled, closed_orders, closed_fulfilled \
                 FROM stock WHERE site = ?1 AND key = ?2",
            )?
            .query_row((site, key), |row| {
                Ok(Self {
                    counts: column::counts(row, 0)?,
                    closed_orders: row.get(3)?,
                    closed_fulfilled: column::quantity(row, 4)?,
                })
            })
            .optional()
    }

    /// The item after a change.
    fn plus(self, change: &PreparedChange) -> Result<Self, TotalError> {
        let counts = self.counts.plus(change.delta)?;
        let Some(fulfilled) = change.closed else { return Ok(Self { counts, ..self }) };
        let most = Quantity::from_millionths(STOCK_TOTAL_MAX);
        let closed_fulfilled = self.closed_fulfilled.checked_add(fulfilled);
        let closed_fulfilled =
            closed_fulfilled.filter(|sum| *sum <= most).ok_or(TotalError::TooLarge)?;
        Ok(Self { counts, closed_orders: self.closed_orders.saturating_add(1), closed_fulfilled })
    }

    fn write(&self, connection: &Connection, site: &str, key: &str) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "INSERT INTO stock (site, key, received, committed, fulfilled, \
                 closed_orders, closed_fulfilled) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (site, key) DO UPDATE SET \
                 received = excluded.received, committed = excluded.committed, \
                 fulfilled = excluded.fulfilled, closed_orders = excluded.closed_orders, \
                 closed_fulfilled = excluded.closed_fulfilled",
            )?
            .execute((
                site,
                key,
                self.counts.received.millionths(),
                self.counts.committed.millionths(),
                self.counts.fulfilled.millionths(),
                self.closed_orders,
                self.closed_fulfilled.millionths(),
            ))
            .map(drop)
    }
}
