//! The times of the leader, by which retention knows a clock that is wrong: one row.

use rusqlite::Connection;

use super::column;
use crate::domain::{LeaderClock, Timestamp};

pub(super) fn find(connection: &Connection) -> rusqlite::Result<Option<LeaderClock>> {
    column::first(connection, "SELECT trusted, doubted FROM leader_clock", (), |row| {
        let doubted: Option<i64> = row.get("doubted")?;
        Ok(LeaderClock {
            trusted: column::time(row, "trusted")?,
            doubted: doubted.map(Timestamp::from_micros),
        })
    })
}

pub(super) fn record(connection: &Connection, clock: LeaderClock) -> rusqlite::Result<()> {
    column::execute(
        connection,
        "INSERT OR REPLACE INTO leader_clock (only, trusted, doubted) VALUES (1, ?1, ?2)",
        (clock.trusted.micros(), clock.doubted.map(Timestamp::micros)),
    )
    .map(drop)
}
