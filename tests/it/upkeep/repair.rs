//! `audit --repair`: what somebody spoiled is right again, once, and the feed says so.

use std::io::{Seek, SeekFrom, Write};

use rusqlite::Connection;
use serde_json::{Value, json};
use storekeeper::broker::Broker;
use storekeeper::cli::actor::ActorArgs;
use storekeeper::cli::audit::AuditArgs;
use storekeeper::cli::output::Output;
use storekeeper::cli::{self, ExitStatus, Format};
use storekeeper::domain::{Identifier, Policy};
use storekeeper::store::StateStore;

use super::{Shop, order};
use crate::harness::command;

async fn audit(shop: &Shop, args: &AuditArgs) -> (ExitStatus, Vec<Value>) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut output = Output { out: &mut out, err: &mut err, format: Format::Json, width: None };
    let status = cli::audit::run(&*shop.store, args, &mut output).await.unwrap();
    let lines = std::str::from_utf8(&out).unwrap().lines();
    (status, lines.map(|line| serde_json::from_str(line).unwrap()).collect())
}

async fn spoiled(damage: &str) -> Shop {
    let shop = Shop::new();
    for quantity in [1, 3, 2] {
        shop.publish(&[order(&format!("{quantity}"), "PROCESSED", quantity)]).await;
    }
    shop.work_off(&Policy::default()).await;
    let connection = Connection::open(shop.path().join("store.db")).unwrap();
    assert!(connection.execute(damage, ()).unwrap() > 0, "{damage}");
    shop
}

/// The last entry of the feed: who repaired, what was added, and what is committed after it.
fn last_change(shop: &Shop) -> (String, i64, i64) {
    let connection = Connection::open(shop.path().join("store.db")).unwrap();
    let find = "SELECT cause || ' ' || cause_id, delta_committed / 1000000, committed / 1000000 \
                FROM changes ORDER BY sequence DESC LIMIT 1";
    connection.query_row(find, (), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap()
}

#[tokio::test]
async fn what_was_spoiled_by_hand_is_repaired_once() {
    let by = |dry_run| AuditArgs {
        repair: true,
        dry_run,
        actor: ActorArgs { actor: Some(Identifier::parse("anna").unwrap()) },
        ..AuditArgs::default()
    };
    let repair = "repair anna".to_owned();
    for (damage, last) in [
        // The feed knows nothing of what was spoiled: what was added to it comes to the same.
        ("UPDATE stock SET committed = committed + 1000000", (repair.clone(), 0, 6)),
        ("UPDATE stock SET fulfilled = 1000000, received = 7", (repair.clone(), 0, 6)),
        ("DELETE FROM stock", (repair.clone(), 0, 6)),
        ("DELETE FROM holds", ("order id:3".to_owned(), 3, 6)),
        ("UPDATE holds SET committed = committed + 1", ("order id:3".to_owned(), 3, 6)),
        ("UPDATE holds SET order_id = 'id:x' WHERE order_id = 'id:1'", ("order id:3".into(), 3, 6)),
        // Who is not there holds nothing.
        ("DELETE FROM orders", (repair.clone(), -6, 0)),
        (
            "UPDATE orders SET state = replace(state, ' PROCESSED ', ' INCOMPLETE ')",
            ("order id:3".to_owned(), -3, 0),
        ),
        (
            "UPDATE changes SET committed = committed + 1000000, \
             delta_committed = delta_committed + 1000000 WHERE sequence = 3",
            (repair, -1, 6),
        ),
    ] {
        let shop = spoiled(damage).await;
        let before = last_change(&shop);
        let (status, lines) = audit(&shop, &by(true)).await;
        assert_eq!(status, ExitStatus::NotHeld, "{damage}");
        assert!(lines[..lines.len() - 1].iter().all(|it| it["repair"] == "possible"), "{lines:?}");
        assert_eq!(last_change(&shop), before, "a dry run changes nothing: {damage}");
        let (status, lines) = audit(&shop, &by(false)).await;
        assert!(lines[..lines.len() - 1].iter().all(|it| it["repair"] == "done"), "{lines:?}");
        assert_eq!(lines[lines.len() - 1]["remaining"], 0, "{damage}: {lines:?}");
        assert_eq!((status, last_change(&shop)), (ExitStatus::Done, last), "{damage}");
        let (status, lines) = audit(&shop, &by(false)).await;
        assert_eq!((status, &lines[0]["differences"]), (ExitStatus::Done, &json!(0)), "{damage}");
        shop.assert_audit_is_clean().await;
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_past_is_left_and_said() {
    let shop = spoiled("DELETE FROM changes WHERE sequence = 2").await;
    let args = AuditArgs { repair: true, ..AuditArgs::default() };
    let (status, lines) = audit(&shop, &args).await;
    assert_eq!(status, ExitStatus::NotHeld);
    assert_eq!(
        (&lines[0]["kind"], &lines[0]["repair"]),
        (&json!("changes.sequence"), &json!("none"))
    );
    assert_eq!(lines[1]["remaining"], 1);
}

/// Told from what a person has to repair: it goes by itself.
#[tokio::test]
async fn what_is_left_of_the_feed_is_said_to_be_no_wrong_count() {
    let shop = spoiled("UPDATE changes SET committed = committed + 1 WHERE sequence = 2").await;
    for repair in [false, true] {
        let args = AuditArgs { repair, ..AuditArgs::default() };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut output =
            Output { out: &mut out, err: &mut err, format: Format::Table, width: None };
        let status = cli::audit::run(&*shop.store, &args, &mut output).await.unwrap();
        assert_eq!(status, ExitStatus::NotHeld);
        let said = String::from_utf8(out).unwrap();
        let words = "no count is wrong";
        assert!(said.contains(words) && said.contains("changes.retention"), "{said}");
        assert!(!said.contains("restore a backup"), "{said}");
    }
}

#[tokio::test]
async fn sums_are_repaired_beside_a_worker_at_work() {
    let shop = spoiled("UPDATE stock SET committed = committed + 1000000").await;
    let worker = shop.worker(&Policy::default()).await;
    let orders: Vec<_> = (10..60).map(|id| order(&format!("{id}"), "PROCESSED", 1)).collect();
    let args = AuditArgs { repair: true, ..AuditArgs::default() };
    tokio::join!(shop.publish(&orders), audit(&shop, &args));
    shop.settled().await;
    worker.stop().await;
    // Whatever was committed meanwhile, the difference went once. One commit may have met it, and
    // then the feed says so for good.
    let (_, lines) = audit(&shop, &args).await;
    let kinds = lines.iter().filter_map(|line| line.get("kind"));
    assert!(kinds.filter(|kind| *kind != "changes.after").count() == 0, "{lines:?}");
    assert_eq!(last_change(&shop).2, 56);
}

#[tokio::test]
async fn a_damaged_file_is_named_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("data")).unwrap();
    let shop = Shop::new();
    shop.publish(&[order("1", "PROCESSED", 1)]).await;
    shop.work_off(&Policy::default()).await;
    shop.broker.close().await;
    shop.store.close().await;
    for file in ["store.db", "broker.db"] {
        std::fs::copy(shop.path().join(file), directory.path().join("data").join(file)).unwrap();
    }
    let run = || command(directory.path(), &[]).arg("audit").output().unwrap();
    assert_eq!(run().status.code(), Some(0));
    let broker = directory.path().join("data/broker.db");
    // The second page is of a table or an index; the header stays.
    let mut file = std::fs::OpenOptions::new().write(true).open(&broker).unwrap();
    file.seek(SeekFrom::Start(8192 + 8)).unwrap();
    file.write_all(&[0xff; 64]).unwrap();
    drop(file);
    let output = run();
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert_eq!(output.status.code(), Some(1), "{out} {err}");
    assert!(out.contains("file.damaged data/broker.db: "), "{out}");
    assert!(out.contains("nothing differs"), "the counts are audited all the same: {out}");
    assert!(err.contains("storekeeper journal replay"), "{err}");
}
