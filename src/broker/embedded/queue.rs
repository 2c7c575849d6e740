//! The statements of the queues: reading what is ready, settling, retries that are due, depth.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, Row};

use super::journal::{envelope, envelope_columns, rejection, unsigned};
use crate::broker::{DeadReason, Disposition, Envelope, Queue, QueueDepth};
use crate::domain::Timestamp;

/// What the probe writes, in bytes: room for it means room for an ordinary body.
pub(super) const PROBE_BYTES: usize = 64 * 1024;

/// A row that was read from a queue.
#[derive(Debug)]
pub(super) struct QueueRow {
    /// Its place in the queue; greater is younger.
    pub(super) seq: i64,
    pub(super) envelope: Arc<Envelope>,
    pub(super) attempt: u32,
    pub(super) failing_since: Option<Timestamp>,
    pub(super) delivery_count: u32,
    pub(super) dead: Option<DeadReason>,
    /// The place of a replayed body: it is no part of the journal, and is removed with its row.
    pub(super) replay: Option<i64>,
}

/// What was decided about a row.
#[derive(Debug)]
pub(super) struct Settlement {
    pub(super) seq: i64,
    pub(super) disposition: Disposition,
    pub(super) decided_at: Timestamp,
    /// When its first attempt failed, if that was before.
    pub(super) failing_since: Option<Timestamp>,
    /// The length of the body that is let go, in bytes.
    pub(super) bytes: usize,
    /// The place of a replayed body, which is removed with the row.
    pub(super) replay: Option<i64>,
}

/// The statements that differ between the queues.
struct Statements {
    name: &'static str,
    /// seq, limit
    read: &'static str,
    /// seq, due at, failed attempts, failing since
    retry: &'static str,
    /// seq, rejection, failed at
    dead_letter: &'static str,
    /// seq
    remove: &'static str,
    /// now
    promote: &'static str,
    count_deaths: &'static str,
}

const WORK: Statements = Statements {
    name: "work",
    // A row without its body must be noticed, not skipped: hence the outer join.
    read: concat!(
        "SELECT q.seq, q.attempt, q.deaths, NULL, NULL, NULL, ",
        envelope_columns!(),
        ", j.hidden, q.position, q.failing_since FROM work q LEFT JOIN journal j ON j.position = q.position
         WHERE q.seq > ?1 ORDER BY q.seq LIMIT ?2"
    ),
    retry: "INSERT INTO retry (queue, due_at, position, attempt, failing_since)
        SELECT 'work', ?2, position, attempt + ?3, ?4 FROM work WHERE seq = ?1",
    dead_letter: "INSERT INTO dead (position, attempt, rejection, failed_at, attempts)
        SELECT position, 1, ?2, ?3, attempt FROM work WHERE seq = ?1",
    remove: "DELETE FROM work WHERE seq = ?1",
    promote: "INSERT INTO work (position, received_at, attempt, failing_since)
        SELECT r.position, j.received_at, r.attempt, r.failing_since
        FROM retry r LEFT JOIN journal j ON j.position = r.position
        WHERE r.queue = 'work' AND r.due_at <= ?1 ORDER BY r.due_at, r.seq LIMIT 256",
    count_deaths: "UPDATE work SET deaths = deaths + 1 WHERE seq IN (SELECT seq FROM work \
        ORDER BY seq LIMIT (SELECT coalesce(max(held_max), 0) FROM session WHERE queue = 'work'))",
};

const DEAD: Statements = Statements {
    name: "dead",
    read: concat!(
        "SELECT q.seq, q.attempt, q.deaths, q.rejection, q.failed_at, q.attempts, ",
        envelope_columns!(),
        ", j.hidden, q.position, NULL FROM dead q LEFT JOIN journal j ON j.position = q.position
         WHERE q.seq > ?1 ORDER BY q.seq LIMIT ?2"
    ),
    retry: "INSERT INTO retry (queue, due_at, position, attempt, failing_since, rejection,
        failed_at, attempts)
        SELECT 'dead', ?2, position, attempt + ?3, ?4, rejection, failed_at, attempts
        FROM dead WHERE seq = ?1",
    // It is where it should go. It comes again for its new reason, but not at once: otherwise two
    // that disagree would hand it to each other for ever.
    dead_letter:
        "INSERT INTO retry (queue, due_at, position, attempt, rejection, failed_at, attempts)
        SELECT 'dead', ?3 + 5000000, position, attempt + 1, ?2, ?3, attempts
        FROM dead WHERE seq = ?1",
    remove: "DELETE FROM dead WHERE seq = ?1",
    promote: "INSERT INTO dead (position, attempt, rejection, failed_at, attempts)
        SELECT position, attempt, rejection, failed_at, attempts FROM retry
        WHERE queue = 'dead' AND due_at <= ?1 ORDER BY due_at, seq LIMIT 256",
    count_deaths: "UPDATE dead SET deaths = deaths + 1 WHERE seq IN (SELECT seq FROM dead \
        ORDER BY seq LIMIT (SELECT coalesce(max(held_max), 0) FROM session WHERE queue = 'dead'))",
};

const fn statements(queue: Queue) -> &'static Statements {
    match queue {
        Queue::Work => &WORK,
        Queue::Dead => &DEAD,
    }
}

/// The queue's name in tables, files and logs.
pub(super) const fn name(queue: Queue) -> &'static str {
    statements(queue).name
}

/// Reads rows after `after`, oldest first, and stops at the row that passes `bytes_max`.
pub(super) fn read(
    connection: &Connection,
    queue: Queue,
    after: i64,
    rows_max: usize,
    bytes_max: usize,
) -> rusqlite::Result<Vec<QueueRow>> {
    let mut statement = connection.prepare_cached(statements(queue).read)?;
    let limit = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let mut rows = statement.query((after, limit))?;
    let mut leases = Vec::new();
    let mut bytes = 0;
    while bytes < bytes_max
        && let Some(row) = rows.next()?
    {
        let lease = lease(row)?;
        bytes += lease.envelope.body.len();
        leases.push(lease);
    }
    Ok(leases)
}

fn lease(row: &Row<'_>) -> rusqlite::Result<QueueRow> {
    let dead = match row.get::<_, Option<String>>(3)? {
        None => None,
        Some(text) => {
            let rejection = rejection(&text, 3)?;
            let failed_at = Timestamp::from_micros(row.get(4)?);
            Some(DeadReason { rejection, failed_at, attempts: row.get(5)? })
        }
    };
    Ok(QueueRow {
        seq: row.get(0)?,
        attempt: row.get(1)?,
        delivery_count: row.get(2)?,
        dead,
        envelope: Arc::new(envelope(row, 6)?),
        replay: row.get::<_, bool>(14)?.then(|| row.get(15)).transpose()?,
        failing_since: row.get::<_, Option<i64>>(16)?.map(Timestamp::from_micros),
    })
}

/// Writes what was decided. A row that is no longer there is passed over.
pub(super) fn settle(
    connection: &Connection,
    queue: Queue,
    settlements: &[Settlement],
) -> rusqlite::Result<()> {
    let statements = statements(queue);
    for Settlement { seq, disposition, decided_at, failing_since, replay, .. } in settlements {
        match disposition {
            Disposition::Ack => {
                if let Some(position) = replay {
                    connection
                        .prepare_cached("DELETE FROM journal WHERE position = ?1 AND hidden = 1")?
                        .execute([position])?;
                }
            }
            Disposition::Retry(delay) | Disposition::Later(delay) => {
                let due_at = after(*decided_at, *delay).micros();
                let failed = matches!(disposition, Disposition::Retry(_));
                let failing_since = failing_since.or(failed.then_some(*decided_at));
                let failing_since = failing_since.map(Timestamp::micros);
                let retry = (seq, due_at, failed, failing_since);
                connection.prepare_cached(statements.retry)?.execute(retry)?;
            }
            Disposition::DeadLetter(rejection) => {
                let rejection = serde_json::to_string(rejection)
                    .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
                let failed_at = decided_at.micros();
                connection
                    .prepare_cached(statements.dead_letter)?
                    .execute((seq, rejection, failed_at))?;
            }
        }
        connection.prepare_cached(statements.remove)?.execute([seq])?;
    }
    Ok(())
}

fn after(time: Timestamp, delay: Duration) -> Timestamp {
    time.plus_micros(i64::try_from(delay.as_micros()).unwrap_or(i64::MAX))
}

/// Moves retries that are due back into their queue, earliest first, a bounded number at a time;
/// returns how many those were.
pub(super) fn promote(
    connection: &Connection,
    queue: Queue,
    now: Timestamp,
) -> rusqlite::Result<usize> {
    let statements = statements(queue);
    let promoted = connection.prepare_cached(statements.promote)?.execute([now.micros()])?;
    connection
        .prepare_cached(
            "DELETE FROM retry WHERE seq IN (SELECT seq FROM retry
             WHERE queue = ?1 AND due_at <= ?2 ORDER BY due_at, seq LIMIT ?3)",
        )?
        .execute((statements.name, now.micros(), i64::try_from(promoted).unwrap_or(i64::MAX)))?;
    Ok(promoted)
}

/// When the next retry is due.
pub(super) fn next_due(
    connection: &Connection,
    queue: Queue,
) -> rusqlite::Result<Option<Timestamp>> {
    connection
        .prepare_cached("SELECT min(due_at) FROM retry WHERE queue = ?1")?
        .query_row([name(queue)], |row| row.get(0))
        .map(|due_at: Option<i64>| due_at.map(Timestamp::from_micros))
}

/// Records that a consumer begins, which has no row yet. If the last one died, counts that for the
/// rows that it may have had: rows are handed out oldest first, so those are among the first that
/// are left.
pub(super) fn begin_session(connection: &Connection, queue: Queue) -> rusqlite::Result<()> {
    connection.prepare_cached(statements(queue).count_deaths)?.execute(())?;
    record_unacked_max(connection, queue, 0)
}

/// Records how many rows the consumer may have unacked from now on.
pub(super) fn record_unacked_max(
    connection: &Connection,
    queue: Queue,
    held_max: usize,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO session (queue, held_max) VALUES (?1, ?2)")?
        .execute((name(queue), i64::try_from(held_max).unwrap_or(i64::MAX)))?;
    Ok(())
}

/// Records that the consumer has no row any more.
pub(super) fn end_session(connection: &Connection, queue: Queue) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM session WHERE queue = ?1")?.execute([name(queue)])?;
    Ok(())
}

/// Counts the rows of all queues; those in flight are among `work_ready`.
pub(super) fn depth(connection: &Connection) -> rusqlite::Result<QueueDepth> {
    connection
        .prepare_cached(
            "SELECT (SELECT count(*) FROM work), (SELECT min(received_at) FROM work),
             (SELECT count(*) FROM retry WHERE queue = 'work'),
             (SELECT count(*) FROM dead) + (SELECT count(*) FROM retry WHERE queue = 'dead')",
        )?
        .query_row((), |row| {
            Ok(QueueDepth {
                work_ready: unsigned(row, 0)?,
                work_in_flight: 0,
                work_oldest: row.get::<_, Option<i64>>(1)?.map(Timestamp::from_micros),
                retry_ready: unsigned(row, 2)?,
                dead_intake: unsigned(row, 3)?,
                unroutable: 0,
            })
        })
}

/// Writes and removes as much as an ordinary body takes.
pub(super) fn probe(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO probe (filler) VALUES (zeroblob(?1))")?
        .execute([i64::try_from(PROBE_BYTES).unwrap_or(i64::MAX)])?;
    connection.prepare_cached("DELETE FROM probe")?.execute(())?;
    Ok(())
}

/// When the oldest envelope was received that is in some queue.
pub(super) fn oldest_waiting(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let oldest: Option<i64> = connection
        .prepare_cached(
            "SELECT min(received_at) FROM (SELECT min(received_at) AS received_at FROM work
             UNION ALL SELECT j.received_at FROM retry r JOIN journal j USING (position)
             UNION ALL SELECT j.received_at FROM dead d JOIN journal j USING (position))",
        )?
        .query_row((), |row| row.get(0))?;
    Ok(oldest.map(Timestamp::from_micros))
}
