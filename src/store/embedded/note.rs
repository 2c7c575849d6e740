//! Which queue feeds the Store, and how far: what the leader compares with the queue beside it.

use std::sync::atomic::Ordering;

use super::EmbeddedStore;
use super::column::{self, UnknownValue};
use crate::domain::{QueueId, QueueNote, QueuePlaces};
use crate::store::StoreError;

/// The Store lacks something that is no longer in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// Nobody has said anything about it.
    Found,
    /// A person has accepted it.
    Accepted,
}

impl EmbeddedStore {
    /// What is noted of the queue.
    pub async fn queue_note(&self) -> Result<Option<QueueNote>, StoreError> {
        self.read(|connection| {
            column::first(
                connection,
                "SELECT queue, number, applied, tried, last FROM queue_note",
                (),
                |row| {
                    Ok(QueueNote {
                        queue: QueueId(row.get("queue")?),
                        number: column::natural(row, "number")?,
                        places: QueuePlaces {
                            applied: column::natural(row, "applied")?,
                            tried: column::natural(row, "tried")?,
                            last: column::natural(row, "last")?,
                        },
                    })
                },
            )
        })
        .await
    }

    /// Notes how far a queue is applied. What was lacking before is not any more.
    pub async fn note_queue(&self, note: QueueNote) -> Result<(), StoreError> {
        self.write(move |connection| {
            let QueueNote { queue, number, places: QueuePlaces { applied, tried, last } } = &note;
            let [number, applied, tried, last] =
                [number, applied, tried, last].map(|number| number.cast_signed());
            column::execute(
                connection,
                "INSERT OR REPLACE INTO queue_note (only, queue, number, applied, tried, last) \
                 VALUES (1, ?1, ?2, ?3, ?4, ?5)",
                (&queue.0, number, applied, tried, last),
            )?;
            column::execute(connection, "UPDATE meta SET gap = NULL WHERE gap IS NOT NULL", ())
        })
        .await?;
        Ok(())
    }

    /// What is known of a gap.
    pub async fn gap(&self) -> Result<Option<Gap>, StoreError> {
        let gap = self.read(|connection| {
            column::first(connection, "SELECT gap FROM meta", (), |row| {
                column::parsed_if_any(row, "gap", |gap| match gap {
                    "found" => Ok(Gap::Found),
                    "accepted" => Ok(Gap::Accepted),
                    _ => Err(UnknownValue),
                })
            })
        });
        Ok(gap.await?.flatten())
    }

    /// Records a gap. A person has to accept it, also if an earlier one was accepted.
    pub async fn record_gap(&self) -> Result<(), StoreError> {
        self.update_meta("UPDATE meta SET gap = 'found'").await
    }

    /// Records that a person accepts the gap, if there is one.
    pub(super) async fn accept_gap(&self) -> Result<(), StoreError> {
        self.update_meta("UPDATE meta SET gap = 'accepted' WHERE gap = 'found'").await
    }

    async fn update_meta(&self, statement: &'static str) -> Result<(), StoreError> {
        self.write(move |connection| column::execute(connection, statement, ())).await?;
        Ok(())
    }

    /// Begins a new epoch of all change feeds, as numbers of lost changes are given again.
    pub async fn begin_epoch(&self) -> Result<(), StoreError> {
        self.update_meta("UPDATE meta SET epoch = lower(hex(randomblob(16)))").await
    }

    /// Counts that a file was replaced; see [`failovers`](crate::store::ReadStore::failovers).
    pub fn count_replaced(&self) {
        self.replaced.fetch_add(1, Ordering::Relaxed);
    }
}
