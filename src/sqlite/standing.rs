//! Whether a file is still what its name leads to, and whether it was found damaged.
//!
//! What is written into a file that was removed or replaced is read by nobody after a restart. So
//! files are compared with their names before and after each group of writes: nothing is confirmed
//! that went elsewhere. SQLite keeps what it wrote last beside the database, in files that belong to
//! it as much.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{SqliteError, SqliteFailure};

/// What the names of the files end in.
const ENDINGS: [&str; 3] = ["", "-wal", "-shm"];

/// A file's device and number, by which it is known whatever its name.
type Identity = (u64, u64);

/// What is known of a file and of those beside it.
#[derive(Debug)]
pub(super) struct Standing {
    file: String,
    files: [(PathBuf, OnceLock<Identity>); ENDINGS.len()],
    is_reported: AtomicBool,
    damage: OnceLock<SqliteError>,
}

impl Standing {
    /// Remembers the files that a name leads to; those beside it may not be there yet.
    pub(super) fn of(path: &Path, file: &str) -> Self {
        let files = ENDINGS.map(|ending| {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            let path = PathBuf::from(name);
            let identity = identity(&path).map(OnceLock::from).unwrap_or_default();
            (path, identity)
        });
        let (is_reported, damage) = (AtomicBool::new(false), OnceLock::new());
        Self { file: file.to_owned(), files, is_reported, damage }
    }

    /// Fails if a file is not what its name leads to.
    pub(super) fn check(&self) -> Result<(), SqliteError> {
        let elsewhere = self.files.iter().find(|(path, opened)| match identity(path) {
            Some(found) => *opened.get_or_init(|| found) != found,
            None => opened.get().is_some(),
        });
        let Some((path, _)) = elsewhere else {
            self.is_reported.store(false, Ordering::Relaxed);
            return Ok(());
        };
        let message = format!(
            "{} was removed or replaced while this process has it open; nothing more is written: \
             stop the process, put the file back (and those beside it, -wal and -shm), and start it",
            path.display()
        );
        if !self.is_reported.swap(true, Ordering::Relaxed) {
            tracing::error!("{message}");
        }
        Err(SqliteFailure::Unavailable.of(&*self.file, message))
    }

    /// Remembers an error that says that the file is damaged.
    pub(super) fn note(&self, error: &SqliteError) {
        if error.kind == SqliteFailure::Damaged && self.damage.set(error.clone()).is_ok() {
            tracing::error!(%error, "a file is damaged");
        }
    }

    /// The first damage that was found.
    pub(super) fn damage(&self) -> Option<&SqliteError> {
        self.damage.get()
    }
}

fn identity(path: &Path) -> Option<Identity> {
    path.metadata().ok().map(|found| (found.dev(), found.ino()))
}
