//! The lease of the one process that leads.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use uuid::Uuid;

use crate::clock;
use crate::domain::causes;
use crate::store::redis::RedisStore;
use crate::store::{Fence, StoreError};

/// How long a lease lasts without renewal, and so how long nobody leads after its holder died.
pub(super) const LASTS: Duration = Duration::from_secs(10);
/// The file of an embedded directory whose lock the leader holds.
const FILE: &str = "leader.lock";
/// The length of the number in the file, which is overwritten in place.
const DIGITS: u64 = 20;

/// The right to lead.
#[derive(Debug)]
pub enum LeaderLease {
    /// A lock of the operating system, released when its owner ends. The file holds the number of
    /// the last holder.
    File {
        /// The file.
        file: File,
        /// This holder's number while it has the lock, else 0.
        number: AtomicU64,
    },
    /// A lease in Redis, by Redis' clock.
    Server {
        /// Where it is kept.
        store: Arc<RedisStore>,
        /// The owner: a new id for every process.
        owner: Uuid,
    },
}

impl LeaderLease {
    /// The lease of a directory of the embedded backend.
    pub fn of_directory(directory: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(directory.join(FILE))?;
        Ok(Self::File { file, number: AtomicU64::new(0) })
    }

    /// The lease that all processes on one Redis share.
    pub fn of_server(store: Arc<RedisStore>) -> Self {
        Self::Server { store, owner: Uuid::now_v7() }
    }

    /// Acquires or renews the lease. Returns its number, which grows with every holder, or `None`
    /// while another process holds it.
    pub(super) async fn acquire(&self) -> Result<Option<Fence>, StoreError> {
        match self {
            Self::File { file, number } => match file.try_lock() {
                Ok(()) => numbered(file, number).map(Some).map_err(unavailable),
                Err(TryLockError::WouldBlock) => Ok(None),
                Err(TryLockError::Error(error)) => Err(unavailable(error)),
            },
            Self::Server { store, owner } => store.acquire_lease(*owner, LASTS).await,
        }
    }

    /// Releases the lease, so that another process need not wait until it expires.
    pub(super) async fn release(&self) {
        let released = match self {
            Self::File { file, number } => {
                number.store(0, Ordering::Relaxed);
                file.unlock().map_err(|error| causes(&error))
            }
            Self::Server { store, owner } => {
                store.release_lease(*owner).await.map_err(|error| causes(&error))
            }
        };
        if let Err(error) = released {
            tracing::debug!(error, "cannot release the lease; it runs out by itself");
        }
    }
}

/// The number of the lock's holder: greater than the last holder's, even if that file is gone.
fn numbered(mut file: &File, number: &AtomicU64) -> io::Result<Fence> {
    let mut own = number.load(Ordering::Relaxed);
    if own == 0 {
        let mut digits = String::new();
        file.seek(SeekFrom::Start(0))?;
        file.take(DIGITS).read_to_string(&mut digits)?;
        let now = clock::now().micros().cast_unsigned();
        own = digits.parse().unwrap_or(0_u64).saturating_add(1).max(now);
        file.seek(SeekFrom::Start(0))?;
        file.write_all(format!("{own:020}").as_bytes())?;
        file.sync_data()?;
        number.store(own, Ordering::Relaxed);
    }
    Ok(Fence(own))
}

fn unavailable(error: io::Error) -> StoreError {
    StoreError::Unavailable { source: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_process_leads_until_it_releases_the_lock_or_ends() {
        let directory = tempfile::tempdir().unwrap();
        let open = || LeaderLease::of_directory(directory.path()).unwrap();
        let (one, two) = (open(), open());
        let first = one.acquire().await.unwrap().unwrap();
        assert_eq!(one.acquire().await.unwrap(), Some(first));
        assert_eq!(two.acquire().await.unwrap(), None);
        one.release().await;
        let second = two.acquire().await.unwrap().unwrap();
        assert!(second.0 > first.0);
        assert_eq!(one.acquire().await.unwrap(), None);
        drop(two);
        let third = one.acquire().await.unwrap().unwrap();
        assert!(third.0 > second.0);
        drop(one);
        // As after a restore of what a backup has.
        std::fs::remove_file(directory.path().join(FILE)).unwrap();
        assert!(open().acquire().await.unwrap().unwrap().0 > third.0);
    }
}
