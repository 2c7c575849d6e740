//! The right to consume a queue of a directory: a lock of the operating system.
//!
//! The system gives it back when its owner ends, however that happens. The locked file also says
//! how many rows its owner has in flight, for other processes to show; nothing depends on it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// The number's length in the file: it is written over itself.
const DIGITS: usize = 20;

/// A file whose lock can be held by one consumer at a time, in all processes.
#[derive(Debug)]
pub(super) struct QueueLock(File);

impl QueueLock {
    /// Opens or creates the file, without locking it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).open(path).map(Self)
    }

    /// Takes the lock if nobody has it; it is given back when this is dropped.
    pub(super) fn try_acquire(&self) -> io::Result<bool> {
        match self.0.try_lock() {
            Ok(()) => {
                // What the last owner recorded is not this one's.
                self.record_in_flight(0);
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Records how many rows the owner of the lock has in flight.
    pub(super) fn record_in_flight(&self, in_flight: usize) {
        // It is for people. On a full disk it may be missing, and what is in flight counts as
        // ready.
        self.0.write_all_at(format!("{in_flight:0DIGITS$}").as_bytes(), 0).ok();
    }
}

/// How many rows the owner of a lock has in flight, in whichever process; none if nobody has it.
pub(super) fn in_flight(path: &Path) -> u64 {
    let Ok(mut file) = File::open(path) else { return 0 };
    let mut digits = [0; DIGITS];
    let noted = file.read_exact(&mut digits).ok().and_then(|()| str::from_utf8(&digits).ok());
    let noted = noted.and_then(|digits| digits.parse().ok()).unwrap_or(0);
    // What a dead owner recorded is void.
    if noted > 0 && is_locked(&file) { noted } else { 0 }
}

/// Whether anybody has the lock, in whichever process.
pub(super) fn is_owned(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| is_locked(&file))
}

/// Trying the lock may keep a consumer from it for a moment: it tries again.
fn is_locked(file: &File) -> bool {
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}
