//! The statements of the journal: publishing, reading back, forgetting.

use std::path::PathBuf;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use crate::broker::{Envelope, EnvelopeKind, JournalExtent, JournalPosition, JournalRecord};
use crate::domain::{MessageId, Rejection, Timestamp};

/// What [`envelope`] reads, of a journal named `j`.
macro_rules! envelope_columns {
    () => {
        "j.message_id, j.kind, j.received_at, j.source, j.replays, j.traceparent, j.tracestate, \
         j.body"
    };
}
pub(super) use envelope_columns;

/// Rows that one step of [`sweep`] looks at.
const SWEPT_MAX: i64 = 256;
/// A step ends with the row whose body passes this many bytes. What is removed is overwritten, so
/// its length is what a step costs, and whoever publishes meanwhile waits for it.
const SWEPT_BYTES_MAX: i64 = 4 * 1024 * 1024;

/// How large the files may get by publishing.
#[derive(Debug, Clone, Default)]
pub(super) struct Limit {
    pub(super) bytes_max: Option<u64>,
    /// A file whose size counts too.
    pub(super) beside: Option<PathBuf>,
}

/// Whether a body of so many bytes can be added within the limit. Pages that a sweep has freed are
/// room, although the file stays as large as it was; what is free in the file beside it nobody here
/// knows.
pub(super) fn has_room(
    connection: &Connection,
    body_bytes: usize,
    limit: &Limit,
) -> rusqlite::Result<bool> {
    let Some(bytes_max) = limit.bytes_max else { return Ok(true) };
    let beside = limit.beside.as_ref().and_then(|path| path.metadata().ok());
    let beside = beside.map_or(0, |file| file.len());
    let used: i64 = connection
        .prepare_cached(
            "SELECT (page_count - freelist_count) * page_size
             FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
        )?
        .query_row((), |row| row.get(0))?;
    let used = used.unsigned_abs().saturating_add(beside);
    let wanted = used.saturating_add(u64::try_from(body_bytes).unwrap_or(u64::MAX));
    Ok(wanted <= bytes_max)
}

/// Puts an envelope into the journal and the work queue.
pub(super) fn publish(connection: &Connection, envelope: &Envelope) -> rusqlite::Result<()> {
    let position = append(connection, envelope, None, false)?;
    enqueue(connection, envelope, position)
}

/// Puts envelopes into the work queue, and their bodies where readers of the journal do not look.
pub(super) fn replay(connection: &Connection, envelopes: &[Envelope]) -> rusqlite::Result<()> {
    envelopes.iter().try_for_each(|envelope| {
        let position = append(connection, envelope, None, true)?;
        enqueue(connection, envelope, position)
    })
}

/// Puts an envelope into the journal and the queue of dead letters; nobody has attempted it.
pub(super) fn publish_dead(
    connection: &Connection,
    envelope: &Envelope,
    rejection: &Rejection,
) -> rusqlite::Result<()> {
    let rejection = serde_json::to_string(rejection)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let position = append(connection, envelope, Some(&rejection), false)?;
    connection
        .prepare_cached(
            "INSERT INTO dead (position, attempt, rejection, failed_at, attempts)
             VALUES (?1, 1, ?2, ?3, 0)",
        )?
        .execute((position, rejection, envelope.received_at.micros()))?;
    Ok(())
}

fn enqueue(connection: &Connection, envelope: &Envelope, position: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO work (position, received_at, attempt) VALUES (?1, ?2, 1)")?
        .execute((position, envelope.received_at.micros()))?;
    Ok(())
}

/// Puts an envelope into the journal, or where its readers do not look; returns its position.
fn append(
    connection: &Connection,
    envelope: &Envelope,
    rejection: Option<&str>,
    hidden: bool,
) -> rusqlite::Result<i64> {
    connection
        .prepare_cached(
            "INSERT INTO journal (message_id, kind, received_at, source, replays, traceparent, \
             tracestate, body, rejection, hidden) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            envelope.message_id.0.as_bytes(),
            envelope.kind.as_str(),
            envelope.received_at.micros(),
            envelope.source,
            envelope.replays,
            envelope.traceparent,
            envelope.tracestate,
            &*envelope.body,
            rejection,
            hidden,
        ])?;
    Ok(connection.last_insert_rowid())
}

/// Reads what was published after a position, in order.
pub(super) fn read(
    connection: &Connection,
    after: Option<JournalPosition>,
    limit: usize,
) -> rusqlite::Result<Vec<JournalRecord>> {
    let after = after.map_or(0, |position| position.0);
    let (after, limit) = (i64::try_from(after), i64::try_from(limit).unwrap_or(i64::MAX));
    // There is nothing after the last possible position.
    let Ok(after) = after else { return Ok(Vec::new()) };
    let mut statement = connection.prepare_cached(concat!(
        "SELECT j.position, j.rejection, \
           EXISTS (SELECT 1 FROM work w WHERE w.received_at = j.received_at \
             AND w.position = j.position) \
           OR EXISTS (SELECT 1 FROM retry r WHERE r.position = j.position) \
           OR EXISTS (SELECT 1 FROM dead d WHERE d.position = j.position), ",
        envelope_columns!(),
        " FROM journal j WHERE j.position > ?1 AND j.hidden = 0 ORDER BY j.position LIMIT ?2"
    ))?;
    let records = statement.query_map((after, limit), |row| {
        Ok(JournalRecord {
            position: JournalPosition(unsigned(row, 0)?),
            rejection: row
                .get::<_, Option<String>>(1)?
                .map(|text| rejection(&text, 1))
                .transpose()?,
            is_waiting: row.get(2)?,
            envelope: envelope(row, 3)?,
        })
    })?;
    records.collect()
}

/// Reads the reason of a dead letter, which stands in that column.
pub(super) fn rejection(text: &str, column: usize) -> rusqlite::Result<Rejection> {
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
    })
}

/// Where the journal begins and ends. Places of replayed bodies count too, although nothing
/// is read there.
pub(super) fn extent(
    connection: &Connection,
    since: Option<Timestamp>,
) -> rusqlite::Result<JournalExtent> {
    let place = |sql: &str, since: i64| {
        let place = connection.prepare_cached(sql)?.query_row((since,), |row| row.get(0));
        place.map(|place: Option<i64>| place.map(|it| JournalPosition(it.cast_unsigned())))
    };
    let since = since.map_or(i64::MIN, Timestamp::micros);
    let earlier = "SELECT max(position) FROM journal WHERE received_at < ?1";
    // What was published again bears the time of its first receipt: only its place tells when it
    // came. It belongs to what was received after it.
    let first = "SELECT min(position) FROM journal WHERE position > coalesce( \
         (SELECT max(position) FROM journal WHERE hidden = 0 AND replays = 0 AND position < \
         coalesce((SELECT min(position) FROM journal WHERE received_at >= ?1), 1 << 62)), 0)";
    Ok(JournalExtent {
        first: place(first, since)?,
        last: place("SELECT max(position) FROM journal WHERE position > ?1", 0)?,
        begins_later: place(earlier, since)?.is_some(),
        is_complete: connection
            .prepare_cached("SELECT envelopes = 0 FROM forgotten")?
            .query_row((), |row| row.get(0))?,
    })
}

/// Reads a number that is never negative.
pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// Reads the columns of [`envelope_columns`] from the given one on.
pub(super) fn envelope(row: &Row<'_>, first: usize) -> rusqlite::Result<Envelope> {
    let kind: String = row.get(first + 1)?;
    let kind = EnvelopeKind::parse(&kind).ok_or_else(|| {
        let source = "an envelope of a kind that this release does not know".into();
        rusqlite::Error::FromSqlConversionFailure(first + 1, Type::Text, source)
    })?;
    Ok(Envelope {
        message_id: MessageId(Uuid::from_bytes(row.get(first)?)),
        kind,
        received_at: Timestamp::from_micros(row.get(first + 2)?),
        source: row.get(first + 3)?,
        replays: row.get(first + 4)?,
        traceparent: row.get(first + 5)?,
        tracestate: row.get(first + 6)?,
        body: row.get::<_, Vec<u8>>(first + 7)?.into(),
    })
}

/// How far a sweep has come: the age and position of the last row that it looked at.
#[derive(Debug, Clone, Copy)]
pub struct SweepPlace(i64, i64);

impl SweepPlace {
    /// Before every row.
    pub(super) const START: Self = Self(i64::MIN, 0);
}

/// Looks at the next rows that were received before a time and removes those that no queue points
/// at. Returns how many those were and where to go on; `None` at the end.
pub(super) fn sweep(
    connection: &Connection,
    SweepPlace(age, position): SweepPlace,
    before: Timestamp,
) -> rusqlite::Result<(u64, Option<SweepPlace>)> {
    let (mut old, mut bytes) = (Vec::<(i64, i64)>::new(), 0);
    {
        let mut statement = connection.prepare_cached(
            "SELECT received_at, position, length(body) FROM journal
             WHERE received_at >= ?1 AND received_at < ?3 AND (received_at > ?1 OR position > ?2)
             ORDER BY received_at, position LIMIT ?4",
        )?;
        let mut found = statement.query((age, position, before.micros(), SWEPT_MAX))?;
        while bytes < SWEPT_BYTES_MAX
            && let Some(row) = found.next()?
        {
            old.push((row.get(0)?, row.get(1)?));
            bytes += row.get::<_, i64>(2)?;
        }
    }
    let mut remove = connection.prepare_cached(
        "DELETE FROM journal WHERE position = ?2
         AND NOT EXISTS (SELECT 1 FROM work WHERE received_at = ?1 AND position = ?2)
         AND NOT EXISTS (SELECT 1 FROM retry WHERE position = ?2)
         AND NOT EXISTS (SELECT 1 FROM dead WHERE position = ?2) RETURNING hidden",
    )?;
    let (mut removed, mut forgotten, mut last) = (0, 0, 0);
    for row in &old {
        let hidden = remove.query_row(*row, |row| row.get::<_, bool>(0)).optional()?;
        removed += u64::from(hidden.is_some());
        if hidden == Some(false) {
            forgotten += 1;
            last = row.1.max(last);
        }
    }
    connection
        .prepare_cached(
            "UPDATE forgotten SET envelopes = envelopes + ?1, position = max(position, ?2)
             WHERE ?1 > 0",
        )?
        .execute((forgotten, last))?;
    let is_cut_off = i64::try_from(old.len()) == Ok(SWEPT_MAX) || bytes >= SWEPT_BYTES_MAX;
    let next = old.last().filter(|_| is_cut_off);
    Ok((removed, next.map(|(age, position)| SweepPlace(*age, *position))))
}
