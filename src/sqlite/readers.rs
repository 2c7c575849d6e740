//! The readers of a file: a few connections that see what is committed and cannot write.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::open::open_reader;
use super::standing::Standing;
use super::{SqliteError, SqliteFailure};

/// Readers at a time.
const READERS_MAX: u32 = 4;

/// Idle reader connections, and how many may be in use.
pub(super) struct Readers {
    path: PathBuf,
    file: Arc<str>,
    standing: Arc<Standing>,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: PathBuf, file: Arc<str>, standing: Arc<Standing>) -> Self {
        let permits = Arc::new(Semaphore::new(READERS_MAX as usize));
        Self { path, file, standing, idle: Mutex::new(Vec::new()), permits }
    }

    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, SqliteError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| SqliteError::closed(&self.file))?;
        let readers = Arc::clone(self);
        let result = tokio::task::spawn_blocking(move || {
            // Kept until the job is done, also when the caller has gone.
            let _permit = permit;
            readers.run(job)
        });
        match result.await {
            Ok(result) => result,
            Err(error) if error.is_panic() => {
                Err(SqliteFailure::Refused.of(&*self.file, "the job panicked; please report it"))
            }
            // The runtime is shutting down.
            Err(_) => Err(SqliteError::closed(&self.file)),
        }
    }

    /// Waits for the readers under way and closes all connections.
    pub(super) async fn close(&self) {
        // An error means that another call closed them first.
        let all = self.permits.acquire_many(READERS_MAX).await.ok();
        self.permits.close();
        self.idle().clear();
        drop(all);
    }

    fn run<T>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, SqliteError> {
        self.standing.check()?;
        let idle = self.idle().pop();
        let connection = idle.map_or_else(|| open_reader(&self.path, &self.file), Ok)?;
        let result = in_snapshot(&connection, job);
        if connection.is_autocommit() {
            self.idle().push(connection);
        }
        result.map_err(|error| SqliteError::new(&self.file, &error))
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn in_snapshot<T>(
    connection: &Connection,
    job: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.prepare_cached("BEGIN")?.execute(())?;
    let result = job(connection);
    // A serious failure has ended the transaction; that there is none must not hide why.
    if !connection.is_autocommit() {
        connection.prepare_cached("ROLLBACK")?.execute(())?;
    }
    result
}
