//! One SQLite file: a writer thread with group commit, and short readers beside it.
//!
//! Both embedded adapters stand on this, and neither sees the other. Jobs that wait while a
//! commit is being written to disk share the next one: the cost of an fsync is paid once a
//! group. A job is a closure over a connection inside the group's transaction; its answer is sent
//! only after the commit, so an answer means "durable".
//!
//! # Invariants
//! - There is one writer connection a handle and file; other processes wait for its lock.
//! - A job whose closure fails or panics leaves nothing behind and does not touch its neighbours.
//! - Nothing is read from, and nothing confirmed that went into, a file that its name no longer
//!   leads to.
//! - WAL with `synchronous=FULL`: a commit survives the loss of power.
//! - A file that is not ours, or newer or much older than this program, is refused before anything is written.

mod copy;
mod damage;
mod open;
mod readers;
mod standing;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot};

pub use self::damage::damage;
use self::open::Upkeep;
pub use self::open::is_there;
use self::readers::Readers;
use self::standing::Standing;
use self::writer::WriterMessage;

/// At most so many jobs wait; then callers do.
const JOBS_WAITING_MAX: usize = 1024;
/// How long to wait for another process's write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What a file must hold.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// Tells our files from any other SQLite file (`PRAGMA application_id`); not 0.
    pub application_id: i32,
    /// The size of the pages of a new file. A file that is there keeps the size that it has.
    pub page_bytes: u32,
    /// The statements that lead from each version to the next, from an empty file on. The first
    /// may be [`UNREAD`]: the next then leads from an empty file to its own version at once.
    pub migrations: &'static [&'static str],
}

/// Stands for the statements that led to a version whose files are no longer read.
pub const UNREAD: &str = "";

impl Schema {
    fn is_unread(&self, version: i64) -> bool {
        let unread = self.migrations.iter().take_while(|migration| **migration == UNREAD).count();
        usize::try_from(version).is_ok_and(|version| (1..=unread).contains(&version))
    }
}

/// Why a file or a statement did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{file}: {message}")]
pub struct SqliteError {
    /// What a caller can do about it.
    pub kind: SqliteFailure,
    /// The file's name.
    pub file: String,
    /// What SQLite returned, or what was found and what to do.
    pub message: String,
}

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqliteFailure {
    /// It may work later: locked by another process, or the disk did not answer.
    Unavailable,
    /// The disk, or the file's allowed size, is full.
    Full,
    /// The file is not one that this program can use.
    Unusable,
    /// Something in the file is damaged.
    Damaged,
    /// The file is of an older release, whose files are no longer read.
    Outdated,
    /// The statement was refused.
    Refused,
}

impl SqliteFailure {
    /// The error of a file.
    pub fn of(self, file: impl Into<String>, message: impl Into<String>) -> SqliteError {
        SqliteError { kind: self, file: file.into(), message: message.into() }
    }
}

impl SqliteError {
    /// Whether the same call may work later.
    pub const fn is_transient(&self) -> bool {
        matches!(self.kind, SqliteFailure::Unavailable | SqliteFailure::Full)
    }

    fn new(file: &str, error: &rusqlite::Error) -> Self {
        let mut message = error.to_string();
        let is_not_as_written = matches!(
            error,
            rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
        );
        let kind = match error.sqlite_error_code() {
            _ if is_not_as_written => {
                message += "; run the release that wrote it, or restore the file from a backup";
                SqliteFailure::Unusable
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                message += damage::advice(Path::new(file));
                SqliteFailure::Damaged
            }
            Some(ErrorCode::DiskFull) => SqliteFailure::Full,
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::OutOfMemory
                | ErrorCode::FileLockingProtocolFailed,
            ) => SqliteFailure::Unavailable,
            _ => SqliteFailure::Refused,
        };
        kind.of(file, message)
    }

    fn closed(file: &str) -> Self {
        SqliteFailure::Unavailable.of(file, "the file is closed")
    }
}

/// An open file.
#[derive(Clone)]
pub struct Database {
    file: Arc<str>,
    messages: mpsc::Sender<WriterMessage>,
    readers: Arc<Readers>,
    standing: Arc<Standing>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Database {
    /// Opens the file, brings its schema up to date and starts its writer thread. A missing file
    /// and its directory are created so that only their owner can read them.
    ///
    /// Blocks. A file of a newer schema, of one that is no longer read, or of another program is
    /// refused and left as it is.
    pub fn open(path: &Path, schema: &Schema) -> Result<Self, SqliteError> {
        Self::start(path, schema, Upkeep::Allowed)
    }

    /// Opens a file that is there with the schema of this release, for whoever works beside the
    /// service that keeps it; anything else is refused and left as it is.
    ///
    /// Blocks.
    pub fn open_existing(path: &Path, schema: &Schema) -> Result<Self, SqliteError> {
        Self::start(path, schema, Upkeep::Refused)
    }

    fn start(path: &Path, schema: &Schema, upkeep: Upkeep) -> Result<Self, SqliteError> {
        let file: Arc<str> = path.display().to_string().into();
        let writer = open::open_writer(path, schema, upkeep, &file)?;
        let (messages, waiting) = mpsc::channel(JOBS_WAITING_MAX);
        let standing = Arc::new(Standing::of(path, &file));
        let (name, stands) = (Arc::clone(&file), Arc::clone(&standing));
        std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || writer::write_groups(writer, waiting, &name, &stands))
            .map_err(|error| {
                let message = format!("cannot start the writer thread: {error}");
                SqliteFailure::Unavailable.of(&*file, message)
            })?;
        let stands = Arc::clone(&standing);
        let readers = Arc::new(Readers::new(path.to_owned(), Arc::clone(&file), stands));
        Ok(Self { file, messages, readers, standing })
    }

    /// Runs a job in the next group and answers once that is durable.
    ///
    /// The job must not begin or end transactions, and it may be run twice, the first time undone.
    /// Cancelling the call does not cancel the job.
    pub async fn write<T: Send + 'static>(
        &self,
        job: impl Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, SqliteError> {
        let (message, answered) = writer::message(Arc::clone(&self.file), job);
        let closed = || SqliteError::closed(&self.file);
        self.messages.send(message).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?.inspect_err(|error| self.standing.note(error))
    }

    /// Runs a job on a reader, on a snapshot of what is committed.
    pub async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, SqliteError> {
        self.readers.read(job).await.inspect_err(|error| self.standing.note(error))
    }

    /// Fails if something in the file was found damaged since it was opened.
    pub fn check_undamaged(&self) -> Result<(), SqliteError> {
        self.standing.damage().map_or(Ok(()), |damage| Err(damage.clone()))
    }

    /// Copies the file, as it is now, to one that is not there yet and that only its owner can read;
    /// writing goes on meanwhile. `progress` gets how many pages are done, and of how many.
    ///
    /// Dies before the answer: the copy is no use. Until it ends, the log of what is written
    /// meanwhile is not moved into the file, so it grows.
    pub async fn copy_to(
        &self,
        path: &Path,
        progress: impl FnMut(u64, u64) + Send + 'static,
    ) -> Result<(), SqliteError> {
        let path = path.to_owned();
        open::create_private(&path).map_err(|error| {
            let message = format!("cannot create it: {error}");
            SqliteFailure::Unusable.of(path.display().to_string(), message)
        })?;
        self.read(move |connection| copy::copy(connection, &path, progress)).await
    }

    /// Lets the jobs that wait finish and closes the file. Other clones of the handle can no
    /// longer read or write.
    pub async fn close(&self) {
        // The writer goes last: whoever closes a file last moves its WAL into it, and readers may
        // not write.
        self.readers.close().await;
        let (done, finished) = oneshot::channel();
        if self.messages.send(WriterMessage::Stop(done)).await.is_ok() {
            // An error means that another call closed the file first.
            finished.await.ok();
        }
    }
}

#[cfg(test)]
mod tests;
