//! Opening a file: whose it is, how it is set up, and its migrations.
//!
//! Nothing is written to a file before its application id and schema version were read. Two
//! processes may open a new file at the same time.

use std::io;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{BUSY_TIMEOUT, Schema, SqliteError};

/// How many prepared statements a connection keeps.
const STATEMENTS_CACHED: usize = 64;
/// A WAL that grew past this is cut back at its next restart, in bytes.
const WAL_BYTES_KEPT: i64 = 64 * 1024 * 1024;
/// The WAL is copied into the file once it has so many pages: a page that every commit writes is
/// then copied once for many commits.
const WAL_PAGES_KEPT: i64 = 8000;
/// What the writer keeps in memory of its file: the inner pages of every index that it writes.
const WRITER_CACHE_KIBIBYTES: i64 = 8192;
/// How often to ask for WAL mode while other processes open the same new file.
const WAL_TRIES_MAX: usize = 50;

pub(super) fn open_writer(
    path: &Path,
    schema: &Schema,
    file: &str,
) -> Result<Connection, SqliteError> {
    create_private(path).map_err(|error| SqliteError::Unusable {
        file: file.to_owned(),
        message: format!("cannot create it: {error}; check the directory and its permissions"),
    })?;
    let connection = connect(path, file)?;
    let sql = |error: rusqlite::Error| SqliteError::new(file, &error);
    // One snapshot: another process may be creating the schema.
    connection.execute_batch("BEGIN").map_err(sql)?;
    let version = inspect(&connection, schema, file)?;
    connection.execute_batch("ROLLBACK").map_err(sql)?;
    switch_to_wal(&connection, file)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(sql)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT).map_err(sql)?;
    connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES_KEPT).map_err(sql)?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIBIBYTES).map_err(sql)?;
    // Bodies hold personal data: once removed, they must not stay behind in unused pages.
    connection.pragma_update(None, "secure_delete", true).map_err(sql)?;
    if version < schema.migrations.len() {
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
pub(super) fn create_private(path: &Path) -> io::Result<()> {
    let mut directory = std::fs::DirBuilder::new();
    let mut file = std::fs::OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        directory.mode(0o700);
        file.mode(0o600);
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        directory.recursive(true).create(parent)?;
    }
    // Never opens a file that is there: closing it again would take away the POSIX locks that
    // other connections of this process have on it.
    match file.write(true).create_new(true).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
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
        Ok(connection)
    };
    connect().map_err(|error| SqliteError::new(file, &error))
}

/// Reads whose file this is; answers with its schema version.
fn inspect(connection: &Connection, schema: &Schema, file: &str) -> Result<usize, SqliteError> {
    let unusable = |message: String| SqliteError::Unusable { file: file.to_owned(), message };
    let sql = |error: rusqlite::Error| SqliteError::new(file, &error);
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let application_id = pragma("application_id").map_err(sql)?;
    let version = pragma("user_version").map_err(sql)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))
        .map_err(sql)?;
    let is_new = application_id == 0 && version == 0 && tables == 0;
    if !is_new && application_id != i64::from(schema.application_id) {
        return Err(unusable("is a database of another program; choose another path".to_owned()));
    }
    let known = schema.migrations.len();
    usize::try_from(version).ok().filter(|version| *version <= known).ok_or_else(|| {
        unusable(format!(
            "has schema version {version}, and this release knows {known}; \
             run the release that wrote it, or a newer one"
        ))
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
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy));
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
    Err(SqliteError::Unusable {
        file: file.to_owned(),
        message: "cannot keep a write-ahead log here; choose a directory on a local disk"
            .to_owned(),
    })
}

/// Applies the migrations that the file has not seen. Another process may have done so since the
/// file was inspected: the version is read again inside the transaction.
fn migrate(connection: &Connection, schema: &Schema, file: &str) -> Result<(), SqliteError> {
    let sql = |error: rusqlite::Error| SqliteError::new(file, &error);
    connection.execute_batch("BEGIN IMMEDIATE").map_err(sql)?;
    let version = inspect(connection, schema, file)?;
    for migration in schema.migrations.iter().skip(version) {
        connection.execute_batch(migration).map_err(sql)?;
    }
    let known = i64::try_from(schema.migrations.len()).unwrap_or(i64::MAX);
    connection.pragma_update(None, "application_id", schema.application_id).map_err(sql)?;
    connection.pragma_update(None, "user_version", known).map_err(sql)?;
    connection.execute_batch("COMMIT").map_err(sql)
}
