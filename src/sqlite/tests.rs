//! What both embedded adapters rely on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as blocking;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;

const OURS: i32 = 0x534B_5454;
const SCHEMA: Schema = Schema {
    application_id: OURS,
    page_bytes: 4096,
    migrations: &[
        "CREATE TABLE item (name TEXT PRIMARY KEY, value BLOB) STRICT",
        "CREATE TABLE second (name TEXT) STRICT",
    ],
};

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn insert(name: &'static str) -> impl Fn(&Connection) -> rusqlite::Result<usize> {
    move |connection| connection.execute("INSERT INTO item (name) VALUES (?1)", [name])
}

async fn names(database: &Database) -> Vec<String> {
    let names = database.read(|connection| {
        let mut statement = connection.prepare("SELECT name FROM item ORDER BY rowid")?;
        statement.query_map((), |row| row.get(0))?.collect()
    });
    names.await.unwrap()
}

/// Keeps the writer busy until the returned end is dropped, so that what is sent meanwhile
/// becomes one group.
async fn hold_writer(database: &Database) -> blocking::Sender<()> {
    let (release, released) = blocking::channel::<()>();
    let (started, mut holding) = mpsc::channel(1);
    let (message, _) = writer::message(Arc::clone(&database.file), move |_| {
        started.try_send(()).ok();
        released.recv().ok();
        Ok(())
    });
    database.messages.send(message).await.ok().unwrap();
    holding.recv().await.unwrap();
    release
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_close() {
    let directory = directory();
    let path = directory.path().join("deep/er/a.db");
    let database = Database::open(&path, &SCHEMA).unwrap();
    database.write(insert("a")).await.unwrap();
    database.close().await;
    assert!(!path.with_extension("db-wal").exists(), "closing leaves one file");
    assert_eq!(names(&Database::open(&path, &SCHEMA).unwrap()).await, ["a"]);
}

#[tokio::test]
async fn the_writer_syncs_every_commit_and_trusts_no_schema() {
    let directory = directory();
    let database = Database::open(&directory.path().join("a.db"), &SCHEMA).unwrap();
    let pragma = |name: &'static str| {
        database.write(move |it| it.pragma_query_value(None, name, |row| row.get::<_, i64>(0)))
    };
    assert_eq!(pragma("synchronous").await.unwrap(), 2, "FULL");
    assert_eq!(pragma("trusted_schema").await.unwrap(), 0);
}

#[tokio::test]
async fn a_file_keeps_the_size_of_its_pages() {
    let directory = directory();
    let path = directory.path().join("a.db");
    let larger = Schema { page_bytes: 8192, ..SCHEMA };
    for schema in [larger, SCHEMA] {
        let database = Database::open(&path, &schema).unwrap();
        let page_bytes = database
            .read(|it| it.pragma_query_value(None, "page_size", |row| row.get::<_, i64>(0)));
        assert_eq!(page_bytes.await.unwrap(), 8192);
        let pages = database.write(|it| {
            it.pragma_query_value(None, "wal_autocheckpoint", |row| row.get::<_, i64>(0))
        });
        assert_eq!(pages.await.unwrap(), 4096);
        database.close().await;
    }
}

#[tokio::test]
async fn jobs_that_wait_share_one_commit() {
    let directory = directory();
    let database = Database::open(&directory.path().join("a.db"), &SCHEMA).unwrap();
    let release = hold_writer(&database).await;
    let insert = || database.write(|it| it.execute("INSERT INTO second VALUES ('x')", ()));
    let wal = directory.path().join("a.db-wal");
    let before = wal.metadata().unwrap().len();
    let (first, second, third, ()) =
        tokio::join!(insert(), insert(), insert(), async move { drop(release) });
    assert_eq!([first, second, third].map(Result::unwrap), [1, 1, 1]);
    // Three commits would have written the one page that changed three times.
    assert_eq!(wal.metadata().unwrap().len() - before, 4096 + 24);
}

/// Takes its time to be let go of, so that whoever does not wait for that is noticed.
struct Slow(Arc<AtomicBool>);

impl Drop for Slow {
    fn drop(&mut self) {
        std::thread::park_timeout(Duration::from_millis(50));
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn what_a_job_holds_is_let_go_of_before_its_answer() {
    let directory = directory();
    let database = Database::open(&directory.path().join("a.db"), &SCHEMA).unwrap();
    let is_gone = Arc::new(AtomicBool::new(false));
    let held = Slow(Arc::clone(&is_gone));
    let job = move |connection: &Connection| {
        let _held = &held;
        insert("a")(connection)
    };
    database.write(job).await.unwrap();
    assert!(is_gone.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_job_that_fails_or_panics_does_not_touch_its_neighbours() {
    let directory = directory();
    let database = Database::open(&directory.path().join("a.db"), &SCHEMA).unwrap();
    let release = hold_writer(&database).await;
    let (first, failed, panicked, last, ()) = tokio::join!(
        database.write(insert("first")),
        database.write(|connection| {
            insert("half")(connection)?;
            connection.execute("INSERT INTO nowhere VALUES (1)", ())
        }),
        database.write(|connection| -> rusqlite::Result<()> {
            insert("quarter")(connection)?;
            panic!("on purpose")
        }),
        database.write(insert("last")),
        async move { drop(release) },
    );
    first.unwrap();
    last.unwrap();
    assert!(matches!(failed, Err(SqliteError { kind: SqliteFailure::Refused, .. })), "{failed:?}");
    assert!(
        matches!(panicked, Err(SqliteError { kind: SqliteFailure::Refused, .. })),
        "{panicked:?}"
    );
    database.write(insert("later")).await.unwrap();
    assert_eq!(names(&database).await, ["first", "last", "later"]);
}

#[tokio::test]
async fn a_reader_sees_what_is_committed_cannot_write_and_survives_a_panic() {
    let directory = directory();
    let database = Database::open(&directory.path().join("a.db"), &SCHEMA).unwrap();
    for _ in 0..10 {
        let panicked = database.read(|_| -> rusqlite::Result<()> { panic!("on purpose") }).await;
        assert!(
            matches!(panicked, Err(SqliteError { kind: SqliteFailure::Refused, .. })),
            "{panicked:?}"
        );
    }
    database.write(insert("a")).await.unwrap();
    assert!(database.read(insert("b")).await.is_err());
    assert_eq!(names(&database).await, ["a"]);
}

#[tokio::test]
async fn a_full_file_is_told_and_smaller_writes_still_work() {
    let directory = directory();
    let database = Database::open(&directory.path().join("a.db"), &SCHEMA).unwrap();
    database
        .write(|connection| {
            let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
            connection.pragma_update(None, "max_page_count", pages)
        })
        .await
        .unwrap();
    let release = hold_writer(&database).await;
    let (large, small, ()) = tokio::join!(
        database.write(|connection| {
            connection.execute("INSERT INTO item VALUES ('large', zeroblob(100000))", ())
        }),
        database.write(insert("small")),
        async move { drop(release) },
    );
    assert!(matches!(large, Err(SqliteError { kind: SqliteFailure::Full, .. })), "{large:?}");
    small.unwrap();
    assert_eq!(names(&database).await, ["small"]);
}

#[tokio::test]
async fn a_locked_file_is_unavailable_and_works_again_when_unlocked() {
    let directory = directory();
    let path = directory.path().join("a.db");
    let database = Database::open(&path, &SCHEMA).unwrap();
    let no_patience = |connection: &Connection| connection.busy_timeout(Duration::ZERO);
    database.write(no_patience).await.unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = database.write(insert("a")).await;
    assert!(
        matches!(refused, Err(SqliteError { kind: SqliteFailure::Unavailable, .. })),
        "{refused:?}"
    );
    other.execute_batch("ROLLBACK").unwrap();
    database.write(insert("b")).await.unwrap();
    assert_eq!(names(&database).await, ["b"]);
}

#[tokio::test]
async fn closing_finishes_what_waits_and_refuses_what_comes_later() {
    let directory = directory();
    let database = Database::open(&directory.path().join("a.db"), &SCHEMA).unwrap();
    let release = hold_writer(&database).await;
    let closing = database.clone();
    let (written, (), ()) = tokio::join!(
        database.write(insert("a")),
        async move { closing.close().await },
        async move { drop(release) },
    );
    written.unwrap();
    let late = database.write(insert("b")).await;
    assert!(matches!(late, Err(SqliteError { kind: SqliteFailure::Unavailable, .. })), "{late:?}");
    assert!(database.read(|_| Ok(())).await.unwrap_err().is_transient());
    database.close().await;
    let again = Database::open(&directory.path().join("a.db"), &SCHEMA).unwrap();
    assert_eq!(names(&again).await, ["a"]);
}

/// Refuses the file and leaves every byte of its directory alone.
#[track_caller]
fn check_refused_untouched(directory: &TempDir, path: &Path, expected: &str) {
    check_untouched(directory, || Database::open(path, &SCHEMA), expected);
    check_untouched(directory, || Database::open_existing(path, &SCHEMA), expected);
}

#[track_caller]
fn check_untouched(
    directory: &TempDir,
    open: impl FnOnce() -> Result<Database, SqliteError>,
    expected: &str,
) {
    let files = || {
        let mut files: Vec<_> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = files();
    let refused = open().unwrap_err();
    let kind = match expected {
        _ if expected.contains("of an older release") => SqliteFailure::Outdated,
        "not a database" => SqliteFailure::Damaged,
        _ => SqliteFailure::Unusable,
    };
    assert_eq!(refused.kind, kind, "{refused:?}");
    assert!(refused.to_string().contains(expected), "{refused}");
    assert_eq!(files(), before);
}

#[test]
fn a_newer_schema_is_refused_untouched() {
    let directory = directory();
    let path = directory.path().join("a.db");
    let newer = Connection::open(&path).unwrap();
    newer.execute_batch("PRAGMA user_version = 3; CREATE TABLE item (name)").unwrap();
    newer.pragma_update(None, "application_id", OURS).unwrap();
    newer.close().unwrap();
    check_refused_untouched(&directory, &path, "schema version 3, and this release knows 2");
}

#[tokio::test]
async fn a_schema_that_is_no_longer_read_is_refused_untouched() {
    let directory = directory();
    let path = directory.path().join("a.db");
    let older = Schema { migrations: &SCHEMA.migrations[..1], ..SCHEMA };
    Database::open(&path, &older).unwrap().close().await;
    let migrations = &[UNREAD, "CREATE TABLE second (name TEXT) STRICT"];
    let schema = Schema { migrations, ..SCHEMA };
    for open in [Database::open, Database::open_existing] {
        check_untouched(&directory, || open(&path, &schema), "version 1, of an older release");
    }
    let new = directory.path().join("new.db");
    Database::open(&new, &schema).unwrap().close().await;
    Database::open_existing(&new, &schema).unwrap().close().await;
}

#[test]
fn a_database_of_another_program_is_refused_untouched() {
    let directory = directory();
    let path = directory.path().join("a.db");
    let foreign = Connection::open(&path).unwrap();
    foreign.execute_batch("CREATE TABLE theirs (name)").unwrap();
    foreign.close().unwrap();
    check_refused_untouched(&directory, &path, "another program");
}

#[test]
fn a_file_that_is_no_database_is_refused_untouched() {
    let directory = directory();
    let path = directory.path().join("a.db");
    std::fs::write(&path, "notes ".repeat(200)).unwrap();
    check_refused_untouched(&directory, &path, "not a database");
}

#[tokio::test]
async fn an_older_schema_is_brought_up_to_date() {
    let directory = directory();
    let path = directory.path().join("a.db");
    let older = Schema { migrations: &SCHEMA.migrations[..1], ..SCHEMA };
    let database = Database::open(&path, &older).unwrap();
    database.write(insert("kept")).await.unwrap();
    database.close().await;
    let database = Database::open(&path, &SCHEMA).unwrap();
    database.write(|it| it.execute("INSERT INTO second VALUES ('new')", ())).await.unwrap();
    assert_eq!(names(&database).await, ["kept"]);
}

#[tokio::test]
async fn whoever_works_beside_the_service_does_not_bring_a_schema_up_to_date() {
    let directory = directory();
    let path = directory.path().join("a.db");
    let older = Schema { migrations: &SCHEMA.migrations[..1], ..SCHEMA };
    Database::open(&path, &older).unwrap().close().await;
    let open = || Database::open_existing(&path, &SCHEMA);
    check_untouched(&directory, open, "schema version 1, and this release needs 2; start");
    Database::open(&path, &SCHEMA).unwrap().close().await;
    let current = open().unwrap();
    current.write(insert("a")).await.unwrap();
    assert_eq!(names(&current).await, ["a"]);
    current.close().await;
    let newer = || Database::open_existing(&path, &older);
    check_untouched(&directory, newer, "schema version 2, and this release knows 1");
}

#[test]
fn whoever_works_beside_the_service_creates_nothing() {
    let directory = directory();
    let path = directory.path().join("deep/a.db");
    let missing = Database::open_existing(&path, &SCHEMA).unwrap_err();
    assert!(missing.is_transient(), "{missing:?}");
    assert!(!directory.path().join("deep").exists());
    // Created by a service that has not written to it yet.
    let empty = directory.path().join("empty.db");
    std::fs::write(&empty, "").unwrap();
    let nothing = Database::open_existing(&empty, &SCHEMA).unwrap_err();
    assert!(nothing.is_transient() && nothing.to_string().contains("serve"), "{nothing:?}");
    assert_eq!(empty.metadata().unwrap().len(), 0);
}

#[test]
fn a_new_file_can_be_opened_by_many_at_once() {
    for _ in 0..10 {
        let directory = directory();
        let path = directory.path().join("a.db");
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| Database::open(&path, &SCHEMA).unwrap());
            }
        });
    }
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_what_is_created() {
    use std::os::unix::fs::PermissionsExt;
    let directory = directory();
    let parent = directory.path().join("data");
    let database = Database::open(&parent.join("a.db"), &SCHEMA).unwrap();
    database.write(insert("a")).await.unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&parent), 0o700);
    for file in ["a.db", "a.db-wal", "a.db-shm"] {
        assert_eq!(mode(&parent.join(file)), 0o600, "{file}");
    }
}
