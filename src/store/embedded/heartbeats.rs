//! The last heartbeat of each process.

use rusqlite::Connection;

use super::column;
use crate::domain::Timestamp;
use crate::domain::heartbeat::Heartbeat;
use crate::store::PROCESSES_MAX;

/// Records a heartbeat, unless a later one of the process is there, and forgets old ones.
pub(super) fn record(
    connection: &Connection,
    beat: &Heartbeat,
    forget_before: Timestamp,
) -> rusqlite::Result<()> {
    column::execute(
        connection,
        "INSERT INTO heartbeats (process, at, beat) VALUES (?1, ?2, ?3) \
         ON CONFLICT (process) DO UPDATE SET at = excluded.at, beat = excluded.beat \
         WHERE excluded.at >= at",
        (&beat.process, beat.at.micros(), beat.body()),
    )?;
    column::execute(
        connection,
        "DELETE FROM heartbeats WHERE at < ?1 OR process IN \
           (SELECT process FROM heartbeats ORDER BY at DESC, process LIMIT -1 OFFSET ?2)",
        (forget_before.micros(), column::at_most(PROCESSES_MAX)),
    )?;
    Ok(())
}

/// The heartbeats that can be read, the newest first.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<Heartbeat>> {
    let select = "SELECT beat FROM heartbeats ORDER BY at DESC, process";
    let beats = column::all(connection, select, (), |row| {
        Ok(Heartbeat::parse(column::text(row, "beat")?.as_bytes()))
    })?;
    Ok(beats.into_iter().flatten().collect())
}
