//! The backup: a copy of both files while they are written.
//!
//! The Store is copied first, then the broker: so the journal of the copy covers all that its
//! Store has seen. What was settled between the two is in the copy's journal and not in its queue;
//! the time from which the journal must be replayed after a restore is taken before both.
//!
//! Dies anywhere: the directory does not exist. It gets its name once it is complete; until then it
//! has another, hidden one, and is locked. The next backup beside it removes incomplete ones.

use std::fs::{self, DirEntry, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::broker::BrokerError;
use crate::broker::embedded::EmbeddedBroker;
use crate::clock;
use crate::domain::Timestamp;
use crate::store::StoreError;
use crate::store::embedded::EmbeddedStore;

/// How the names of directories begin that are no backups yet.
const UNFINISHED: &str = ".storekeeper-backup-";
/// Says from when on the journal is to be replayed after a restore.
const SINCE_FILE: &str = "replay-since";

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackUpError {
    /// Something has its name.
    #[error("{} is there already; choose a new directory", .0.display())]
    Exists(PathBuf),
    /// A file or directory cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The queue cannot be copied.
    #[error("cannot copy the queue")]
    Broker(#[from] BrokerError),
    /// The state cannot be copied.
    #[error("cannot copy the store")]
    Store(#[from] StoreError),
}

/// Copies the files of `from` to the new directory `to`, which only its owner can read. Answers
/// with the time from which the journal is to be replayed after a restore; it is in the copy too.
///
/// `progress` gets the file, how many of its pages are done, and how many there are.
pub async fn back_up(
    from: &Path,
    to: &Path,
    progress: impl Fn(&'static str, u64, u64) + Clone + Send + 'static,
) -> Result<Timestamp, BackUpError> {
    if to.symlink_metadata().is_ok() {
        return Err(BackUpError::Exists(to.to_owned()));
    }
    let store = EmbeddedStore::open_existing(from)?;
    let broker = EmbeddedBroker::open_existing(from)?;
    let written = |path: &Path| {
        let path = path.to_owned();
        move |source| BackUpError::Write { path, source }
    };
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or_else(|| Path::new("."));
    let (unfinished, _lock) = begin(parent).map_err(written(parent))?;
    let place = unfinished.path();
    // What waits now may be settled between the two copies, and so may what comes later.
    let since = broker.oldest_waiting().await?.unwrap_or(Timestamp::from_micros(i64::MAX));
    let since = since.min(clock::now());
    let of_store = progress.clone();
    store.copy_to(place, move |done, all| of_store("store.db", done, all)).await?;
    broker.copy_to(place, move |done, all| progress("broker.db", done, all)).await?;
    write_since(&place.join(SINCE_FILE), since).map_err(written(place))?;
    File::open(place).and_then(|place| place.sync_all()).map_err(written(place))?;
    fs::rename(place, to).map_err(written(to))?;
    // Its name is another now: there is nothing left to remove.
    drop(unfinished.keep());
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(written(parent))?;
    Ok(since)
}

/// Removes what backups that died have left, and makes a directory without a final name. It is
/// locked for as long as the file is open.
fn begin(parent: &Path) -> io::Result<(tempfile::TempDir, File)> {
    // In turns: a directory that is not locked yet must not be taken for one of the dead.
    let turn = File::open(parent)?;
    turn.lock()?;
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if let Some(Err(error)) = is_left(&entry).then(|| fs::remove_dir_all(entry.path())) {
            // It is not in the way.
            tracing::warn!(%error, place = %entry.path().display(), "cannot remove half a backup");
        }
    }
    let directory = private_directory(parent)?;
    let lock = File::open(directory.path())?;
    lock.lock()?;
    Ok((directory, lock))
}

/// Whether it is half a backup that nobody is writing any more.
fn is_left(entry: &DirEntry) -> bool {
    let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
    let is_named = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
    let is_free = || File::open(entry.path()).is_ok_and(|opened| opened.try_lock().is_ok());
    is_directory && is_named && is_free()
}

/// A directory without a final name, which goes away unless it is kept.
fn private_directory(parent: &Path) -> io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED).permissions(Permissions::from_mode(0o700)).tempdir_in(parent)
}

fn write_since(path: &Path, since: Timestamp) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    let mut file = options.mode(0o600).open(path)?;
    writeln!(file, "{since}")?;
    file.sync_all()
}
