//! What only a file can do; the port's promises are in `tests/it/conformance`.

use std::fs;

use rusqlite::Connection;
use tempfile::TempDir;
use uuid::Uuid;

use super::EmbeddedStore;
use super::file::FILE_NAME;
use crate::domain::{List, Lists, MessageId, OrderId, Record, Site, Timestamp, Write};
use crate::store::{
    Asked, Commit, Committed, Direction, EntityId, EntityName, EntityState, Listed, PageRequest,
    ReadStore, Revision, StateStore, StoreError, UpkeepStore,
};

fn site(name: &str) -> Site {
    Site::parse(name).unwrap()
}

fn order() -> OrderId {
    OrderId::parse("id:1").unwrap()
}

/// A commit of order `id:1` of a site.
fn commit(site_name: &str, loaded: Option<Revision>) -> Commit {
    let all = Lists::from_iter([List::All]);
    let name = EntityName::Order(order());
    let record = Record { policy: 1, lists: all, ..Record::default() };
    let known = if loaded.is_some() { all } else { Lists::NONE };
    Commit {
        read: vec![(name.clone(), loaded)],
        policy: Some(1),
        writes: vec![Write {
            name,
            state: Some(EntityState::Order(Box::new(record))),
            lists: (known, all),
        }],
        ..Commit::nothing(site(site_name), MessageId(Uuid::from_u128(1)), Timestamp::from_micros(1))
    }
}

async fn write(store: &EmbeddedStore, site_name: &str) -> Committed {
    store.commit(vec![commit(site_name, None)]).await.unwrap().remove(0)
}

/// A directory whose `store.db` was written and closed.
async fn closed() -> (TempDir, Connection) {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    assert_eq!(write(&store, "alpha").await, Committed::Written);
    store.close().await;
    let connection = Connection::open(directory.path().join(FILE_NAME)).unwrap();
    (directory, connection)
}

#[test]
fn a_missing_file_is_not_made_by_a_command_that_reads() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("nowhere");
    for path in [&missing, directory.path()] {
        let error = EmbeddedStore::open_existing(path).unwrap_err();
        assert!(error.is_transient(), "{error:?}");
        assert!(format!("{error:?}").contains("check embedded.path"), "{error:?}");
    }
    assert!(!missing.exists());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn the_directory_that_is_made_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("data");
    drop(EmbeddedStore::open(&directory).unwrap());
    assert_eq!(directory.metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn an_existing_file_is_opened() {
    let (directory, _) = closed().await;
    let store = EmbeddedStore::open_existing(directory.path()).unwrap();
    assert_eq!(store.sites().await.unwrap(), [site("alpha")]);
}

#[tokio::test]
async fn a_newer_schema_is_refused_untouched() {
    let (directory, connection) = closed().await;
    connection.pragma_update(None, "user_version", 99).unwrap();
    let error = EmbeddedStore::open(directory.path()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains("schema version 99"), "{error}");
    let version: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 99);
}

#[tokio::test]
async fn a_file_of_release_0_1_0_is_refused_untouched() {
    let (directory, connection) = closed().await;
    connection.pragma_update(None, "user_version", 1).unwrap();
    connection.close().unwrap();
    let read = || fs::read(directory.path().join(FILE_NAME)).unwrap();
    let before = read();
    for open in [EmbeddedStore::open, EmbeddedStore::open_existing] {
        let error = open(directory.path()).unwrap_err();
        assert!(matches!(error, StoreError::Older { .. }), "{error:?}");
        for part in ["store.db: has schema version 1", "0.1.0", "storekeeper journal replay"] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }
    assert_eq!(read(), before);
}

#[tokio::test]
async fn an_order_is_once_in_its_list_at_its_newest_time() {
    let (directory, _) = closed().await;
    let store = EmbeddedStore::open(directory.path()).unwrap();
    let site = site("alpha");
    let revision = store.audit_orders(&site, &[order()]).await.unwrap()[0].revision;
    let at = Timestamp::from_micros(-2);
    let next = Commit { at, ..commit("alpha", Some(revision)) };
    assert_eq!(store.commit(vec![next]).await.unwrap(), [Committed::Written]);
    for direction in [Direction::OldestFirst, Direction::NewestFirst] {
        let page = store.listed(&site, List::All, direction, &PageRequest::first(9)).await.unwrap();
        assert_eq!(page.items, [Listed { order: order(), at }]);
    }
    assert_eq!(store.count_listed(List::All).await.unwrap(), 1);
}

#[test]
fn what_is_no_database_is_corrupt() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(FILE_NAME), "not a database, ".repeat(1_000)).unwrap();
    let error = EmbeddedStore::open(directory.path()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
}

#[tokio::test]
async fn a_value_that_nobody_writes_is_corrupt() {
    let (directory, connection) = closed().await;
    connection.execute("INSERT INTO stock (site, key, received, committed, fulfilled) VALUES ('alpha', 'no kind', 0, 0, 0)", ()).unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    let error = store.stock(&site("alpha"), None, &PageRequest::first(9)).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains("the column key"), "{error}");
}

#[tokio::test]
async fn readers_do_not_wait_for_a_writer_and_writers_do() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    assert_eq!(write(&store, "alpha").await, Committed::Written);
    let other = Connection::open(directory.path().join(FILE_NAME)).unwrap();
    other
        .execute_batch(
            "BEGIN IMMEDIATE; INSERT INTO sites (site, last_sequence) VALUES ('beta', 0)",
        )
        .unwrap();
    let read_then_commit = async {
        assert_eq!(store.sites().await.unwrap(), [site("alpha")]);
        other.execute_batch("COMMIT").unwrap();
    };
    let (written, ()) = tokio::join!(write(&store, "gamma"), read_then_commit);
    assert_eq!(written, Committed::Written);
    assert_eq!(store.sites().await.unwrap(), ["alpha", "beta", "gamma"].map(site));
}

#[tokio::test]
async fn two_handles_on_a_directory_see_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let one = EmbeddedStore::open(directory.path()).unwrap();
    let two = EmbeddedStore::open(directory.path()).unwrap();
    assert_eq!(write(&one, "alpha").await, Committed::Written);
    assert_eq!(write(&two, "alpha").await, Committed::Conflict);
    let entity = EntityId { site: site("alpha"), name: EntityName::Order(order()) };
    let asked = Asked { entities: vec![entity], links: Vec::new() };
    let loaded = two.load(&asked).await.unwrap().entities;
    let revision = loaded[0].as_ref().map(|loaded| loaded.revision);
    let next = || vec![commit("alpha", revision)];
    let (a, b) = tokio::join!(one.commit(next()), two.commit(next()));
    let mut written = [a.unwrap().remove(0), b.unwrap().remove(0)];
    written.sort_by_key(|committed| *committed == Committed::Conflict);
    assert_eq!(written, [Committed::Written, Committed::Conflict]);
    one.close().await;
    assert_eq!(write(&two, "beta").await, Committed::Written);
    assert_eq!(two.sites().await.unwrap(), ["alpha", "beta"].map(site));
}

#[tokio::test]
async fn a_check_notices_a_file_that_cannot_be_written() {
    let (directory, connection) = closed().await;
    let store = EmbeddedStore::open(directory.path()).unwrap();
    store.check().await.unwrap();
    connection.execute_batch("DROP TABLE meta").unwrap();
    let error = store.check().await.unwrap_err();
    assert!(matches!(error, StoreError::Rejected { .. }), "{error:?}");
}
