//! Replays: their records, lists and counters, and who runs them.

use rusqlite::{Connection, OptionalExtension, Row};

use super::column::{self, UnknownValue};
use crate::domain::dead_letter::{
    Counter, DeadLetterName, Fence, ReplayCounts, ReplayId, ReplayState,
};
use crate::store::{LoadedReplay, ReplayList, ReplayPlace, ReplayWrite, Revision, state};

/// Whether the record is still as it was read.
pub(super) fn is_as_read(connection: &Connection, write: &ReplayWrite) -> rusqlite::Result<bool> {
    let found = connection
        .prepare_cached("SELECT rev FROM replays WHERE id = ?1")?
        .query_row([write.id.to_string()], |row| row.get::<_, i64>(0))
        .optional()?;
    Ok(found == write.before.map(|(Revision(revision), _)| revision.cast_signed()))
}

pub(super) fn write(connection: &Connection, write: &ReplayWrite) -> rusqlite::Result<()> {
    let id = write.id.to_string();
    let Some(after) = &write.after else {
        for statement in [
            "DELETE FROM replays WHERE id = ?1",
            "DELETE FROM replay_counts WHERE replay = ?1",
            "DELETE FROM replay_chunks WHERE replay = ?1",
        ] {
            connection.prepare_cached(statement)?.execute([&id])?;
        }
        return Ok(());
    };
    connection
        .prepare_cached(
            "INSERT INTO replays (id, rev, record, made_at, is_making, is_open) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO UPDATE SET \
             rev = excluded.rev, record = excluded.record, is_making = excluded.is_making, \
             is_open = excluded.is_open",
        )?
        .execute((
            &id,
            rand::random::<u64>().cast_signed(),
            column::encoded(after)?,
            after.made_at.micros(),
            after.state == ReplayState::Making,
            write.is_open,
        ))?;
    if let Some((number, names)) = &write.chunk {
        connection
            .prepare_cached("INSERT INTO replay_chunks (replay, chunk, names) VALUES (?1, ?2, ?3)")?
            .execute((&id, number, column::encoded(names)?))?;
    }
    Ok(())
}

/// Adds to a counter of a replay that is there.
pub(super) fn count(
    connection: &Connection,
    id: ReplayId,
    counter: Counter,
    count: u64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO replay_counts (replay, counter, count) SELECT id, ?2, ?3 FROM replays \
             WHERE id = ?1 ON CONFLICT (replay, counter) DO UPDATE SET \
             count = count + excluded.count",
        )?
        .execute((id.to_string(), counter.to_string(), count.cast_signed()))?;
    Ok(())
}

pub(super) fn load(
    connection: &Connection,
    id: ReplayId,
) -> rusqlite::Result<Option<LoadedReplay>> {
    let found = connection
        .prepare_cached("SELECT id, rev, record FROM replays WHERE id = ?1")?
        .query_row([id.to_string()], loaded)
        .optional()?;
    found.map(|replay| with_counts(connection, replay)).transpose()
}

pub(super) fn list(
    connection: &Connection,
    list: ReplayList,
    after: Option<ReplayPlace>,
    limit: usize,
) -> rusqlite::Result<Vec<LoadedReplay>> {
    let condition = match list {
        ReplayList::Making => "is_making = 1",
        ReplayList::Open => "is_open = 1",
        ReplayList::Made => "is_making = 0",
    };
    let (made_at, id) =
        after.map_or((i64::MIN, String::new()), |(made_at, id)| (made_at.micros(), id.to_string()));
    let found: Vec<LoadedReplay> = connection
        .prepare_cached(&format!(
            "SELECT id, rev, record FROM replays WHERE {condition} AND (made_at, id) > (?1, ?2) \
             ORDER BY made_at, id LIMIT ?3"
        ))?
        .query_map((made_at, id, column::at_most(limit)), loaded)?
        .collect::<rusqlite::Result<_>>()?;
    found.into_iter().map(|replay| with_counts(connection, replay)).collect()
}

fn loaded(row: &Row<'_>) -> rusqlite::Result<LoadedReplay> {
    let id = ReplayId(column::parsed(row, "id", str::parse)?);
    let text = column::text(row, "record")?;
    let record = state::decode(&format_args!("replay {id}"), text).map_err(column::unreadable)?;
    let revision = Revision(row.get::<_, i64>("rev")?.cast_unsigned());
    Ok(LoadedReplay { id, revision, record, counts: ReplayCounts::new() })
}

fn with_counts(connection: &Connection, replay: LoadedReplay) -> rusqlite::Result<LoadedReplay> {
    let counts = connection
        .prepare_cached("SELECT counter, count FROM replay_counts WHERE replay = ?1")?
        .query_map([replay.id.to_string()], |row| {
            let counter =
                column::parsed(row, "counter", |name| Counter::parse(name).ok_or(UnknownValue))?;
            Ok((counter, row.get::<_, i64>("count")?.cast_unsigned()))
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(LoadedReplay { counts, ..replay })
}

/// A part of the list of a replay.
pub(super) fn chunk(
    connection: &Connection,
    id: ReplayId,
    chunk: u32,
) -> rusqlite::Result<Vec<DeadLetterName>> {
    let found = connection
        .prepare_cached("SELECT names FROM replay_chunks WHERE replay = ?1 AND chunk = ?2")?
        .query_row((id.to_string(), chunk), |row| {
            let text = column::text(row, "names")?;
            state::decode(&format_args!("replay {id}"), text).map_err(column::unreadable)
        })
        .optional()?;
    Ok(found.unwrap_or_default())
}

/// Records that the leader of this number runs replays, unless a later one does.
pub(super) fn lead(connection: &Connection, leader: Fence) -> rusqlite::Result<Option<Fence>> {
    connection
        .prepare_cached(
            "INSERT INTO replay_leader (only, leader) VALUES (1, ?1) \
             ON CONFLICT (only) DO UPDATE SET leader = excluded.leader \
             WHERE leader <= excluded.leader RETURNING leader",
        )?
        .query_row([leader.0.cast_signed()], |row| {
            row.get::<_, i64>(0).map(|leader| Fence(leader.cast_unsigned()))
        })
        .optional()
}

/// Whether the leader of this number runs replays.
pub(super) fn is_led(connection: &Connection, leader: Fence) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM replay_leader WHERE leader = ?1)")?
        .query_row([leader.0.cast_signed()], |row| row.get(0))
}
