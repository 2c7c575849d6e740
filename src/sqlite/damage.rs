//! Looking for damage in a file.

use std::path::{Path, PathBuf};

use super::{SqliteError, SqliteFailure, open};

/// Findings that are reported; the first is enough to act on.
const FINDINGS_MAX: u32 = 20;

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
