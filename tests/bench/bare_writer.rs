//! What the disk allows: a bare writer of the same rows, without HTTP, rules or promises.
//!
//! An event costs a journal row with its body and a queue row that goes again, in one file, and
//! the rows of an order in another: its state, who bears its invoice number, its place in the list of
//! orders, and for each line a hold, a stock item, its name and an entry of the change feed. The
//! tables and indices are those of the product. Transactions are as large as the clients of the
//! other run allow: all that wait share one.

use std::path::Path;

use rusqlite::{Connection, params};
use storekeeper::broker::Broker;
use storekeeper::broker::embedded::EmbeddedBroker;
use storekeeper::store::StateStore;
use storekeeper::store::embedded::EmbeddedStore;
use tokio::time::Instant;

use crate::corpus::{LINES, PRODUCTS, Webhook};
use crate::rules;

/// Orders are of so many sites in turn.
const SITES: u32 = 20;

/// Events a second in transactions of so many events.
pub(crate) async fn run(events: u32, group: u32) -> f64 {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    // They make the tables.
    EmbeddedBroker::open(directory.path()).unwrap().close().await;
    EmbeddedStore::open(directory.path()).unwrap().close().await;
    number_items(&open(&directory.path().join("store.db")));
    let began = Instant::now();
    write(directory.path(), events, group);
    f64::from(events) / began.elapsed().as_secs_f64()
}

fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0)).unwrap();
    let pages = 32 * 1024 * 1024 / page;
    connection.pragma_update(None, "wal_autocheckpoint", pages).unwrap();
    connection.set_prepared_statement_cache_capacity(64);
    connection
}

/// An item gets its number with its first order, which is long ago.
fn number_items(store: &Connection) {
    store.execute_batch("BEGIN IMMEDIATE").unwrap();
    for event in 0..SITES * PRODUCTS {
        for line in 0..LINES {
            let insert = "INSERT INTO items (site, key) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            put(store, insert, params![site(event), key(event, line)]);
        }
    }
    store.execute_batch("COMMIT").unwrap();
}

fn write(directory: &Path, events: u32, group: u32) {
    let (broker, store) = (open(&directory.join("broker.db")), open(&directory.join("store.db")));
    let (state, _) = rules::record();
    for first in (0..events).step_by(group as usize) {
        let last = events.min(first + group);
        broker.execute_batch("BEGIN IMMEDIATE").unwrap();
        for event in first..last {
            put(
                &broker,
                "INSERT INTO journal (position, message_id, kind, received_at, source, replays, body)
                 VALUES (?1, ?2, 'webhook', ?1, 'duda', 0, ?3)",
                params![event, uuid::Uuid::now_v7().into_bytes(), Webhook::usual(event).body().into_bytes()],
            );
            put(
                &broker,
                "INSERT INTO work (seq, position, received_at, attempt) VALUES (?1, ?1, ?1, 1)",
                params![event],
            );
        }
        broker.execute_batch("COMMIT").unwrap();
        store.execute_batch("BEGIN IMMEDIATE").unwrap();
        for event in first..last {
            write_order(&store, event, &state);
        }
        store.execute_batch("COMMIT").unwrap();
        broker.execute_batch("BEGIN IMMEDIATE").unwrap();
        for event in first..last {
            put(&broker, "DELETE FROM work WHERE seq = ?1", params![event]);
        }
        broker.execute_batch("COMMIT").unwrap();
    }
}

fn write_order(store: &Connection, event: u32, state: &str) {
    let site = site(event);
    let order = format!("id:order-{event}");
    put(
        store,
        "INSERT INTO orders (site, name, rev, state, at) VALUES (?1, ?2, ?3, ?4, ?3)",
        params![site, order, event, state],
    );
    put(
        store,
        "INSERT INTO links (site, name, ids) VALUES (?1, ?2, ?3)",
        params![site, format!("invoice-number:EX-{event}"), order],
    );
    put(
        store,
        "INSERT INTO order_lists (site, list, at, name) VALUES (?1, 'all', ?2, ?3)",
        params![site, event, order],
    );
    for line in 0..LINES {
        let key = key(event, line);
        put(
            store,
            "INSERT INTO stock (site, key, committed, line_version, line_name, line_lowercase)
             VALUES (?1, ?2, 1, ?3, 'An example of a product', 'an example of a product')
             ON CONFLICT DO UPDATE SET committed = committed + 1,
             line_version = excluded.line_version",
            params![site, key, format!("{event:020}")],
        );
        put(
            store,
            "INSERT INTO holds (item, order_id, committed, fulfilled)
             VALUES ((SELECT item FROM items WHERE site = ?1 AND key = ?2), ?3, 1, 0)",
            params![site, key, order],
        );
        put(
            store,
            "INSERT INTO changes VALUES (?1, ?2, ?3, ?4, 'order', ?5, ?6, 0, 1, 0, 0, 1, 0)",
            params![
                site,
                event * LINES + line,
                event,
                key,
                order,
                uuid::Uuid::now_v7().to_string()
            ],
        );
    }
}

fn site(event: u32) -> String {
    format!("shop-{}", event % SITES)
}

fn key(event: u32, line: u32) -> String {
    format!("product:product-{}", (event * 7 + line * 61) % PRODUCTS)
}

fn put(connection: &Connection, sql: &str, values: impl rusqlite::Params) {
    connection.prepare_cached(sql).unwrap().execute(values).unwrap();
}
