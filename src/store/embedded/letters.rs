//! How dead letters end, change and expire; the statements behind [`super::dead_letters`].

use rusqlite::{Connection, OptionalExtension, Row};

use super::column;
use super::dead_letters::code;
use crate::domain::{Code, Identifier, Site, Timestamp};
use crate::store::{DeadLetterGroup, Ending, LetterEdit, LetterName};

/// Letters that one call of [`expire`] ends, and rows of each table that it forgets.
const EXPIRED_MAX: i64 = 256;

/// Whether a letter has ended, or a later generation of it is there.
pub(super) fn is_over(connection: &Connection, letter: LetterName) -> rusqlite::Result<bool> {
    Ok(has_ended(connection, letter)?
        || parked(connection, letter)?.is_some_and(|parked| parked > letter.generation))
}

/// Whether a generation has ended. A discard is for good: it ends those too that are still to come.
fn has_ended(connection: &Connection, letter: LetterName) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM letter_ends WHERE message_id = ?1 \
             AND (generation >= ?2 OR ending = ?3))",
        )?
        .query_row(
            (letter.message_id.to_string(), letter.generation, Ending::Discarded.as_str()),
            |row| row.get(0),
        )
}

/// The generation of a message that is parked now.
fn parked(connection: &Connection, letter: LetterName) -> rusqlite::Result<Option<u32>> {
    connection
        .prepare_cached("SELECT max(generation) FROM dead_letters WHERE message_id = ?1")?
        .query_row([letter.message_id.to_string()], |row| row.get(0))
}

/// The letter that a person's decision is about. A replay may have overtaken the decision: then it
/// is about the generation that came back.
fn meant(connection: &Connection, letter: LetterName) -> rusqlite::Result<LetterName> {
    let parked = parked(connection, letter)?.unwrap_or(letter.generation);
    Ok(LetterName { generation: letter.generation.max(parked), ..letter })
}

/// Ends a letter for good.
pub(super) fn discard(
    connection: &Connection,
    letter: LetterName,
    at: Timestamp,
) -> rusqlite::Result<()> {
    end(connection, meant(connection, letter)?, Ending::Discarded, at)
}

/// What a letter takes over from the generation before it.
pub(super) struct Earlier {
    /// When the message failed first.
    pub(super) failed_at: Timestamp,
    /// The body that was received.
    pub(super) body: Vec<u8>,
}

/// What an earlier generation that is still parked knows.
pub(super) fn earlier(
    connection: &Connection,
    letter: LetterName,
) -> rusqlite::Result<Option<Earlier>> {
    connection
        .prepare_cached(
            "SELECT failed_at, coalesce(original, body) AS body FROM dead_letters \
             WHERE message_id = ?1 AND generation < ?2 ORDER BY generation LIMIT 1",
        )?
        .query_row((letter.message_id.to_string(), letter.generation), |row| {
            Ok(Earlier { failed_at: column::time(row, "failed_at")?, body: row.get("body")? })
        })
        .optional()
}

/// Notes that the generations before this one failed in their replays.
pub(super) fn end_earlier(
    connection: &Connection,
    letter: LetterName,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let earlier = LetterName { generation: letter.generation.saturating_sub(1), ..letter };
    if earlier.generation == 0 {
        return Ok(());
    }
    end(connection, earlier, Ending::Failed, now)
}

/// Ends a letter and its earlier generations. A later ending stays.
pub(super) fn end(
    connection: &Connection,
    letter: LetterName,
    ending: Ending,
    at: Timestamp,
) -> rusqlite::Result<()> {
    let id = letter.message_id.to_string();
    connection
        .prepare_cached("DELETE FROM dead_letters WHERE message_id = ?1 AND generation <= ?2")?
        .execute((&id, letter.generation))?;
    connection
        .prepare_cached(
            "INSERT INTO letter_ends (message_id, generation, ending, ended_at) \
             VALUES (?1, ?2, ?3, ?4) ON CONFLICT (message_id) DO UPDATE SET \
             generation = excluded.generation, ending = excluded.ending, \
             ended_at = excluded.ended_at WHERE excluded.generation > generation",
        )?
        .execute((&id, letter.generation, ending.as_str(), at.micros()))?;
    Ok(())
}

/// Remembers an edit unless a later one is known, and gives its body to the letter if it is there.
pub(super) fn edit(connection: &Connection, edit: &LetterEdit) -> rusqlite::Result<()> {
    let LetterEdit { letter, edit, at, body } = edit;
    let letter = meant(connection, *letter)?;
    if has_ended(connection, letter)? {
        return Ok(());
    }
    connection
        .prepare_cached(
            "INSERT INTO letter_edits (message_id, generation, edit_id, edited_at, body) \
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (message_id) DO UPDATE SET \
             generation = max(generation, excluded.generation), edit_id = excluded.edit_id, \
             edited_at = excluded.edited_at, body = excluded.body \
             WHERE excluded.edit_id > edit_id",
        )?
        .execute((
            letter.message_id.to_string(),
            letter.generation,
            edit.to_string(),
            at.micros(),
            body.as_ref(),
        ))?;
    apply_edit(connection, letter)
}

/// Gives the letter the body of the last edit. That may have been made for another generation: an
/// earlier one, which was sent before the edit and came back, or a later one, in a rebuild.
pub(super) fn apply_edit(connection: &Connection, letter: LetterName) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE dead_letters SET original = coalesce(original, dead_letters.body), \
             body = e.body FROM letter_edits e \
             WHERE e.message_id = ?1 AND dead_letters.message_id = ?1 \
             AND dead_letters.body <> e.body",
        )?
        .execute([letter.message_id.to_string()])?;
    Ok(())
}

/// Ends letters that failed first before a time and are in no replay, and forgets what is as old.
pub(super) fn expire(
    connection: &Connection,
    before: Timestamp,
    now: Timestamp,
) -> rusqlite::Result<Vec<(Code, u64)>> {
    let old = (before.micros(), EXPIRED_MAX);
    let letters = connection
        .prepare_cached(
            "SELECT message_id, generation, code FROM dead_letters \
             WHERE failed_at < ?1 AND replay IS NULL ORDER BY failed_at LIMIT ?2",
        )?
        .query_map(old, |row| Ok((name(row)?, column::parsed(row, "code", code)?)))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut expired = std::collections::BTreeMap::new();
    for (letter, code) in letters {
        end(connection, letter, Ending::Expired, now)?;
        *expired.entry(code).or_default() += 1;
    }
    for statement in [
        "DELETE FROM letter_ends WHERE message_id IN \
         (SELECT message_id FROM letter_ends WHERE ended_at < ?1 LIMIT ?2)",
        "DELETE FROM letter_edits WHERE message_id IN (SELECT message_id FROM letter_edits e \
         WHERE edited_at < ?1 AND NOT EXISTS \
         (SELECT 1 FROM dead_letters d WHERE d.message_id = e.message_id) LIMIT ?2)",
        "DELETE FROM replay_letters WHERE replay IN (SELECT id FROM replays \
         WHERE made_at < ?1 AND state <> 'running' LIMIT ?2)",
        "DELETE FROM replays WHERE id IN (SELECT id FROM replays \
         WHERE made_at < ?1 AND state <> 'running' LIMIT ?2)",
    ] {
        connection.prepare_cached(statement)?.execute(old)?;
    }
    Ok(expired.into_iter().collect())
}

pub(super) fn groups(connection: &Connection) -> rusqlite::Result<Vec<DeadLetterGroup>> {
    connection
        .prepare_cached(
            "SELECT code, site, event_type, count(*) AS letters, min(failed_at) AS oldest, \
             max(failed_at) AS newest FROM dead_letters GROUP BY code, site, event_type \
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

/// A letter's name, from columns of that name.
pub(super) fn name(row: &Row<'_>) -> rusqlite::Result<LetterName> {
    Ok(LetterName { message_id: column::message_id(row)?, generation: row.get("generation")? })
}
