//! Replays: what was selected, what was sent, what became of it, and who may go on.

use rusqlite::{Connection, OptionalExtension, Row};
use uuid::Uuid;

use super::column::{self, UnknownValue};
use super::dead_letters::{Selection, letter};
use super::letters::name;
use crate::domain::{MessageId, Timestamp};
use crate::store::{
    DeadLetter, Fence, LetterName, NewReplay, Pace, REPLAY_LETTERS_MAX, Replay, ReplayId,
    ReplayState,
};

/// The lease of whoever runs replays.
const LEASE: &str = "replays";

/// What [`replay`] reads, of a replay named `r`.
macro_rules! replay_columns {
    () => {
        "r.*, (SELECT count(*) FROM replay_letters WHERE replay = r.id) AS selected, \
         (SELECT count(*) FROM replay_letters WHERE replay = r.id AND state = 'waiting') \
         AS waiting, \
         (SELECT count(*) FROM replay_letters WHERE replay = r.id AND state = 'settled') \
         AS settled, \
         (SELECT count(*) FROM replay_letters WHERE replay = r.id AND state = 'failed') \
         AS failed, \
         (SELECT count(*) FROM replay_letters WHERE replay = r.id AND state = 'gone') AS gone"
    };
}

/// Makes a replay; `None` if too many letters are selected.
pub(super) fn make(
    connection: &Connection,
    new: &NewReplay,
    selection: &Selection,
) -> rusqlite::Result<Option<Replay>> {
    let id = new.id.to_string();
    let pace = &new.pace;
    let conditions = &selection.conditions;
    let selected: Vec<LetterName> = connection
        .prepare(&format!(
            "SELECT message_id, generation FROM dead_letters WHERE {conditions} \
             AND (replay IS NULL OR NOT EXISTS \
             (SELECT 1 FROM replays WHERE id = dead_letters.replay AND state = 'running')) \
             ORDER BY failed_at, message_id, generation LIMIT ?"
        ))?
        .query_map(rusqlite::params_from_iter(&selection.values), name)?
        .collect::<rusqlite::Result<_>>()?;
    if selected.len() > REPLAY_LETTERS_MAX {
        return Ok(None);
    }
    let state = if selected.is_empty() { ReplayState::Done } else { ReplayState::Running };
    connection
        .prepare_cached(
            "INSERT INTO replays (id, made_at, state, rate, ramp_millis, abort_after) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((
            &id,
            new.made_at.micros(),
            state.as_str(),
            pace.rate,
            i64::try_from(pace.ramp_millis).unwrap_or(i64::MAX),
            pace.abort_after,
        ))?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO replay_letters (replay, place, message_id, generation, state) \
         VALUES (?1, ?2, ?3, ?4, 'waiting')",
    )?;
    let mut mark = connection.prepare_cached(
        "UPDATE dead_letters SET replay = ?1 WHERE message_id = ?2 AND generation = ?3",
    )?;
    for (index, letter) in selected.iter().enumerate() {
        let message_id = letter.message_id.to_string();
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        insert.execute((&id, index, &message_id, letter.generation))?;
        mark.execute((&id, &message_id, letter.generation))?;
    }
    find(connection, new.id)
}

pub(super) fn find(connection: &Connection, id: ReplayId) -> rusqlite::Result<Option<Replay>> {
    connection
        .prepare_cached(concat!("SELECT ", replay_columns!(), " FROM replays r WHERE r.id = ?1"))?
        .query_row([id.to_string()], replay)
        .optional()
}

/// The running replay that a message's letter is in.
pub(super) fn running_with(
    connection: &Connection,
    message: MessageId,
) -> rusqlite::Result<Option<ReplayId>> {
    connection
        .prepare_cached(
            "SELECT r.id FROM dead_letters d JOIN replays r ON r.id = d.replay \
             WHERE d.message_id = ?1 AND r.state = 'running'",
        )?
        .query_row([message.to_string()], |row| column::parsed(row, "id", str::parse))
        .optional()
        .map(|id| id.map(ReplayId))
}

/// Replays that run, or wait for outcomes.
pub(super) fn open(connection: &Connection) -> rusqlite::Result<Vec<Replay>> {
    connection
        .prepare_cached(concat!(
            "SELECT ",
            replay_columns!(),
            " FROM replays r WHERE r.id IN (SELECT id FROM replays WHERE state = 'running' \
             UNION SELECT replay FROM replay_letters WHERE state = 'sent') ORDER BY made_at, id"
        ))?
        .query_map((), replay)?
        .collect()
}

/// Stops a replay that runs.
pub(super) fn cancel(connection: &Connection, id: ReplayId) -> rusqlite::Result<Option<Replay>> {
    if find(connection, id)?.is_some_and(|replay| replay.state == ReplayState::Running) {
        stop(connection, id, ReplayState::Cancelled)?;
    }
    find(connection, id)
}

/// Ends a replay; letters that wait are free again. Those that were sent keep their mark until
/// their outcome takes them away.
fn stop(connection: &Connection, id: ReplayId, state: ReplayState) -> rusqlite::Result<()> {
    let id = id.to_string();
    connection
        .prepare_cached("UPDATE replays SET state = ?2 WHERE id = ?1")?
        .execute((&id, state.as_str()))?;
    connection
        .prepare_cached(
            "UPDATE dead_letters SET replay = NULL FROM replay_letters l \
             WHERE l.replay = ?1 AND l.state = 'waiting' AND dead_letters.replay = ?1 \
             AND dead_letters.message_id = l.message_id \
             AND dead_letters.generation = l.generation",
        )?
        .execute([&id])?;
    Ok(())
}

/// Takes the lease if it is free, over or the owner's own. A new owner has sent nothing yet.
pub(super) fn lease(
    connection: &Connection,
    owner: Uuid,
    now: Timestamp,
    until: Timestamp,
) -> rusqlite::Result<Option<Fence>> {
    let is_renewed: bool = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM leases WHERE name = ?1 AND owner = ?2)")?
        .query_row((LEASE, owner.to_string()), |row| row.get(0))?;
    let fence = connection
        .prepare_cached(
            "INSERT INTO leases (name, owner, fence, until) VALUES (?1, ?2, 1, ?4) \
             ON CONFLICT (name) DO UPDATE SET until = excluded.until, owner = excluded.owner, \
             fence = fence + (owner <> excluded.owner) \
             WHERE owner = excluded.owner OR until <= ?3 RETURNING fence",
        )?
        .query_row((LEASE, owner.to_string(), now.micros(), until.micros()), |row| {
            row.get::<_, i64>(0).map(|fence| Fence(fence.cast_unsigned()))
        })
        .optional()?;
    if fence.is_some() && !is_renewed {
        forget_sent(connection)?;
    }
    Ok(fence)
}

/// Counts letters as not sent that were sent in vain, for all that is known: each is parked still.
/// Most are in the queue; where the Store was restored they are not, and their replay would wait
/// for ever.
fn forget_sent(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE replay_letters AS l SET state = 'waiting' WHERE l.state = 'sent' \
             AND l.replay IN (SELECT id FROM replays WHERE state = 'running') AND EXISTS \
             (SELECT 1 FROM dead_letters d \
             WHERE d.message_id = l.message_id AND d.generation = l.generation)",
        )?
        .execute(())?;
    Ok(())
}

fn holds(connection: &Connection, fence: Fence) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM leases WHERE name = ?1 AND fence = ?2)")?
        .query_row((LEASE, fence.0.cast_signed()), |row| row.get(0))
}

pub(super) fn unsent(
    connection: &Connection,
    id: ReplayId,
    limit: usize,
) -> rusqlite::Result<Vec<(LetterName, Option<DeadLetter>)>> {
    let names: Vec<LetterName> = connection
        .prepare_cached(
            "SELECT l.message_id, l.generation FROM replay_letters l \
             JOIN replays r ON r.id = l.replay AND r.state = 'running' \
             WHERE l.replay = ?1 AND l.state = 'waiting' ORDER BY l.place LIMIT ?2",
        )?
        .query_map((id.to_string(), column::at_most(limit)), name)?
        .collect::<rusqlite::Result<_>>()?;
    let mut find = connection
        .prepare_cached("SELECT * FROM dead_letters WHERE message_id = ?1 AND generation = ?2")?;
    names
        .into_iter()
        .map(|name| {
            let found = find.query_row((name.message_id.to_string(), name.generation), letter);
            Ok((name, found.optional()?))
        })
        .collect()
}

pub(super) fn note_sent(
    connection: &Connection,
    id: ReplayId,
    fence: Fence,
    letters: &[LetterName],
) -> rusqlite::Result<bool> {
    if !holds(connection, fence)? {
        return Ok(false);
    }
    let id = id.to_string();
    let mut update = connection.prepare_cached(
        "UPDATE replay_letters SET state = 'sent' WHERE replay = ?1 AND place = \
         (SELECT place FROM replay_letters WHERE replay = ?1 AND state = 'waiting' \
         AND message_id = ?2 AND generation = ?3)",
    )?;
    for letter in letters {
        update.execute((&id, letter.message_id.to_string(), letter.generation))?;
    }
    Ok(true)
}

/// A letter that is still parked has no outcome yet: its generation ends with one. How it ended
/// says which; a message that is over by more than this generation had a later one.
pub(super) fn note_outcomes(
    connection: &Connection,
    id: ReplayId,
    fence: Fence,
) -> rusqlite::Result<Option<Replay>> {
    if !holds(connection, fence)? {
        return Ok(None);
    }
    connection
        .prepare_cached(
            "UPDATE replay_letters AS l SET state = coalesce((SELECT CASE \
             WHEN e.generation > l.generation THEN 'failed' \
             WHEN e.ending IN ('settled', 'failed') THEN e.ending ELSE 'gone' END \
             FROM letter_ends e \
             WHERE e.message_id = l.message_id AND e.generation >= l.generation), 'gone') \
             WHERE l.replay = ?1 AND l.state = 'sent' AND NOT EXISTS \
             (SELECT 1 FROM dead_letters d \
             WHERE d.message_id = l.message_id AND d.generation = l.generation)",
        )?
        .execute([id.to_string()])?;
    let Some(replay) = find(connection, id)? else { return Ok(None) };
    if replay.state != ReplayState::Running {
        return Ok(Some(replay));
    }
    if replay.pace.abort_after.is_some_and(|most| replay.failed >= u64::from(most))
        && replay.sent < replay.selected
    {
        stop(connection, id, ReplayState::Aborted)?;
    } else if replay.sent == replay.selected && replay.open() == 0 {
        stop(connection, id, ReplayState::Done)?;
    }
    find(connection, id)
}

fn replay(row: &Row<'_>) -> rusqlite::Result<Replay> {
    let count = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
    let selected = count("selected")?;
    Ok(Replay {
        id: ReplayId(column::parsed(row, "id", str::parse)?),
        made_at: column::time(row, "made_at")?,
        pace: Pace {
            rate: row.get("rate")?,
            ramp_millis: count("ramp_millis")?,
            abort_after: row.get("abort_after")?,
        },
        state: column::parsed(row, "state", |state| ReplayState::parse(state).ok_or(UnknownValue))?,
        selected,
        sent: selected.saturating_sub(count("waiting")?),
        settled: count("settled")?,
        failed: count("failed")?,
        gone: count("gone")?,
    })
}
