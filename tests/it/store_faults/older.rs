//! Data of release 0.1.0 is refused, says what to do, and stays as it is.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rusqlite::Connection;
use storekeeper::domain::Policy;
use storekeeper::store::embedded::EmbeddedStore;
use storekeeper::store::redis::{RedisMode, RedisOptions, RedisStore};
use storekeeper::store::{Committed, EntityId, Store, StoreError};
use tokio::join;
use tokio::time::sleep;

use super::durability::everything;
use super::{commit, first, load, open, options, order_entity, origin, prefix};
use crate::servers::{shared_cluster, shared_redis};

/// What release 0.1.0 wrote into a new file, as far as it matters here: its own tables are many more.
const FIRST_SCHEMA: &str = "
    CREATE TABLE meta (
        only INTEGER PRIMARY KEY CHECK (only = 1), epoch TEXT NOT NULL, probes INTEGER NOT NULL
    ) STRICT;
    INSERT INTO meta (only, epoch, probes) VALUES (1, lower(hex(randomblob(16))), 0);
    CREATE TABLE policy (
        only INTEGER PRIMARY KEY CHECK (only = 1), revision INTEGER NOT NULL, policy TEXT NOT NULL
    ) STRICT;
    CREATE TABLE sites (
        site TEXT NOT NULL PRIMARY KEY, last_sequence INTEGER NOT NULL, closed_before INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE orders (
        site TEXT NOT NULL, id TEXT NOT NULL, rev INTEGER NOT NULL, state TEXT NOT NULL,
        settled_at INTEGER, UNIQUE (site, id)
    ) STRICT;
    CREATE INDEX orders_by_settlement ON orders (settled_at) WHERE settled_at IS NOT NULL;
    CREATE TABLE stock (
        site TEXT NOT NULL, key TEXT NOT NULL, received INTEGER NOT NULL,
        committed INTEGER NOT NULL CHECK (committed >= 0),
        fulfilled INTEGER NOT NULL CHECK (fulfilled >= 0),
        closed_orders INTEGER NOT NULL DEFAULT 0, closed_fulfilled INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (site, key)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE aliases (
        site TEXT NOT NULL, alias TEXT NOT NULL, order_id TEXT NOT NULL,
        PRIMARY KEY (site, alias, order_id)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO policy VALUES (1, 1, '{\"format\":1,\"state\":{}}');
    INSERT INTO sites VALUES ('alpha', 1, NULL);
    INSERT INTO orders VALUES ('alpha', 'id:1', 7, '{\"format\":1,\"state\":{\"policy\":1}}', NULL);
    INSERT INTO stock VALUES ('alpha', 'sku:A', 0, 1, 0, 0, 0);
";

/// The files of a directory, byte for byte.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> =
        files.map(|file| (file.display().to_string(), std::fs::read(&file).unwrap())).collect();
    files.sort();
    files
}

fn check_told(error: &StoreError, way_out: &[&str]) {
    assert!(matches!(error, StoreError::Older { .. }), "{error:?}");
    assert!(!error.is_transient());
    for part in ["0.1.0", "storekeeper journal replay"].iter().chain(way_out) {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
}

#[test]
fn a_file_of_release_0_1_0_is_refused_untouched() {
    for (mode, suffix) in [("DELETE", ""), ("WAL", "-wal")] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("store.db");
        let writer = Connection::open(&file).unwrap();
        writer.pragma_update_and_check(None, "journal_mode", mode, |_| Ok(())).unwrap();
        writer.execute_batch(FIRST_SCHEMA).unwrap();
        writer.pragma_update(None, "application_id", i32::from_be_bytes(*b"SKst")).unwrap();
        writer.pragma_update(None, "user_version", 1).unwrap();
        // As a process leaves it that was killed, or as one that was closed.
        if mode == "WAL" {
            let copied = tempfile::tempdir().unwrap();
            for suffix in ["", suffix] {
                let name = format!("store.db{suffix}");
                std::fs::copy(directory.path().join(&name), copied.path().join(&name)).unwrap();
            }
            refuse_file(copied.path());
        }
        writer.close().unwrap();
        refuse_file(directory.path());
    }
}

fn refuse_file(directory: &Path) {
    let tables = || {
        let connection = Connection::open(directory.join("store.db")).unwrap();
        let mut find = connection
            .prepare("SELECT type || name || coalesce(sql, '') FROM sqlite_schema ORDER BY 1")
            .unwrap();
        let tables = find.query_map((), |row| row.get::<_, String>(0)).unwrap();
        let tables: Vec<String> = tables.map(Result::unwrap).collect();
        let order: (String, i64, String) = connection
            .query_row("SELECT id, rev, state FROM orders", (), |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .unwrap();
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        (tables, order, pragma("user_version").unwrap(), pragma("application_id").unwrap())
    };
    let before = files(directory);
    for open in [EmbeddedStore::open, EmbeddedStore::open_existing] {
        let error = open(directory).unwrap_err();
        check_told(&error, &["store.db", "move the file"]);
        if before.len() == 1 {
            assert_eq!(files(directory), before);
        }
    }
    let (tables, order, version, application) = tables();
    assert_eq!(tables.iter().filter(|table| table.starts_with("table")).count(), 6);
    assert!(tables.iter().any(|table| table.contains("settled_at INTEGER, UNIQUE")));
    assert_eq!(order.0, "id:1");
    assert_eq!(order.2, r#"{"format":1,"state":{"policy":1}}"#);
    assert_eq!((version, application), (1, i64::from(i32::from_be_bytes(*b"SKst"))));
}

/// The keys of release 0.1.0, some of which every Store of it had.
fn write_first_layout(node: &mut redis::Connection, prefix: &str, names: &[&str]) {
    for name in names {
        let mut write = match *name {
            "epoch" => redis::cmd("SET"),
            "sites" => redis::cmd("ZADD"),
            _ => redis::cmd("HSET"),
        };
        write.arg(format!("{prefix}:{name}"));
        match *name {
            "epoch" => write.arg("0123456789abcdef0123456789abcdef"),
            "sites" => write.arg(0).arg("alpha"),
            "policy" => write.arg(&["revision", "1", "policy", r#"{"format":1,"state":{}}"#]),
            _ => write.arg(&["rev", "7", "state", r#"{"format":1,"state":{"policy":1}}"#]),
        };
        write.query::<()>(node).unwrap();
    }
}

/// Whatever is asked of it.
async fn refuse_redis(options: &RedisOptions) {
    let way_out = ["redis.prefix", "empty the database"];
    check_told(&RedisStore::connect(options).await.unwrap_err(), &way_out);
    let store = open(options);
    check_told(&store.check().await.unwrap_err(), &way_out);
    let entities: [EntityId; 1] = [order_entity("alpha", 1)];
    check_told(&load(&store, &entities).await.unwrap_err(), &way_out);
    check_told(&commit(&store, first("alpha", 1)).await.unwrap_err(), &way_out);
    check_told(&store.policy().await.unwrap_err(), &way_out);
    check_told(&store.adopt_policy(&Policy::default(), &origin()).await.unwrap_err(), &way_out);
    check_told(&store.sites().await.unwrap_err(), &way_out);
}

#[tokio::test]
async fn keys_of_release_0_1_0_are_refused_untouched() {
    for names in [
        &["policy", "epoch", "sites", "{alpha}:order:id:1"][..],
        &["policy"],
        &["epoch"],
        &["sites", "{alpha}:order:id:1"],
    ] {
        let options = options(shared_redis());
        let mut node = shared_redis().connection();
        write_first_layout(&mut node, &options.prefix, names);
        let before = everything(&mut node, &options.prefix);
        assert_eq!(before.len(), names.len());
        refuse_redis(&options).await;
        assert_eq!(everything(&mut node, &options.prefix), before, "{names:?}");
    }
}

#[tokio::test]
async fn keys_of_release_0_1_0_in_a_cluster_are_refused_untouched() {
    let cluster = shared_cluster();
    for name in ["policy", "epoch", "sites"] {
        let options = RedisOptions {
            prefix: prefix(),
            allow_volatile: true,
            mode: RedisMode::Cluster,
            ..RedisOptions::single(&cluster.url())
        };
        // The node that has the key's slot takes it, the others say so and do not.
        let mut is_written = false;
        for mut node in cluster.connections() {
            let mut set = redis::cmd("SET");
            set.arg(format!("{}:{name}", options.prefix)).arg("1");
            is_written |= set.query::<()>(&mut node).is_ok();
        }
        assert!(is_written);
        refuse_redis(&options).await;
        let found: usize = cluster
            .connections()
            .iter_mut()
            .map(|node| everything(node, &options.prefix).len())
            .sum();
        assert_eq!(found, 1);
    }
}

#[tokio::test]
async fn a_layout_is_noted_before_all_else_and_a_newer_one_is_refused_untouched() {
    let options = options(shared_redis());
    let mut node = shared_redis().connection();
    let key = format!("{}:layout", options.prefix);
    let store = open(&options);
    store.check().await.unwrap();
    assert_eq!(commit(&store, first("alpha", 1)).await.unwrap(), Committed::Written);
    let layout: u64 = redis::cmd("GET").arg(&key).query(&mut node).unwrap();
    assert_eq!(layout, 2);
    assert_eq!(open(&options).sites().await.unwrap(), [super::site("alpha")]);
    for (layout, is_older) in [("1", true), ("3", false), ("x", false)] {
        redis::cmd("SET").arg(&key).arg(layout).query::<()>(&mut node).unwrap();
        let before = everything(&mut node, &options.prefix);
        let error = RedisStore::connect(&options).await.unwrap_err();
        if is_older {
            check_told(&error, &["redis.prefix"]);
        } else {
            assert!(matches!(error, StoreError::Newer { .. }), "{error:?}");
            assert!(error.to_string().contains("run a newer release"), "{error}");
        }
        let error = commit(&open(&options), first("alpha", 2)).await.unwrap_err();
        assert!(matches!(error, StoreError::Older { .. } | StoreError::Newer { .. }), "{error:?}");
        assert_eq!(everything(&mut node, &options.prefix), before, "{layout}");
    }
}

/// The first of all data is written while others connect: it is this release's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_connects_while_another_writes_the_first_data_takes_it_for_its_own() {
    // What another reads first, and what then, is a fifth of a millisecond apart.
    let moments = (0..40).map(|step| Duration::from_micros(step * 100));
    for round in 0..100 {
        let options = options(shared_redis());
        let first = open(&options);
        let others = moments.clone().map(|moment| (moment, open(&options)));
        let look = async |(moment, store): (Duration, Arc<dyn Store>)| {
            sleep(moment).await;
            store.sites().await
        };
        let looks = join_all(others.map(look));
        let (policy, origin) = (Policy::default(), origin());
        let (adopted, looks) = join!(first.adopt_policy(&policy, &origin), looks);
        adopted.unwrap();
        for look in looks {
            look.unwrap_or_else(|error| panic!("round {round}: {error}"));
        }
    }
}
