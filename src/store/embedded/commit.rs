//! The hot path: writes one commit after another inside the writer's transaction.
//!
//! Texts are made before the writer's thread is asked, so that it only binds and compares. All
//! that can refuse a commit is looked at before its first write: a commit that is not written has
//! nothing to undo, and does not touch its neighbours. An error of SQLite undoes the whole call.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension};

use super::entity::Place;
use super::{closing, column};
use crate::domain::{Counts, Hold, OrderId, OrderState, PolicyRevision, StockChange, TotalError};
use crate::store::{Commit, Committed, EntityName, EntityState, Revision, StoreError, state};

/// A commit in the form in which it is written.
pub(super) struct PreparedCommit {
    site: String,
    place: Place,
    loaded: Option<Revision>,
    revision: Revision,
    state: String,
    settled_at: Option<i64>,
    /// The policy that an order was computed with.
    policy: Option<PolicyRevision>,
    changes: Vec<PreparedChange>,
    cause: Option<Cause>,
    message_id: String,
    at: i64,
    borne: Vec<BorneName>,
    given: Option<GivenNames>,
}

struct PreparedChange {
    key: String,
    delta: Counts,
    hold: Option<Hold>,
}

/// What the changes of stock are due to: it stands in the change feed, and an order in its holds.
enum Cause {
    Order(String),
    Receipt(String),
}

/// A name that an order bears.
struct BorneName {
    name: String,
    is_exclusive: bool,
}

/// The name that a catalogue entry gives to stock items.
struct GivenNames {
    entry: String,
    is_deleted: bool,
    name: Option<String>,
    keys: BTreeSet<String>,
}

impl PreparedCommit {
    /// Checks a commit's form and makes its texts.
    pub(super) fn new(commit: &Commit) -> Result<Self, StoreError> {
        commit.check_form()?;
        Ok(Self {
            site: commit.entity.site.to_string(),
            place: Place::of(&commit.entity),
            loaded: commit.loaded,
            revision: Revision(rand::random()),
            state: state::encode_entity(&commit.state)?,
            settled_at: is_settled(&commit.state).then_some(commit.at.micros()),
            policy: match &commit.state {
                EntityState::Order(order) => Some(order.policy),
                EntityState::Catalogue(_) | EntityState::Receipt(_) => None,
            },
            changes: commit.changes.iter().map(PreparedChange::new).collect(),
            cause: Cause::of(&commit.entity.name),
            message_id: commit.message_id.to_string(),
            at: commit.at.micros(),
            borne: BorneName::all_of(commit),
            given: GivenNames::of(commit),
        })
    }

    /// Writes the commit if its revision, its policy and its totals allow it.
    pub(super) fn write(
        &self,
        connection: &Connection,
        in_force: Option<PolicyRevision>,
    ) -> rusqlite::Result<Committed> {
        if self.policy.zip(in_force).is_some_and(|(policy, in_force)| policy != in_force) {
            return Ok(Committed::PolicyChanged);
        }
        let found = self.place.revision(connection)?;
        if found != self.loaded {
            return Ok(Committed::Conflict);
        }
        if let (None, Some(Cause::Order(order))) = (found, &self.cause)
            && let Some(watermark) = closing::find(connection, &self.site, order)?
        {
            return Ok(Committed::Closed { watermark });
        }
        let totals = match self.totals(connection)? {
            Ok(totals) => totals,
            Err(error) => return Ok(Committed::Overflow(error)),
        };
        let (exists, settled_at) = (found.is_some(), self.settled_at);
        self.place.write(connection, exists, self.revision, &self.state, settled_at)?;
        let mut sequence = self.reserve_sequences(connection)?;
        for (change, after) in self.changes.iter().zip(&totals) {
            self.write_stock(connection, change, after)?;
            self.write_hold(connection, change)?;
            if change.delta != Counts::default() {
                self.write_change(connection, sequence, change, &after.counts)?;
                sequence += 1;
            }
        }
        if let Some(given) = &self.given {
            given.write(connection, &self.site)?;
        }
        Ok(Committed::Written { alias_conflict: self.write_aliases(connection)? })
    }

    /// What the changed items will count, unless one of them would pass a limit.
    fn totals(&self, connection: &Connection) -> rusqlite::Result<Result<Vec<Total>, TotalError>> {
        let mut totals = Vec::with_capacity(self.changes.len());
        for change in &self.changes {
            let found = find_counts(connection, &self.site, &change.key)?;
            match found.unwrap_or_default().plus(change.delta) {
                Ok(counts) => totals.push(Total { counts, is_written: found == Some(counts) }),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(totals))
    }

    fn write_stock(
        &self,
        connection: &Connection,
        change: &PreparedChange,
        after: &Total,
    ) -> rusqlite::Result<()> {
        if after.is_written {
            return Ok(());
        }
        let [received, committed, fulfilled] = millionths(&after.counts);
        connection
            .prepare_cached(
                "INSERT INTO stock (site, key, received, committed, fulfilled) \
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (site, key) DO UPDATE SET \
                 received = excluded.received, committed = excluded.committed, \
                 fulfilled = excluded.fulfilled",
            )?
            .execute((&self.site, &change.key, received, committed, fulfilled))?;
        Ok(())
    }

    /// Writes what an order holds; holding nothing leaves no row.
    fn write_hold(&self, connection: &Connection, change: &PreparedChange) -> rusqlite::Result<()> {
        let (Some(hold), Some(Cause::Order(order))) = (change.hold, &self.cause) else {
            return Ok(());
        };
        if hold == Hold::default() {
            connection
                .prepare_cached("DELETE FROM holds WHERE site = ?1 AND key = ?2 AND order_id = ?3")?
                .execute((&self.site, &change.key, order))?;
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
                &self.site,
                &change.key,
                order,
                hold.committed.millionths(),
                hold.fulfilled.millionths(),
            ))?;
        Ok(())
    }

    /// Makes the site known, and answers the first of as many numbers as the feed gets entries.
    fn reserve_sequences(&self, connection: &Connection) -> rusqlite::Result<i64> {
        let count = self.changes.iter().filter(|change| change.delta != Counts::default()).count();
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        if count == 0 {
            connection
                .prepare_cached(
                    "INSERT INTO sites (site, last_sequence) VALUES (?1, 0) \
                     ON CONFLICT (site) DO NOTHING",
                )?
                .execute((&self.site,))?;
            return Ok(0);
        }
        let last: i64 = connection
            .prepare_cached(
                "INSERT INTO sites (site, last_sequence) VALUES (?1, ?2) \
                 ON CONFLICT (site) DO UPDATE SET \
                 last_sequence = last_sequence + excluded.last_sequence RETURNING last_sequence",
            )?
            .query_row((&self.site, count), |row| row.get(0))?;
        Ok(last - count + 1)
    }

    fn write_change(
        &self,
        connection: &Connection,
        sequence: i64,
        change: &PreparedChange,
        after: &Counts,
    ) -> rusqlite::Result<()> {
        let Some(cause) = &self.cause else { return Ok(()) };
        let (cause, cause_id) = cause.as_columns();
        connection
            .prepare_cached(
                "INSERT INTO changes (site, sequence, at, key, cause, cause_id, message_id, \
                 delta_received, delta_committed, delta_fulfilled, \
                 received, committed, fulfilled) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?
            .execute((
                &self.site,
                sequence,
                self.at,
                &change.key,
                cause,
                cause_id,
                &self.message_id,
                change.delta.received.millionths(),
                change.delta.committed.millionths(),
                change.delta.fulfilled.millionths(),
                after.received.millionths(),
                after.committed.millionths(),
                after.fulfilled.millionths(),
            ))?;
        Ok(())
    }

    /// Remembers the names that the order bears, and answers whether one that is new to it is
    /// exclusive and borne by another order already.
    fn write_aliases(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let Some(Cause::Order(order)) = &self.cause else { return Ok(false) };
        let mut insert = connection.prepare_cached(
            "INSERT INTO aliases (site, alias, order_id) VALUES (?1, ?2, ?3) \
             ON CONFLICT DO NOTHING",
        )?;
        let mut conflict = false;
        for borne in &self.borne {
            let is_new = insert.execute((&self.site, &borne.name, order))? > 0;
            if is_new && borne.is_exclusive && !conflict {
                conflict = is_borne_by_another(connection, &self.site, &borne.name, order)?;
            }
        }
        Ok(conflict)
    }
}

/// A stock item after a commit.
struct Total {
    counts: Counts,
    /// Whether the table says so already.
    is_written: bool,
}

impl Cause {
    fn of(name: &EntityName) -> Option<Self> {
        match name {
            EntityName::Order(order) => Some(Self::Order(order.to_string())),
            EntityName::Receipt(receipt) => Some(Self::Receipt(receipt.reference.to_string())),
            EntityName::Catalogue(_) => None,
        }
    }

    fn as_columns(&self) -> (&'static str, &str) {
        match self {
            Self::Order(order) => ("order", order),
            Self::Receipt(reference) => ("receipt", reference),
        }
    }
}

impl PreparedChange {
    fn new(change: &StockChange) -> Self {
        Self { key: change.key.to_string(), delta: change.delta, hold: change.hold }
    }
}

impl BorneName {
    fn all_of(commit: &Commit) -> Vec<Self> {
        let (EntityName::Order(order), EntityState::Order(state)) =
            (&commit.entity.name, &commit.state)
        else {
            return Vec::new();
        };
        borne_names(order, state)
            .into_iter()
            .map(|name| Self { name: name.to_string(), is_exclusive: name.kind.is_exclusive() })
            .collect()
    }
}

impl GivenNames {
    fn of(commit: &Commit) -> Option<Self> {
        let (EntityName::Catalogue(id), EntityState::Catalogue(entry)) =
            (&commit.entity.name, &commit.state)
        else {
            return None;
        };
        Some(Self {
            entry: id.to_string(),
            is_deleted: entry.is_deleted(),
            name: entry.description.name.clone(),
            keys: entry.description.stock_keys.iter().map(ToString::to_string).collect(),
        })
    }

    /// Replaces the names that the entry gave before.
    fn write(&self, connection: &Connection, site: &str) -> rusqlite::Result<()> {
        connection
            .prepare_cached("DELETE FROM names WHERE site = ?1 AND entry = ?2")?
            .execute((site, &self.entry))?;
        let Some(name) = &self.name else { return Ok(()) };
        let lowercase = name.to_lowercase();
        let mut insert = connection.prepare_cached(
            "INSERT INTO names (site, key, deleted, entry, name, lowercase) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for key in &self.keys {
            insert.execute((site, key, self.is_deleted, &self.entry, name, &lowercase))?;
        }
        Ok(())
    }
}

/// Every name of an order, its own among them, each once.
pub(super) fn borne_names<'a>(order: &'a OrderId, state: &'a OrderState) -> BTreeSet<&'a OrderId> {
    state.aliases.iter().chain([order]).collect()
}

/// Whether an order of the site other than `order` bears the name.
pub(super) fn is_borne_by_another(
    connection: &Connection,
    site: &str,
    name: &str,
    order: &str,
) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT EXISTS \
             (SELECT 1 FROM aliases WHERE site = ?1 AND alias = ?2 AND order_id <> ?3)",
        )?
        .query_row((site, name, order), |row| row.get(0))
}

fn is_settled(state: &EntityState) -> bool {
    matches!(state, EntityState::Order(order) if order.is_settled())
}

fn find_counts(connection: &Connection, site: &str, key: &str) -> rusqlite::Result<Option<Counts>> {
    connection
        .prepare_cached(
            "SELECT received, committed, fulfilled FROM stock WHERE site = ?1 AND key = ?2",
        )?
        .query_row((site, key), |row| column::counts(row, 0))
        .optional()
}

const fn millionths(counts: &Counts) -> [i64; 3] {
    [counts.received.millionths(), counts.committed.millionths(), counts.fulfilled.millionths()]
}
