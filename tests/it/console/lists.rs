//! Lists that are filtered, and the commands that print them.

use serde_json::{Value, json};
use storekeeper::cli::{self, CatalogueArgs, ExitStatus, Format, StockCommand, StockListArgs};
use storekeeper::domain::{Quantity, Site};

use super::commands::{Printed, no_broker};
use super::{Backends, field, given};

/// The shop, and an item whose stock nobody tracks.
async fn shop() -> Backends {
    let backends = Backends::open();
    let store = &*backends.store;
    given::shop(store).await;
    let gift = json!({"id": "gift", "name": "Gift card", "managed_inventory": false});
    given::hook(store, "ECOMM_PRODUCT_CREATED", (1, 0), &gift).await;
    given::order(store, "shop", "9", "gift", 3).await;
    backends
}

fn site() -> Site {
    Site::parse("shop").unwrap()
}

#[tokio::test]
async fn items_that_are_short_are_found_and_what_is_not_tracked_is_not() {
    let backends = shop().await;
    let console = backends.serve_console().await;
    let keys = async |query: &str| -> Vec<String> {
        let page = console.json(&format!("/v1/sites/shop/stock?{query}")).await;
        assert_eq!(page["next_cursor"], Value::Null, "{query}");
        field(page["items"].as_array().unwrap(), "key").into_iter().map(str::to_owned).collect()
    };
    assert_eq!(keys("filter=oversold").await, ["product:mug"]);
    assert_eq!(keys("filter=low&low=2.5").await, ["product:mug"]);
    assert_eq!(keys("filter=low&low=3").await, ["product:mug", "sku:S-1"]);
    assert_eq!(keys("filter=low&low=3&q=sku").await, ["sku:S-1"]);
    assert_eq!(keys("filter=low&low=3&q=sku:T").await, [""; 0]);
    let first = console.json("/v1/sites/shop/stock?filter=low&low=3&limit=1").await;
    let next = first["next_cursor"].as_str().unwrap();
    assert_eq!(keys(&format!("filter=low&low=3&cursor={next}")).await, ["sku:S-1"]);
    assert_eq!(keys("low=3").await, keys("filter=low&low=3").await);
    assert_eq!(keys("filter=low").await, ["product:mug"], "nothing is available");
    assert_eq!(keys("filter=oversold&low=3").await, ["product:mug"]);
    for query in ["filter=high", "filter=low&low=x"] {
        let answer = console.get(&format!("/v1/sites/shop/stock?{query}")).await;
        assert_eq!(answer.status(), 400, "{query}");
    }
    let printed = async |args: StockListArgs, format| {
        let mut printed = Printed::default();
        let list = StockCommand::List(args);
        let output = &mut printed.output(format);
        let status = cli::stock::run(&*backends.store, no_broker, &list, output).await.unwrap();
        assert_eq!(status, ExitStatus::Done);
        (printed.lines_or_nothing("key"), printed.err())
    };
    let args = || StockListArgs { site: Some(site()), ..StockListArgs::default() };
    let oversold = StockListArgs { oversold: true, ..args() };
    assert_eq!(printed(oversold, Format::Json).await.0, ["product:mug"]);
    let low = StockListArgs { low: Quantity::exact("3").ok(), ..args() };
    assert_eq!(printed(low, Format::Json).await.0, ["product:mug", "sku:S-1"]);
    let query = StockListArgs { query: Some("blue".to_owned()), ..args() };
    assert_eq!(printed(query, Format::Json).await.0, ["product:mug"]);
    let none = StockListArgs { query: Some("green".to_owned()), ..args() };
    let (lines, said) = printed(none, Format::Table).await;
    assert_eq!((lines.len(), said.as_str()), (0, "No stock items match.\n"));
}

#[tokio::test]
async fn catalogue_entries_are_found_by_the_start_of_any_name() {
    let backends = shop().await;
    let console = backends.serve_console().await;
    let entries = async |query: &str| -> Vec<String> {
        let page = console.json(&format!("/v1/sites/shop/catalogue{query}")).await;
        assert_eq!(page["next_cursor"], Value::Null, "{query}");
        field(page["items"].as_array().unwrap(), "entry").into_iter().map(str::to_owned).collect()
    };
    let (gift, mug) = ("product:gift", "product:mug");
    assert_eq!(entries("").await, [gift, mug]);
    for query in ["?q=blue%20M", "?q=MUG-1", "?q=product:mug", "?q=mug"] {
        assert_eq!(entries(query).await, [mug], "{query}");
    }
    assert_eq!(entries("?q=product").await, [gift, mug]);
    assert_eq!(entries("?q=lue").await, [""; 0]);
    let printed = async |site: &str, query: Option<&str>, format| {
        let mut printed = Printed::default();
        let args =
            CatalogueArgs { site: Site::parse(site).unwrap(), query: query.map(str::to_owned) };
        let output = &mut printed.output(format);
        let status = cli::catalogue::run(&*backends.store, &args, output).await.unwrap();
        (status, printed)
    };
    let (status, all) = printed("shop", None, Format::Table).await;
    assert_eq!(status, ExitStatus::Done);
    insta::assert_snapshot!(all.out(), @r#"
    ENTRY         NAME       SKU    STOCK ITEMS             CHANGED
    product:gift  Gift card  -      product:gift            2023-11-14T22:13:20.000Z
    product:mug   Blue mug   MUG-1  product:mug, sku:MUG-1  2023-11-14T22:13:20.000Z
    "#);
    let (_, json) = printed("shop", Some("gift"), Format::Json).await;
    let answered = console.json("/v1/sites/shop/catalogue?q=gift").await;
    assert_eq!(&json.lines(), answered["items"].as_array().unwrap());
    let (status, none) = printed("shop", Some("lue"), Format::Table).await;
    assert_eq!((status, none.err().as_str()), (ExitStatus::Done, "No catalogue entries match.\n"));
    let (status, other) = printed("other", None, Format::Table).await;
    assert_eq!((status, other.out().as_str()), (ExitStatus::NotHeld, ""));
}

#[tokio::test]
async fn sites_are_listed() {
    let backends = Backends::open();
    let printed = async |format| {
        let mut printed = Printed::default();
        let output = &mut printed.output(format);
        let status = cli::sites::run(&*backends.store, output).await.unwrap();
        assert_eq!(status, ExitStatus::Done);
        printed
    };
    assert_eq!(printed(Format::Table).await.err(), "No sites.\n");
    given::shop(&*backends.store).await;
    given::goods(&*backends.store, "other", "sku:O", 3).await;
    assert_eq!(printed(Format::Table).await.out(), "SITE\nother\nshop\n");
    let console = backends.serve_console().await;
    let answered = console.json("/v1/sites").await;
    assert_eq!(&printed(Format::Json).await.lines(), answered["items"].as_array().unwrap());
}

#[tokio::test]
async fn receipts_say_who_recorded_them_and_what_they_add() {
    let backends = shop().await;
    let store = &*backends.store;
    let receipt = |body: Value| async move {
        let received = given::Received { message: 5, millis: 100 };
        given::apply(store, storekeeper::broker::EnvelopeKind::Receipt, received, &body).await;
    };
    receipt(json!({
        "site": "shop", "key": "product:mug", "reference": "count", "quantity": "-2",
        "reason": "broken", "actor": "anna",
    }))
    .await;
    receipt(json!({
        "site": "shop", "key": "product:mug", "reference": "delivery-1", "void": true,
        "actor": "ben",
    }))
    .await;
    let console = backends.serve_console().await;
    let list = console.json("/v1/sites/shop/stock/mug/receipts").await;
    let message = given::message(5).to_string();
    let at = "2023-11-14T22:13:20.100Z";
    let expected = json!([
        {
            "reference": "count", "adds": "-2", "received": "-2", "message_id": message,
            "received_at": at, "reason": "broken", "actor": "anna",
        },
        {
            "reference": "delivery-1", "adds": "0", "received": "10",
            "message_id": given::message(1).to_string(),
            "received_at": "2023-11-14T22:13:20.000Z",
            "void": {"message_id": message, "voided_at": at, "actor": "ben"},
        },
    ]);
    assert_eq!(list, json!({"items": expected, "next_cursor": null}));
    let item = console.json("/v1/sites/shop/stock/mug").await;
    assert_eq!(item["receipts"], expected);
    assert_eq!(item["last_changes"][0]["delta"]["received"], "-10");
    assert_eq!(item["holds"][0]["why"]["rule"], "promised");
    let first = console.json("/v1/sites/shop/stock/mug/receipts?limit=1").await;
    let next = first["next_cursor"].as_str().unwrap();
    let second = console.json(&format!("/v1/sites/shop/stock/mug/receipts?cursor={next}")).await;
    assert_eq!(second["items"][0]["reference"], "delivery-1");
}
