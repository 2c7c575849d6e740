//! Opening a file: whose it is, how it is set up, and its migrations.
//!
//! Nothing is written to a file before its application id and schema version were read. Two
//! processes may open a new file at the same time.

use std::io;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::{Access, access};

use super::{BUSY_TIMEOUT, Schema, SqliteError, SqliteFailure};

/// How many prepared statements a connection keeps.
const STATEMENTS_CACHED: usize = 64;
/// A WAL that grew past this is cut back at its next restart, in bytes.
const WAL_BYTES_KEPT: i64 = 64 * 1024 * 1024;
/// The WAL is copied into the file once it has so many bytes: a page that every commit writes is
/// then copied once for many commits.
const WAL_BYTES_MAX: i64 = 32 * 1024 * 1024;
/// What the writer keeps in memory of its file: the inner pages of every index that it writes.
const WRITER_CACHE_KIBIBYTES: i64 = 8192;
/// How often to ask for WAL mode while other processes open the same new file.
const WAL_TRIES_MAX: usize = 50;
/// What to do about a file that may not be used.
const RIGHTS: &str = "check the path and who may read and write there";

/// What may be done about a file that is missing or of an older schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upkeep {
    /// It is created, or brought up to date.
    Allowed,
    /// Nothing: whoever only reads must not change what a service beside it relies on.
    Refused,
}

pub(super) fn open_writer(
    path: &Path,
    schema: &Schema,
    upkeep: Upkeep,
    file: &str,
) -> Result<Connection, SqliteError> {
    if upkeep == Upkeep::Allowed {
        create_private(path).map_err(|error| {
            SqliteFailure::Unusable.of(file, format!("cannot create it: {error}; {RIGHTS}"))
        })?;
    }
    let connection = connect(path, file)?;
    let sql = |error: rusqlite::Error| SqliteError::new(file, &error);
    // One snapshot: another process may be creating the schema.
    connection.execute_batch("BEGIN").map_err(sql)?;
    let version = inspect(&connection, schema, file)?;
    connection.execute_batch("ROLLBACK").map_err(sql)?;
    if upkeep == Upkeep::Refused {
        check_is_current(version, schema, file)?;
    }
    if version.is_none() {
        connection.pragma_update(None, "page_size", schema.page_bytes).map_err(sql)?;
    }
    switch_to_wal(&connection, file)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(sql)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT).map_err(sql)?;
    let page_bytes: i64 =
        connection.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(sql)?;
    connection
        .pragma_update(None, "wal_autocheckpoint", WAL_BYTES_MAX / page_bytes)
        .map_err(sql)?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIBIBYTES).map_err(sql)?;
    // Bodies hold personal data: once removed, they must not stay in unused pages.
    connection.pragma_update(None, "secure_delete", true).map_err(sql)?;
    if version.is_none_or(|version| version < schema.migrations.len()) {
        migrate(&connection, schema, file)?;
    }
    Ok(connection)
}

pub(super) fn open_reader(path: &Path, file: &str) -> Result<Connection, SqliteError> {
    let connection = connect(path, file)?;
    connection
        .pragma_update(None, "query_only", true)
        .map_err(|error| SqliteError::new(file, &error))?;
    Ok(connection)
}

/// Creates what is missing for its owner alone; what is there keeps its permissions. SQLite gives
/// the files that it puts beside the database the same permissions.
///
/// Returns once the names of all of it would survive the loss of power: a commit is durable only if
/// its file is found again.
pub(super) fn create_private(path: &Path) -> io::Result<()> {
    create_and_sync(path, |directory| std::fs::File::open(directory)?.sync_all())
}

fn create_and_sync(path: &Path, mut sync: impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    let mut directory = std::fs::DirBuilder::new();
    let mut file = std::fs::OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        directory.mode(0o700);
        file.mode(0o600);
    }
    // The directory of the file, and those that are missing above it, innermost first.
    let mut made = Vec::new();
    let mut above = parent_of(path);
    while !above.exists() {
        made.push(above);
        above = parent_of(above);
    }
    directory.recursive(true).create(parent_of(path))?;
    // Never opens an existing file: closing it again would take away the POSIX locks that
    // other connections of this process have on it.
    match file.write(true).create_new(true).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        // One that is there may have been created a moment ago, by a process that died since.
        _ => sync(parent_of(path))?,
    }
    made.into_iter().try_for_each(|made| sync(parent_of(made)))
}

/// Whether a file is there; an error if that cannot be found out, as without the right to search
/// its directory: a file that is not seen is not missing.
pub fn is_there(path: &Path) -> Result<bool, SqliteError> {
    path.try_exists().map_err(|error| {
        let message = format!("cannot look for it: {error}; {RIGHTS}");
        SqliteFailure::Unusable.of(path.display().to_string(), message)
    })
}

/// The directory that has the name; that of a bare name is the working directory.
fn parent_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or_else(|| Path::new("."))
}

fn connect(path: &Path, file: &str) -> Result<Connection, SqliteError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connect = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
        // Otherwise a statement is compiled anew when a value is bound that its plan looked at.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        // A file that somebody tampered with runs no functions of ours.
        connection.pragma_update(None, "trusted_schema", false)?;
        Ok(connection)
    };
    connect().map_err(|error: rusqlite::Error| {
        // SQLite says only that it cannot open the file. Opening it here to find out would take
        // away the locks of this process.
        match access(path, Access::READ_OK | Access::WRITE_OK) {
            Err(why) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) => {
                let why = io::Error::from(why);
                SqliteFailure::Unavailable.of(file, format!("cannot open it: {why}; {RIGHTS}"))
            }
            Ok(()) | Err(_) => SqliteError::new(file, &error),
        }
    })
}

/// Refuses a file that is not of the schema of this release.
fn check_is_current(
    version: Option<usize>,
    schema: &Schema,
    file: &str,
) -> Result<(), SqliteError> {
    let known = schema.migrations.len();
    match version {
        None => {
            let message = "has nothing in it yet; start `storekeeper serve` there first";
            Err(SqliteFailure::Unavailable.of(file, message))
        }
        Some(version) if version < known => {
            let message = format!(
                "has schema version {version}, and this release needs {known}; start this \
                 release's `storekeeper serve` or `storekeeper worker`, which bring it up to date"
            );
            Err(SqliteFailure::Unusable.of(file, message))
        }
        Some(_) => Ok(()),
    }
}

/// Reads whose file this is; returns its schema version, or `None` if there is nothing in it.
fn inspect(
    connection: &Connection,
    schema: &Schema,
    file: &str,
) -> Result<Option<usize>, SqliteError> {
    let found = || {
        let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get(0));
        let tables =
            connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
        Ok::<(i64, i64, i64), _>((pragma("application_id")?, pragma("user_version")?, tables))
    };
    let (application_id, version, tables) =
        found().map_err(|error: rusqlite::Error| SqliteError::new(file, &error))?;
    if application_id == 0 && version == 0 && tables == 0 {
        return Ok(None);
    }
    if application_id != i64::from(schema.application_id) {
        let message = "is a database of another program; choose another path";
        return Err(SqliteFailure::Unusable.of(file, message));
    }
    let known = schema.migrations.len();
    if schema.is_unread(version) {
        let message = format!(
            "has schema version {version}, of an older release, and this release needs {known}"
        );
        return Err(SqliteFailure::Outdated.of(file, message));
    }
    let version_known = usize::try_from(version).ok().filter(|version| *version <= known);
    version_known.map(Some).ok_or_else(|| {
        let message = format!(
            "has schema version {version}, and this release knows {known}; \
             run the release that wrote it, or a newer one"
        );
        SqliteFailure::Unusable.of(file, message)
    })
}

fn switch_to_wal(connection: &Connection, file: &str) -> Result<(), SqliteError> {
    let sql = |error: rusqlite::Error| SqliteError::new(file, &error);
    let switch = || {
        connection
            .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))
    };
    let mut mode = switch();
    for _ in 1..WAL_TRIES_MAX {
        let is_busy = matches!(&mode, Err(error)
            if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy));
        if !is_busy {
            break;
        }
        // The switch itself does not wait for a process that does the same; this does.
        connection.execute_batch("BEGIN IMMEDIATE; COMMIT").map_err(sql)?;
        mode = switch();
    }
    if mode.map_err(sql)?.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    let message = "cannot keep a write-ahead log here; choose a directory on a local disk";
    Err(SqliteFailure::Unusable.of(file, message))
}

/// Applies the migrations that the file has not seen. Another process may have done so since the
/// file was inspected: the version is read again inside the transaction.
fn migrate(connection: &Connection, schema: &Schema, file: &str) -> Result<(), SqliteError> {
    let sql = |error: rusqlite::Error| SqliteError::new(file, &error);
    connection.execute_batch("BEGIN IMMEDIATE").map_err(sql)?;
    let version = inspect(connection, schema, file)?;
    for migration in schema.migrations.iter().skip(version.unwrap_or(0)) {
        connection.execute_batch(migration).map_err(sql)?;
    }
    let known = i64::try_from(schema.migrations.len()).unwrap_or(i64::MAX);
    connection.pragma_update(None, "application_id", schema.application_id).map_err(sql)?;
    connection.pragma_update(None, "user_version", known).map_err(sql)?;
    connection.execute_batch("COMMIT").map_err(sql)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn every_directory_that_gets_a_name_is_synced_after_it_has_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("deep/er/a.db");
        let [root, deep, deeper] = ["", "deep", "deep/er"].map(|name| directory.path().join(name));
        let create = || {
            let mut synced: Vec<PathBuf> = Vec::new();
            create_and_sync(&file, |directory| {
                assert!(file.is_file(), "synced too early");
                synced.push(directory.components().collect());
                Ok(())
            })
            .unwrap();
            synced
        };
        assert_eq!(create(), [deeper.clone(), deep, root.components().collect()]);
        // Whoever created the file may have died before it was synced.
        assert_eq!(create(), [deeper]);
    }

    #[test]
    fn a_name_that_cannot_be_made_durable_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let refused =
            create_and_sync(&directory.path().join("a.db"), |_| Err(io::Error::other("no power")));
        assert_eq!(refused.unwrap_err().to_string(), "no power");
        assert_eq!(parent_of(Path::new("a.db")), Path::new("."));
    }
}
