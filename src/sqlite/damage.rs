//! Looking for damage in a file.

use std::path::{Path, PathBuf};

use super::{SqliteError, SqliteFailure, open};

/// Findings that are reported; the first is enough to act on.
const FINDINGS_MAX: u32 = 20;

/// What to do about a damaged file. The Store can be filled again from the queue's journal; nothing
/// else has what the queue has.
pub(super) fn advice(path: &Path) -> &'static str {
    match path.file_name().and_then(|name| name.to_str()) {
        Some("store.db") => {
            "; the file is damaged: stop the service and restore the file from a backup, or move \
             it away (and those beside it, -wal and -shm): it is filled again from the journal in \
             broker.db"
        }
        Some("broker.db") => {
            "; the file is damaged: stop the service, keep a copy of the file (and those beside it, \
             -wal and -shm), and restore it from a backup; leave store.db as it is: what was \
             applied stays counted"
        }
        Some(_) | None => {
            "; the file is damaged: stop the service and restore the file from a backup"
        }
    }
}

/// What SQLite finds wrong with a file, each with the file's path. Reads all of it and writes
/// nothing; blocks. A file that is not there has no damage.
pub fn damage(path: &Path) -> Result<Vec<(PathBuf, String)>, SqliteError> {
    if !open::is_there(path)? {
        return Ok(Vec::new());
    }
    let file = path.display().to_string();
    let found = open::open_reader(path, &file).and_then(|connection| {
        let check = || {
            connection
                .prepare(&format!("PRAGMA integrity_check({FINDINGS_MAX})"))?
                .query_map((), |row| row.get(0))?
                .collect::<rusqlite::Result<Vec<String>>>()
        };
        check().map_err(|error| SqliteError::new(&file, &error))
    });
    let found = match found {
        Ok(found) if found == ["ok"] => Vec::new(),
        Ok(found) => found,
        Err(SqliteError {
            kind: SqliteFailure::Unusable | SqliteFailure::Damaged,
            message,
            ..
        }) => vec![message],
        Err(error) => return Err(error),
    };
    Ok(found.into_iter().map(|found| (path.to_owned(), found)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_store_may_be_moved_away() {
        for (file, may_go) in [("store.db", true), ("broker.db", false), ("broker.db-wal", false)] {
            let advice = advice(&Path::new("data").join(file));
            assert!(advice.contains("the file is damaged: stop the service"), "{advice}");
            assert_eq!(advice.contains("move it away"), may_go, "{file}: {advice}");
        }
        assert!(advice(Path::new("data/broker.db")).contains("leave store.db as it is"));
    }
}
