//! Lists of orders: the route and the command.

use serde_json::{Value, json};
use storekeeper::cli::orders::{FlagArgs, OrdersListArgs};
use storekeeper::cli::{self, ExitStatus, Format, OrdersCommand};
use storekeeper::clock::PastTime;
use storekeeper::domain::{Site, Timestamp};
use storekeeper::store::Store;

use super::commands::Printed;
use super::given::hook;
use super::{Backends, Served, field, given};

const ORDERS: &str = "/v1/sites/shop/orders";

/// An order that was changed so many seconds after the start.
async fn order(store: &dyn Store, id: u32, seconds: i64, status: &str) {
    let line = json!({"id": "L1", "product_id": "mug", "quantity": 1});
    let data = json!({
        "id": id.to_string(), "external_id": format!("Web-{id}"), "status": status, "items": [line],
    });
    hook(store, "ECOMM_ORDER_UPDATED", (u128::from(id), seconds * 1000), &data).await;
}

async fn ids(console: &Served, query: &str) -> Vec<String> {
    let (orders, _) = console.pages(&format!("{ORDERS}?{query}"), "next_cursor").await;
    field(&orders, "order").into_iter().map(str::to_owned).collect()
}

async fn list(store: &dyn Store, args: OrdersListArgs, format: Format) -> (ExitStatus, Printed) {
    let mut printed = Printed::default();
    let output = &mut printed.output(format);
    let now = Timestamp::from_millis(given::START_MS + 3_600_000);
    let command = OrdersCommand::List(args);
    let status = cli::orders::run(store, &command, now, output).await.unwrap();
    (status, printed)
}

/// Nine orders, of which every third is pending.
async fn nine() -> (Backends, Served) {
    let backends = Backends::open();
    given::policy(&*backends.store).await;
    for number in 1..=9 {
        let status = if number % 3 == 0 { "Pending" } else { "PROCESSED" };
        order(&*backends.store, number, i64::from(number), status).await;
    }
    let console = backends.serve_console().await;
    (backends, console)
}

#[tokio::test]
async fn orders_are_listed_newest_change_first() {
    let (backends, console) = nine().await;
    let (orders, sizes) = console.pages(&format!("{ORDERS}?limit=4"), "next_cursor").await;
    assert_eq!(sizes, [4, 4, 1]);
    let expected: Vec<String> = (1..=9).rev().map(|number| format!("id:{number}")).collect();
    assert_eq!(field(&orders, "order"), expected);
    let first = json!({
        "site": "shop",
        "order": "id:9",
        "status": "PENDING",
        "mode": "LIVE",
        "deleted": false,
        "left_since": null,
        "changed_at": "2023-11-14T22:13:29.250Z",
        "names": [{"name": "external-id:Web-9", "contested": false}],
        "flags": [],
        "why": {
            "rule": "promised",
            "text": "The goods have not left yet, so the order's lines are committed.",
        },
        "holds": [{"key": "product:mug", "committed": "1", "fulfilled": "0"}],
    });
    assert_eq!(orders[0], first);
    order(&*backends.store, 2, 60, "DELIVERED").await;
    assert_eq!(ids(&console, "limit=500").await[0], "id:2");
}

#[tokio::test]
async fn orders_are_selected_by_every_filter() {
    let (_backends, console) = nine().await;
    let cases: [(&str, &[u32]); 8] = [
        ("status=pending", &[9, 6, 3]),
        ("status=PENDING&limit=1", &[9, 6, 3]),
        ("status=DELIVERED", &[]),
        ("q=web-4", &[4]),
        ("q=EXTERNAL-ID:W&status=pending", &[9, 6, 3]),
        ("q=4", &[4]),
        ("q=eb", &[]),
        // Oldest first.
        ("older_than=2023-11-14T22:13:23.250Z", &[1, 2]),
    ];
    for (query, expected) in cases {
        let expected: Vec<String> = expected.iter().map(|number| format!("id:{number}")).collect();
        assert_eq!(ids(&console, query).await, expected, "{query}");
    }
    assert_eq!(ids(&console, "older_than=1h").await.len(), 9);
}

#[tokio::test]
async fn every_selected_order_is_on_exactly_one_page_however_few_there_are() {
    let backends = Backends::open();
    given::policy(&*backends.store).await;
    for number in 1..=230 {
        let status = if number % 50 == 0 { "PENDING" } else { "PROCESSED" };
        order(&*backends.store, number, i64::from(number), status).await;
    }
    let console = backends.serve_console().await;
    let path = format!("{ORDERS}?status=pending&limit=3");
    let (orders, _) = console.pages(&path, "next_cursor").await;
    assert_eq!(field(&orders, "order"), ["id:200", "id:150", "id:100", "id:50"]);
    let older = format!("{ORDERS}?status=pending&limit=3&older_than=1h");
    let (orders, _) = console.pages(&older, "next_cursor").await;
    assert_eq!(field(&orders, "order"), ["id:50", "id:100", "id:150", "id:200"]);
}

#[tokio::test]
async fn orders_are_selected_by_what_needs_a_person() {
    let backends = Backends::open();
    let store = &*backends.store;
    given::shop(store).await;
    order(store, 1, 1, "PROCESSED").await;
    order(store, 2, 2, "PROCESSED").await;
    // The same time and status, and another quantity.
    let line = json!({"id": "L1", "product_id": "mug", "quantity": 5});
    let data = json!({"id": "2", "external_id": "Web-2", "status": "PROCESSED", "items": [line]});
    hook(store, "ECOMM_ORDER_UPDATED", (20, 2_000), &data).await;
    let data = json!({"id": "3", "external_id": "Web-1", "status": "PENDING", "items": []});
    hook(store, "ECOMM_ORDER_UPDATED", (3, 3_000), &data).await;
    let console = backends.serve_console().await;
    for (flag, expected) in [
        ("unmapped", &["id:1001"][..]),
        ("waiting", &["store-order:77/5"]),
        ("ambiguous", &["id:2"]),
        ("contested", &["id:3", "id:1"]),
        ("after-deletion", &[]),
        ("corrected", &[]),
    ] {
        assert_eq!(ids(&console, &format!("flag={flag}")).await, expected, "{flag}");
    }
    let listed = console.json(&format!("{ORDERS}?q=id:2")).await;
    assert_eq!(listed["items"][0]["flags"], json!(["ambiguous"]));
}

#[tokio::test]
async fn the_command_prints_the_apis_items_and_a_table_for_people() {
    let (backends, console) = nine().await;
    let store = &*backends.store;
    given::noticed_order(store, "shop", 77, 5).await;
    let of_site =
        || OrdersListArgs { site: Some(Site::parse("shop").unwrap()), ..OrdersListArgs::default() };
    let (status, printed) = list(store, of_site(), Format::Json).await;
    assert_eq!(status, ExitStatus::Done);
    let answered = console.json(&format!("{ORDERS}?limit=500")).await;
    assert_eq!(&printed.lines(), answered["items"].as_array().unwrap());
    let pending = OrdersListArgs { status: Some("pending".to_owned()), ..of_site() };
    let (_, printed) = list(store, pending, Format::Table).await;
    insta::assert_snapshot!(printed.out(), @r"
    SITE  ORDER  STATUS   CHANGED                   WHY       FLAGS
    shop  id:9   PENDING  2023-11-14T22:13:29.250Z  promised
    shop  id:6   PENDING  2023-11-14T22:13:26.250Z  promised
    shop  id:3   PENDING  2023-11-14T22:13:23.250Z  promised
    ");
    let waiting = FlagArgs { waiting: true, ..FlagArgs::default() };
    let (_, printed) =
        list(store, OrdersListArgs { flag: waiting, ..of_site() }, Format::Json).await;
    let found: Vec<Value> =
        printed.lines().into_iter().map(|order| order["order"].clone()).collect();
    assert_eq!(found, ["store-order:77/5"]);
    let older_than = Some(PastTime::parse("2h").unwrap());
    let (status, printed) =
        list(store, OrdersListArgs { older_than, ..of_site() }, Format::Table).await;
    assert_eq!((status, printed.out().as_str()), (ExitStatus::Done, ""));
    assert_eq!(printed.err(), "No orders match.\n");
}
