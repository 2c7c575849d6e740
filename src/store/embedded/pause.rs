//! The pause of the work queue: one row, or none.

use rusqlite::Connection;

use super::column;
use crate::domain::{Identifier, Pause};

pub(super) fn find(connection: &Connection) -> rusqlite::Result<Option<Pause>> {
    column::first(connection, "SELECT actor, at, reason FROM pause", (), |row| {
        Ok(Pause {
            actor: column::parsed(row, "actor", Identifier::parse)?,
            at: column::time(row, "at")?,
            reason: column::parsed_if_any(row, "reason", Identifier::parse)?,
        })
    })
}

/// Begins a pause, unless there is one; returns the one that is in effect.
pub(super) fn begin(connection: &Connection, pause: &Pause) -> rusqlite::Result<Pause> {
    let Pause { actor, at, reason } = pause;
    column::execute(
        connection,
        "INSERT INTO pause (only, actor, at, reason) VALUES (1, ?1, ?2, ?3) \
         ON CONFLICT (only) DO NOTHING",
        (actor.as_str(), at.micros(), reason.as_ref().map(Identifier::as_str)),
    )?;
    Ok(find(connection)?.unwrap_or_else(|| pause.clone()))
}

/// Ends the pause, and returns it.
pub(super) fn end(connection: &Connection) -> rusqlite::Result<Option<Pause>> {
    let ended = find(connection)?;
    column::execute(connection, "DELETE FROM pause", ())?;
    Ok(ended)
}
