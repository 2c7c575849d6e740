//! Dead letters: their states, what lists find them by, and their bodies.

use bytes::Bytes;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row};

use super::column::{self, UnknownValue};
use super::replays;
use crate::domain::dead_letter::{DeadLetterState, Slot};
use crate::domain::{Code, Identifier, MessageId, Site, Timestamp};
use crate::store::{
    DeadLetterCommit, DeadLetterFilter, DeadLetterGroup, DeadLetterPlace, DeadLetterTotals,
    DeadLetterWrite, DeadLettersCommitted, LoadedDeadLetter, Revision, state,
};

/// Reads states, with bodies if they are wanted.
pub(super) fn load(
    connection: &Connection,
    ids: &[MessageId],
    with_bodies: bool,
) -> rusqlite::Result<Vec<Option<LoadedDeadLetter>>> {
    let mut find = connection
        .prepare_cached("SELECT message_id, rev, state FROM dead_letters WHERE message_id = ?1")?;
    let mut bodies = connection
        .prepare_cached("SELECT slot, body FROM dead_letter_bodies WHERE message_id = ?1")?;
    let load = |id: &MessageId| {
        let id = id.to_string();
        let found = find.query_row([&id], loaded).optional()?;
        let Some(mut found) = found else { return Ok(None) };
        if with_bodies {
            let rows =
                bodies.query_map([&id], |row| Ok((slot(row)?, row.get::<_, Vec<u8>>(1)?)))?;
            let rows = rows.map(|row| row.map(|(slot, body)| (slot, Bytes::from(body))));
            found.bodies = rows.collect::<rusqlite::Result<_>>()?;
        }
        Ok(Some(found))
    };
    ids.iter().map(load).collect()
}

fn slot(row: &Row<'_>) -> rusqlite::Result<Slot> {
    column::parsed(row, "slot", |name| Slot::parse(name).ok_or(UnknownValue))
}

fn loaded(row: &Row<'_>) -> rusqlite::Result<LoadedDeadLetter> {
    let id = column::message_id(row)?;
    let text = column::text(row, "state")?;
    let state =
        state::decode(&format_args!("dead letter {id}"), text).map_err(column::unreadable)?;
    let revision = Revision(row.get::<_, i64>("rev")?.cast_unsigned());
    Ok(LoadedDeadLetter { id, revision, state, bodies: Vec::new() })
}

/// A list's filter and place, ready to be bound.
pub(super) struct Selection {
    conditions: String,
    values: Vec<Value>,
}

impl Selection {
    pub(super) fn new(
        filter: &DeadLetterFilter,
        after: Option<DeadLetterPlace>,
        limit: usize,
    ) -> Self {
        let mut selection =
            Self { conditions: "failed_at IS NOT NULL".to_owned(), values: Vec::new() };
        if let Some(code) = filter.reason {
            selection.require(" AND code = ?", [code.as_str().to_owned().into()]);
        }
        if let Some(site) = &filter.site {
            selection.require(" AND site = ?", [site.to_string().into()]);
        }
        if let Some(before) = filter.failed_before {
            selection.require(" AND failed_at < ?", [before.micros().into()]);
        }
        if !filter.ids.is_empty() {
            let ids = filter.ids.iter().map(ToString::to_string).collect::<Vec<_>>();
            let ids = serde_json::Value::from(ids).to_string();
            selection.require(" AND message_id IN (SELECT value FROM json_each(?))", [ids.into()]);
        }
        if let Some(DeadLetterPlace { failed_at, id, generation }) = after {
            selection.require(
                " AND (failed_at, message_id, generation) > (?, ?, ?)",
                [failed_at.micros().into(), id.to_string().into(), i64::from(generation).into()],
            );
        }
        selection.values.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
        selection
    }

    fn require<const N: usize>(&mut self, condition: &'static str, values: [Value; N]) {
        self.conditions.push_str(condition);
        self.values.extend(values);
    }
}

pub(super) fn list(
    connection: &Connection,
    selection: &Selection,
) -> rusqlite::Result<Vec<LoadedDeadLetter>> {
    connection
        .prepare_cached(&format!(
            "SELECT message_id, rev, state FROM dead_letters WHERE {} \
             ORDER BY failed_at, message_id, generation LIMIT ?",
            selection.conditions
        ))?
        .query_map(rusqlite::params_from_iter(&selection.values), loaded)?
        .collect()
}

/// Messages that are no longer parked and were last changed before a time.
pub(super) fn ended(
    connection: &Connection,
    before: Timestamp,
    limit: usize,
) -> rusqlite::Result<Vec<LoadedDeadLetter>> {
    connection
        .prepare_cached(
            "SELECT message_id, rev, state FROM dead_letters WHERE idle_since < ?1 \
             ORDER BY idle_since LIMIT ?2",
        )?
        .query_map((before.micros(), column::at_most(limit)), loaded)?
        .collect()
}

pub(super) fn groups(connection: &Connection) -> rusqlite::Result<Vec<DeadLetterGroup>> {
    connection
        .prepare_cached(
            "SELECT code, site, event_type, count(*) AS letters, min(failed_at) AS oldest, \
             max(failed_at) AS newest FROM dead_letters WHERE failed_at IS NOT NULL \
             GROUP BY code, site, event_type \
             ORDER BY letters DESC, code, site, event_type LIMIT ?1",
        )?
        .query_map([column::at_most(usize::MAX)], |row| {
            Ok(DeadLetterGroup {
                reason: column::parsed(row, "code", code)?,
                site: column::parsed_if_any(row, "site", Site::parse)?,
                event_type: column::parsed_if_any(row, "event_type", Identifier::parse)?,
                letters: row.get::<_, i64>("letters")?.cast_unsigned(),
                oldest: column::time(row, "oldest")?,
                newest: column::time(row, "newest")?,
            })
        })?
        .collect()
}

pub(super) fn totals(connection: &Connection) -> rusqlite::Result<DeadLetterTotals> {
    let letters = connection
        .prepare_cached(
            "SELECT code, count(*) AS letters FROM dead_letters WHERE failed_at IS NOT NULL \
             GROUP BY code",
        )?
        .query_map((), |row| {
            let letters: i64 = row.get("letters")?;
            Ok((column::parsed(row, "code", code)?, letters.cast_unsigned()))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let bytes = connection
        .prepare_cached(
            "SELECT source, sum(bytes) FROM dead_letters WHERE source IS NOT NULL GROUP BY source",
        )?
        .query_map((), |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned())))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(DeadLetterTotals { letters, bytes })
}

fn code(text: &str) -> Result<Code, UnknownValue> {
    Code::parse(text).ok_or(UnknownValue)
}

/// Compares everything, then writes everything.
pub(super) fn commit(
    connection: &Connection,
    commit: &DeadLetterCommit,
) -> rusqlite::Result<DeadLettersCommitted> {
    let DeadLetterCommit { fence, letters, replay, counts } = commit;
    if let Some(fence) = fence
        && !replays::is_led(connection, *fence)?
    {
        return Ok(DeadLettersCommitted::Fenced);
    }
    let mut find =
        connection.prepare_cached("SELECT rev FROM dead_letters WHERE message_id = ?1")?;
    for DeadLetterWrite { id, before, .. } in letters {
        let found = find.query_row([id.to_string()], |row| row.get::<_, i64>(0)).optional()?;
        let read = before.as_ref().map(|(Revision(revision), _)| revision.cast_signed());
        if found != read {
            return Ok(DeadLettersCommitted::Conflict);
        }
    }
    if let Some(replay) = replay {
        if !replays::is_as_read(connection, replay)? {
            return Ok(DeadLettersCommitted::Conflict);
        }
        replays::write(connection, replay)?;
    }
    for write in letters {
        write_dead_letter(connection, write)?;
    }
    for (id, counter, count) in counts {
        replays::count(connection, *id, *counter, *count)?;
    }
    Ok(DeadLettersCommitted::Written)
}

fn write_dead_letter(connection: &Connection, write: &DeadLetterWrite) -> rusqlite::Result<()> {
    let id = write.id.to_string();
    match &write.after {
        Some(after) => write_state(connection, &id, after)?,
        None => {
            connection
                .prepare_cached("DELETE FROM dead_letters WHERE message_id = ?1")?
                .execute([&id])?;
        }
    }
    for (slot, body) in &write.bodies {
        match body {
            Some(body) => connection
                .prepare_cached(
                    "INSERT INTO dead_letter_bodies (message_id, slot, body) VALUES (?1, ?2, ?3) \
                     ON CONFLICT (message_id, slot) DO UPDATE SET body = excluded.body",
                )?
                .execute((&id, slot.as_str(), body.as_ref()))?,
            None => connection
                .prepare_cached(
                    "DELETE FROM dead_letter_bodies WHERE message_id = ?1 AND slot = ?2",
                )?
                .execute((&id, slot.as_str()))?,
        };
    }
    Ok(())
}

/// Overwrites the state of a message, whatever it is.
pub(super) fn overwrite(
    connection: &Connection,
    id: MessageId,
    state: &DeadLetterState,
) -> rusqlite::Result<()> {
    let id = id.to_string();
    connection
        .prepare_cached("DELETE FROM dead_letter_bodies WHERE message_id = ?1")?
        .execute([&id])?;
    write_state(connection, &id, state)
}

fn write_state(connection: &Connection, id: &str, after: &DeadLetterState) -> rusqlite::Result<()> {
    let parked = after.parked.as_ref();
    let rejection = parked.map(|parked| &parked.rejection);
    let bytes = after.stored().map(|(_, bytes)| i64::try_from(bytes).unwrap_or(i64::MAX));
    connection
        .prepare_cached(
            "INSERT INTO dead_letters (message_id, rev, state, generation, failed_at, code, site, \
             event_type, source, bytes, idle_since) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
             ON CONFLICT (message_id) DO UPDATE SET rev = excluded.rev, state = excluded.state, \
             generation = excluded.generation, failed_at = excluded.failed_at, \
             code = excluded.code, site = excluded.site, event_type = excluded.event_type, \
             source = excluded.source, bytes = excluded.bytes, idle_since = excluded.idle_since",
        )?
        .execute(rusqlite::params![
            id,
            rand::random::<u64>().cast_signed(),
            column::encoded(after)?,
            parked.map(|parked| parked.generation),
            parked.map(|parked| parked.failed_at.micros()),
            rejection.map(|rejection| rejection.code.as_str()),
            rejection.and_then(|rejection| rejection.site.as_ref()).map(Site::as_str),
            rejection.and_then(|rejection| rejection.event_type.as_ref()).map(Identifier::as_str),
            parked.map(|parked| &parked.source),
            bytes,
            after.idle_since().map(Timestamp::micros),
        ])?;
    Ok(())
}
