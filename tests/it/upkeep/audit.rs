//! `audit`: finds what is wrong, and nothing else.

use rusqlite::Connection;
use storekeeper::cli::audit::AuditArgs;
use storekeeper::cli::output::Output;
use storekeeper::cli::{self, ExitStatus, Format};
use storekeeper::domain::{Policy, Site};
use storekeeper::store::ReadStore;
use storekeeper::upkeep::audit;

use super::{Shop, history, linked, order};

/// Runs `audit` on all sites; answers with the kinds of what differs. The last line counts them.
async fn kinds(shop: &Shop) -> (ExitStatus, Vec<String>) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut output = Output { out: &mut out, err: &mut err, format: Format::Json, width: None };
    let args = AuditArgs::default();
    let status = cli::audit::run(&*shop.store, &args, &mut output).await.unwrap();
    let lines = std::str::from_utf8(&out).unwrap().lines();
    let lines = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut lines: Vec<_> = lines.collect();
    assert_eq!(lines.pop().unwrap()["differences"], lines.len());
    assert!(err.is_empty() || status == ExitStatus::Done, "only what is no difference");
    let kinds = lines.iter().map(|line| line["kind"].as_str().unwrap().to_owned());
    (status, kinds.collect())
}

#[tokio::test]
async fn every_invariant_is_checked() {
    for (damage, expected) in [
        ("UPDATE stock SET committed = committed + 1", &["stock.committed", "changes.latest"][..]),
        ("UPDATE stock SET fulfilled = fulfilled + 1", &["stock.fulfilled", "changes.latest"]),
        ("UPDATE stock SET received = received + 1", &["stock.received", "changes.latest"]),
        ("DELETE FROM stock", &["stock.committed", "changes.latest"]),
        ("DELETE FROM holds", &["order.hold", "stock.committed"]),
        ("UPDATE holds SET committed = committed + 1", &["order.hold", "stock.committed"]),
        ("UPDATE holds SET order_id = 'id:x' WHERE order_id = 'id:1'", &["order.hold"]),
        ("DELETE FROM orders", &["order.hold"]),
        ("UPDATE policy SET revision = 2", &["order.policy"]),
        (
            "UPDATE orders SET state = replace(state, ' PROCESSED ', ' INCOMPLETE ')",
            &["order.applied"],
        ),
        ("DELETE FROM changes WHERE sequence = 2", &["changes.sequence"]),
        ("UPDATE changes SET committed = committed + 1 WHERE sequence = 2", &["changes.after"]),
        (
            "UPDATE changes SET committed = committed + 1 WHERE sequence = 3",
            &["changes.after", "changes.latest"],
        ),
    ] {
        let shop = Shop::new();
        for quantity in [1, 3, 2] {
            shop.publish(&[order(&format!("{quantity}"), "PROCESSED", quantity)]).await;
        }
        shop.work_off(&Policy::default()).await;
        let connection = Connection::open(shop.path().join("store.db")).unwrap();
        assert_eq!(kinds(&shop).await, (ExitStatus::Done, Vec::new()), "before {damage}");
        assert!(connection.execute(damage, ()).unwrap() > 0, "{damage}");
        let (status, mut found) = kinds(&shop).await;
        found.dedup();
        let expected: Vec<_> = expected.iter().map(|kind| (*kind).to_owned()).collect();
        assert_eq!((status, found), (ExitStatus::NotHeld, expected), "{damage}");
    }
}

#[tokio::test]
async fn the_verdict_is_a_result() {
    let shop = Shop::new();
    shop.publish(&[order("1", "PROCESSED", 2), order("2", "PROCESSED", 3)]).await;
    shop.work_off(&Policy::default()).await;
    for (format, expected) in [
        (Format::Table, "1 stock item and 2 orders: nothing differs\n"),
        (Format::Json, "{\"items\":1,\"orders\":2,\"differences\":0,\"names_contested\":0}\n"),
    ] {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut output = Output { out: &mut out, err: &mut err, format, width: None };
        let args = AuditArgs::default();
        cli::audit::run(&*shop.store, &args, &mut output).await.unwrap();
        assert_eq!(std::str::from_utf8(&out).unwrap(), expected);
        assert!(err.is_empty());
    }
}

#[tokio::test]
async fn nothing_differs_while_workers_are_at_work() {
    let shop = Shop::new();
    let envelopes = history(60);
    let worker = shop.worker(&Policy::default()).await;
    let audits = async {
        let mut orders = 0;
        while orders == 0 || shop.broker_is_busy().await {
            for site in shop.store.sites().await.unwrap() {
                let found = audit::site(&*shop.store, &site, |_| {}).await.unwrap();
                assert_eq!(found.differences, [], "{site}");
                orders += found.orders;
            }
        }
    };
    tokio::join!(shop.publish(&envelopes), audits);
    worker.stop().await;
}

#[tokio::test]
async fn a_name_that_two_orders_bear_is_counted_and_no_difference() {
    let shop = Shop::new();
    shop.publish(&[linked(Some("1"), "E", "PROCESSED", 1), linked(Some("2"), "E", "PROCESSED", 1)])
        .await;
    shop.work_off(&Policy::default()).await;
    let found = audit::site(&*shop.store, &Site::parse("shop").unwrap(), |_| {}).await.unwrap();
    assert_eq!((found.names_contested, found.orders), (1, 2));
    assert_eq!(kinds(&shop).await, (ExitStatus::Done, Vec::new()));
}
