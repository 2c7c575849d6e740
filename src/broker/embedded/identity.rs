//! Whose queue it is, and how far it was worked off: what the Store beside it is compared with.

use std::sync::atomic::Ordering;

use rusqlite::Connection;

use super::EmbeddedBroker;
use super::journal::unsigned;
use crate::broker::{BrokerError, JournalPosition};
use crate::domain::{QueueId, QueuePlaces, QueueState, Timestamp};

impl EmbeddedBroker {
    /// What the queue knows of itself, and whether replayed bodies are in it: which events those
    /// stand for, its places do not say.
    pub async fn state(&self) -> Result<(QueueState, bool), BrokerError> {
        Ok(self.shared.database.read(state).await?)
    }

    /// Whether this process has found that the Store beside it has all that was settled, or that
    /// what it lacks is in the queue again.
    pub fn is_paired(&self) -> bool {
        self.shared.is_paired.load(Ordering::Relaxed)
    }

    /// Records that it has.
    pub fn mark_paired(&self) {
        self.shared.is_paired.store(true, Ordering::Relaxed);
    }

    /// Whether nothing of it was ever settled, so that a new Store beside it lacks nothing.
    pub async fn is_untouched(&self) -> Result<bool, BrokerError> {
        let untouched = |connection: &Connection| {
            connection
                .prepare_cached(
                    "SELECT (SELECT count(*) FROM work) + (SELECT count(*) FROM retry)
                       + (SELECT count(*) FROM dead)
                       = coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'journal'), 0)",
                )?
                .query_row((), |row| row.get(0))
        };
        Ok(self.shared.database.read(untouched).await?)
    }

    /// The first and the last place after a position whose event is in no queue; `None` if all are.
    pub async fn settled_after(
        &self,
        after: JournalPosition,
    ) -> Result<Option<(JournalPosition, JournalPosition)>, BrokerError> {
        let after = i64::try_from(after.0).unwrap_or(i64::MAX);
        let settled = move |connection: &Connection| {
            // The plus makes it read the slim index by age, and no bodies.
            connection
                .prepare_cached(
                    "SELECT min(position), max(position) FROM journal j WHERE +position > ?1
                     AND NOT EXISTS (SELECT 1 FROM work w
                       WHERE w.received_at = j.received_at AND w.position = j.position)
                     AND NOT EXISTS (SELECT 1 FROM retry r WHERE r.position = j.position)
                     AND NOT EXISTS (SELECT 1 FROM dead d WHERE d.position = j.position)",
                )?
                .query_row([after], |row| {
                    let place = |place: i64| JournalPosition(place.cast_unsigned());
                    let (first, last): (Option<i64>, Option<i64>) = (row.get(0)?, row.get(1)?);
                    Ok(first.map(place).zip(last.map(place)))
                })
        };
        Ok(self.shared.database.read(settled).await?)
    }

    /// Notes that the Store has made the note of this number about this queue.
    pub async fn confirm_note(&self, number: u64) -> Result<(), BrokerError> {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        let confirm = move |connection: &Connection| {
            connection
                .prepare_cached(
                    "UPDATE identity SET number = ?1, before_id = NULL, before_last = NULL
                     WHERE number < ?1",
                )?
                .execute([number])
        };
        self.shared.database.write(confirm).await?;
        Ok(())
    }

    /// Takes over the Store of another queue, with which it has the same events up to a position. The
    /// Store has more than the journal then: a rebuild from it alone would lack that.
    ///
    /// One that is an older copy of that queue gets a new id, as its positions will stand for other
    /// events than those that the Store knows.
    pub async fn take_over(
        &self,
        before: QueueId,
        last: u64,
        is_copy: bool,
    ) -> Result<(), BrokerError> {
        let last = i64::try_from(last).unwrap_or(i64::MAX);
        let take_over = move |connection: &Connection| {
            connection.execute(
                "UPDATE identity SET before_id = ?1, before_last = ?2",
                (&before.0, last),
            )?;
            if is_copy {
                let renew = "UPDATE identity SET id = lower(hex(randomblob(16))), number = 0";
                connection.execute(renew, ())?;
            }
            let mark = "UPDATE forgotten SET envelopes = max(envelopes, 1), \
                        position = max(position, 1)";
            connection.execute(mark, ())
        };
        self.shared.database.write(take_over).await?;
        Ok(())
    }

    /// When the last event of the journal was received.
    pub async fn last_received(&self) -> Result<Option<Timestamp>, BrokerError> {
        let last = |connection: &Connection| {
            connection.query_row(
                "SELECT max(received_at) FROM journal WHERE hidden = 0",
                (),
                |row| Ok(row.get::<_, Option<i64>>(0)?.map(Timestamp::from_micros)),
            )
        };
        Ok(self.shared.database.read(last).await?)
    }
}

/// One snapshot: what is settled is applied, and what is not is in a queue.
fn state(connection: &Connection) -> rusqlite::Result<(QueueState, bool)> {
    connection
        .prepare_cached(
            "SELECT id, number, before_id, before_last, f.position,
               coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'journal'), 0),
               (SELECT min(position) FROM (SELECT min(position) AS position FROM work
                 UNION ALL SELECT min(position) FROM retry
                 UNION ALL SELECT min(position) FROM dead)),
               (SELECT position FROM work WHERE attempt = 1 ORDER BY seq LIMIT 1),
               EXISTS (SELECT 1 FROM journal WHERE hidden = 1)
             FROM identity, forgotten f",
        )?
        .query_row((), |row| {
            let last = unsigned(row, 5)?;
            let before = |column: usize| -> rusqlite::Result<u64> {
                let first: Option<i64> = row.get(column)?;
                Ok(first.map_or(last, |first| first.cast_unsigned().saturating_sub(1)))
            };
            let before_id: Option<String> = row.get(2)?;
            let state = QueueState {
                id: QueueId(row.get(0)?),
                number: unsigned(row, 1)?,
                before: match before_id {
                    Some(id) => Some((QueueId(id), unsigned(row, 3)?)),
                    None => None,
                },
                places: QueuePlaces { applied: before(6)?, tried: before(7)?, last },
                removed: unsigned(row, 4)?,
            };
            Ok((state, row.get(8)?))
        })
}
