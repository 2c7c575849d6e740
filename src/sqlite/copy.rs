//! Copying a file while it is written, by SQLite's own means.

use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

/// Pages that are copied between two reports of progress: 4 MiB.
const STEP_PAGES: i32 = 1024;

/// Copies what a connection sees into a file that is there and empty; `progress` gets how many
/// pages are done, and of how many.
///
/// The connection must be in a transaction. What it has read once stays what it sees: without
/// that, each write of another connection would start the copy anew.
pub(super) fn copy(
    connection: &Connection,
    path: &Path,
    mut progress: impl FnMut(u64, u64),
) -> rusqlite::Result<()> {
    connection.query_row("SELECT count(*) FROM sqlite_schema", (), |_| Ok(()))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut target = Connection::open_with_flags(path, flags)?;
    target.pragma_update(None, "synchronous", "FULL")?;
    {
        let backup = Backup::new(connection, &mut target)?;
        loop {
            let step = backup.step(STEP_PAGES)?;
            let pages = backup.progress();
            let count = |pages: i32| u64::try_from(pages).unwrap_or(0);
            progress(count(pages.pagecount - pages.remaining), count(pages.pagecount));
            if step == StepResult::Done {
                break;
            }
            if step != StepResult::More {
                let busy = ffi::Error { code: ErrorCode::DatabaseBusy, extended_code: 5 };
                return Err(rusqlite::Error::SqliteFailure(busy, None));
            }
        }
    }
    target.close().map_err(|(_, error)| error)
}
