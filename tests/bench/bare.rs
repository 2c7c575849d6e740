//! What the disk allows: a bare writer of the same rows, without HTTP, rules or promises.
//!
//! An event costs a journal row with its body and a queue row that goes again, in one file, and
//! the rows of an order in another. Transactions are as large as the clients of the other run
//! allow: all that wait share one.

use std::path::Path;

use rusqlite::{Connection, params};
use tokio::time::Instant;

use crate::{Arguments, per_second};

const BODY_BYTES: usize = 2600;
const STATE_BYTES: usize = 700;

/// Events a second at 64 and at 256 events a transaction.
pub(crate) fn run(arguments: &Arguments) -> [f64; 2] {
    [64, 256].map(|group| {
        let events = arguments.scaled(20_000);
        let directory = tempfile::tempdir_in(".").unwrap();
        let began = Instant::now();
        write(directory.path(), events, group);
        let rate = per_second(events, began.elapsed());
        println!("bare SQLite: {rate:.0} events/s in transactions of {group} (3 fsyncs each)");
        rate
    })
}

fn open(path: &Path, schema: &str) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    connection.execute_batch(schema).unwrap();
    connection
}

fn write(directory: &Path, events: u32, group: u32) {
    let broker = open(
        &directory.join("broker.db"),
        "CREATE TABLE journal (position INTEGER PRIMARY KEY, message_id BLOB, received_at INTEGER,
             source TEXT, body BLOB) STRICT;
         CREATE TABLE work (seq INTEGER PRIMARY KEY, position INTEGER, attempt INTEGER) STRICT;",
    );
    let store = open(
        &directory.join("store.db"),
        "CREATE TABLE orders (site TEXT, id TEXT, rev INTEGER, state TEXT,
             PRIMARY KEY (site, id)) STRICT, WITHOUT ROWID;
         CREATE TABLE aliases (site TEXT, alias TEXT, id TEXT,
             PRIMARY KEY (site, alias, id)) STRICT, WITHOUT ROWID;
         CREATE TABLE stock (site TEXT, key TEXT, committed INTEGER,
             PRIMARY KEY (site, key)) STRICT, WITHOUT ROWID;
         CREATE TABLE holds (site TEXT, key TEXT, id TEXT, committed INTEGER,
             PRIMARY KEY (site, key, id)) STRICT, WITHOUT ROWID;
         CREATE TABLE changes (site TEXT, sequence INTEGER, at INTEGER, key TEXT, cause TEXT,
             message_id BLOB, delta INTEGER, after INTEGER,
             PRIMARY KEY (site, sequence)) STRICT, WITHOUT ROWID;",
    );
    let body = vec![b'x'; BODY_BYTES];
    let state = "x".repeat(STATE_BYTES);
    for first in (0..events).step_by(group as usize) {
        let last = events.min(first + group);
        broker.execute_batch("BEGIN IMMEDIATE").unwrap();
        for event in first..last {
            put(
                &broker,
                "INSERT INTO journal VALUES (?, ?, ?, 'duda', ?)",
                params![event, uuid::Uuid::now_v7().into_bytes(), event, body],
            );
            put(&broker, "INSERT INTO work VALUES (?, ?, 1)", params![event, event]);
        }
        broker.execute_batch("COMMIT").unwrap();
        store.execute_batch("BEGIN IMMEDIATE").unwrap();
        for event in first..last {
            let (id, key) = (format!("id:order-{event}"), format!("product:{}", event % 500));
            put(&store, "INSERT INTO orders VALUES ('shop', ?, ?, ?)", params![id, event, state]);
            put(&store, "INSERT INTO aliases VALUES ('shop', ?, ?)", params![id, id]);
            put(
                &store,
                "INSERT INTO stock VALUES ('shop', ?, 1)
                 ON CONFLICT DO UPDATE SET committed = committed + 1",
                params![key],
            );
            put(&store, "INSERT INTO holds VALUES ('shop', ?, ?, 1)", params![key, id]);
            put(
                &store,
                "INSERT INTO changes VALUES ('shop', ?, ?, ?, ?, ?, 1, 1)",
                params![event, event, key, id, uuid::Uuid::now_v7().into_bytes()],
            );
        }
        store.execute_batch("COMMIT").unwrap();
        broker.execute_batch("BEGIN IMMEDIATE").unwrap();
        for event in first..last {
            put(&broker, "DELETE FROM work WHERE seq = ?", params![event]);
        }
        broker.execute_batch("COMMIT").unwrap();
    }
}

fn put(connection: &Connection, sql: &str, values: impl rusqlite::Params) {
    connection.prepare_cached(sql).unwrap().execute(values).unwrap();
}
