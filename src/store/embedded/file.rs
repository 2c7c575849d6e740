//! The file of the Store: opening, copying, reading and writing it.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use rusqlite::Connection;

use super::{EmbeddedStore, column, schema};
use crate::sqlite::{Database, Schema, SqliteError, SqliteFailure, damage, is_there};
use crate::store::StoreError;

pub(super) const FILE_NAME: &str = "store.db";

impl EmbeddedStore {
    /// Opens the Store of a directory; both are created if they are missing. Blocks.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::start(&directory.join(FILE_NAME), Database::open)
    }

    /// Opens the Store that a directory has, for commands beside the service: one that is missing or
    /// of an older schema is an error, not created or migrated. Blocks.
    pub fn open_existing(directory: &Path) -> Result<Self, StoreError> {
        let file = directory.join(FILE_NAME);
        if !is_there(&file)? {
            let message = format!(
                "there is no {}; check embedded.path, or start the service there first",
                file.display()
            );
            return Err(StoreError::Unavailable { source: message.into() });
        }
        Self::start(&file, Database::open_existing)
    }

    fn start(
        file: &Path,
        open: impl FnOnce(&Path, &Schema) -> Result<Database, SqliteError>,
    ) -> Result<Self, StoreError> {
        let database = open(file, &schema::SCHEMA).map_err(|error| {
            let is_damaged = error.kind == SqliteFailure::Damaged;
            if is_damaged {
                StoreError::Corrupt { detail: error.to_string() }
            } else {
                error.into()
            }
        })?;
        Ok(Self { database, replaced: AtomicU64::new(0) })
    }

    /// The file of a directory.
    pub fn file(directory: &Path) -> PathBuf {
        directory.join(FILE_NAME)
    }

    /// What is wrong with the file of a directory, if there is one. Reads all of it; blocks.
    pub fn damage(directory: &Path) -> Result<Vec<(PathBuf, String)>, StoreError> {
        Ok(damage(&directory.join(FILE_NAME))?)
    }

    /// Copies the file into another directory while it is written; see [`Database::copy_to`].
    pub async fn copy_to(
        &self,
        directory: &Path,
        progress: impl FnMut(u64, u64) + Send + 'static,
    ) -> Result<(), StoreError> {
        Ok(self.database.copy_to(&directory.join(FILE_NAME), progress).await?)
    }

    /// Runs a job on a snapshot; a stored value that cannot be read is the port's `Corrupt`.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.database
            .read(move |connection| match job(connection) {
                Ok(found) => Ok(Ok(found)),
                Err(error) => column::corruption(error).map(Err),
            })
            .await?
    }

    /// Runs a job in the writer's next transaction; returns once that is durable.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        job: impl Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        Ok(self.database.write(job).await?)
    }
}

impl From<SqliteError> for StoreError {
    fn from(error: SqliteError) -> Self {
        match error.kind {
            // Damage is the file's and no message's: work waits until the file is restored.
            SqliteFailure::Unavailable | SqliteFailure::Full | SqliteFailure::Damaged => {
                Self::Unavailable { source: error.into() }
            }
            SqliteFailure::Unusable => Self::Corrupt { detail: error.to_string() },
            SqliteFailure::Outdated => Self::Older {
                detail: format!(
                    "{error}: it has data of release 0.1.0, which this release does not read; stop \
                     the service, move the file (and its -wal and -shm files) out of its directory, \
                     leave broker.db there, start this release and run `storekeeper journal replay`"
                ),
            },
            SqliteFailure::Refused => Self::Rejected { source: error.into() },
        }
    }
}
