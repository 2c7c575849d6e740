//! The change feed: pages, cursors, and what is no longer there.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use storekeeper::cli::changes::{self, ChangesArgs};
use storekeeper::cli::{ExitStatus, Format};
use storekeeper::clock::{self, PastTime};
use storekeeper::domain::{Site, Timestamp};
use storekeeper::store::Store;

use super::commands::Printed;
use super::{Backends, Served, field, given};

const FEED: &str = "/v1/sites/shop/changes";

/// So many changes, one second apart from nothing else.
async fn goods(store: &dyn Store, count: usize) {
    for number in 0..count {
        given::goods(store, "shop", &format!("sku:{number}"), 1).await;
    }
}

async fn refusal(console: &Served, path: &str) -> (u16, Value) {
    let answer = console.get(path).await;
    (answer.status().as_u16(), answer.json::<Value>().await.unwrap()["code"].clone())
}

#[tokio::test]
async fn a_change_says_what_it_added_and_what_there_is() {
    let backends = Backends::open();
    given::shop(&*backends.store).await;
    let console = backends.serve_console().await;
    let feed = console.json(FEED).await;
    assert_eq!(feed["next_cursor"], Value::Null);
    let mut last = feed["items"][2].clone();
    assert!(!last["cursor"].as_str().unwrap().is_empty());
    assert!(last["epoch"].as_str().unwrap().len() >= 16);
    last["cursor"] = json!("C");
    last["epoch"] = json!("E");
    let expected = json!({
        "cursor": "C",
        "sequence": 3,
        "epoch": "E",
        "at": "2023-11-14T22:13:20.250Z",
        "site": "shop",
        "key": "product:mug",
        "order": "id:1001",
        "message_id": "00000000-0000-0000-0000-000000000001",
        "delta": {
            "received": "0", "committed": "12", "fulfilled": "0",
            "on_hand": "0", "available": "-12",
        },
        "after": {
            "received": "10", "committed": "12", "fulfilled": "0",
            "on_hand": "10", "available": "-2",
        },
    });
    assert_eq!(last, expected);
    assert_eq!(feed["items"][0]["reference"], "delivery-1");
    assert!(feed["items"][0].get("order").is_none());
}

#[tokio::test]
async fn every_change_is_on_exactly_one_page() {
    let backends = Backends::open();
    goods(&*backends.store, 5).await;
    let console = backends.serve_console().await;
    let first = console.json(&format!("{FEED}?limit=3")).await;
    let next = first["next_cursor"].as_str().unwrap();
    let second = console.json(&format!("{FEED}?limit=3&after={next}")).await;
    assert_eq!(second["next_cursor"], Value::Null);
    let items = |page: &Value| page["items"].as_array().unwrap().clone();
    let all = [items(&first), items(&second)].concat();
    assert_eq!(field(&all, "key"), ["sku:0", "sku:1", "sku:2", "sku:3", "sku:4"]);
    let last = all[4]["cursor"].as_str().unwrap();
    let behind = console.json(&format!("{FEED}?after={last}")).await;
    assert_eq!(behind, json!({"items": [], "next_cursor": null}));
    given::goods(&*backends.store, "shop", "sku:news", 1).await;
    let behind = console.json(&format!("{FEED}?after={last}")).await;
    assert_eq!(field(&items(&behind), "key"), ["sku:news"]);
}

#[tokio::test]
async fn a_cursor_of_what_is_not_kept_is_gone_also_for_streams() {
    let backends = Backends::open();
    goods(&*backends.store, 2).await;
    let console = backends.serve_console().await;
    let feed = console.json(FEED).await;
    let cursor = |place: usize| feed["items"][place]["cursor"].as_str().unwrap();
    let after = |place| format!("{FEED}?after={}", cursor(place));
    let later = Timestamp::from_millis(given::START_MS + 1);
    assert_eq!(backends.store.trim_changes(later).await.unwrap(), 2);
    let gone = (410, json!("changes.cursor_gone"));
    assert_eq!(refusal(&console, &after(0)).await, gone);
    let request = console.client.get(format!("{}{FEED}", console.url));
    let request = request.header("accept", "text/event-stream");
    let answer = request.header("last-event-id", cursor(0)).send().await.unwrap();
    assert_eq!(answer.status(), 410);
    // Nothing behind this one is missing.
    assert_eq!(console.json(&after(1)).await["items"], json!([]));
    assert_eq!(console.json(FEED).await["items"], json!([]));
    let other = Backends::open();
    goods(&*other.store, 2).await;
    let other = other.serve_console().await;
    assert_eq!(refusal(&other, &after(1)).await, gone, "of another epoch");
}

#[tokio::test]
async fn a_cursor_ahead_of_the_end_waits_for_it() {
    let backends = Backends::open();
    goods(&*backends.store, 1).await;
    let console = backends.serve_console().await;
    let feed = console.json(FEED).await;
    let epoch = feed["items"][0]["epoch"].as_str().unwrap();
    let ahead = URL_SAFE_NO_PAD.encode(format!("2.{epoch}"));
    let path = format!("{FEED}?after={ahead}");
    assert_eq!(console.json(&path).await["items"], json!([]));
    given::goods(&*backends.store, "shop", "sku:second", 1).await;
    assert_eq!(console.json(&path).await["items"], json!([]));
    given::goods(&*backends.store, "shop", "sku:third", 1).await;
    let found = console.json(&path).await;
    assert_eq!(field(found["items"].as_array().unwrap(), "key"), ["sku:third"]);
}

#[tokio::test]
async fn what_is_no_place_in_a_feed_is_refused() {
    let console = Backends::open().serve_console().await;
    for query in ["after=", "after=!", "after=eA", "limit=0", "limit=501", "cursor=eA"] {
        let refused = refusal(&console, &format!("{FEED}?{query}")).await;
        assert_eq!(refused, (400, json!("request.invalid")), "{query}");
    }
    let stream = console.client.get(format!("{}{FEED}?limit=1", console.url));
    let answer = stream.header("accept", "text/event-stream").send().await.unwrap();
    assert_eq!(answer.status(), 400, "a stream has no limit");
}

async fn changes(store: &dyn Store, after: Option<&str>, format: Format) -> (ExitStatus, Printed) {
    let after = after.map(|after| storekeeper::store::changes::Cursor::parse(after).unwrap());
    let args = ChangesArgs { site: Site::parse("shop").ok(), after, ..ChangesArgs::default() };
    let mut printed = Printed::default();
    let status =
        changes::run(store, &args, clock::now(), &mut printed.output(format)).await.unwrap();
    (status, printed)
}

#[tokio::test]
async fn the_command_prints_the_apis_changes_and_a_table_for_people() {
    let backends = Backends::open();
    given::shop(&*backends.store).await;
    let console = backends.serve_console().await;
    let feed = console.json(FEED).await;
    let items = feed["items"].as_array().unwrap();
    let cursor = items[0]["cursor"].as_str();
    let (status, printed) = changes(&*backends.store, cursor, Format::Json).await;
    assert_eq!(status, ExitStatus::Done);
    assert_eq!(printed.lines(), items[1..]);
    let (_, printed) = changes(&*backends.store, cursor, Format::Table).await;
    insta::assert_snapshot!(printed.out(), @r"
    NUMBER  AT                        KEY          DUE TO      RECEIVED  COMMITTED  FULFILLED  ON HAND AFTER  AVAILABLE AFTER
         2  2023-11-14T22:13:20.000Z  sku:S-1      delivery-1        +3          0          0              3                3
         3  2023-11-14T22:13:20.250Z  product:mug  id:1001            0        +12          0             10               -2
    ");
    let last = items[2]["cursor"].as_str().unwrap();
    assert_eq!(printed.err(), format!("`--after {last}` continues from here\n"));
    let later = Timestamp::from_millis(given::START_MS + 1);
    backends.store.trim_changes(later).await.unwrap();
    let (status, printed) = changes(&*backends.store, cursor, Format::Json).await;
    assert_eq!((status, printed.out().as_str()), (ExitStatus::NotHeld, ""));
    assert!(printed.err().contains("older than what is kept"), "{}", printed.err());
}

async fn printed(store: &dyn Store, args: ChangesArgs) -> (ExitStatus, Vec<String>, String) {
    let (mut printed, now) = (Printed::default(), Timestamp::from_millis(given::START_MS + 1000));
    let output = &mut printed.output(Format::Json);
    let status = changes::run(store, &args, now, output).await.unwrap();
    let line = |change: &Value| format!("{} {}", change["site"], change["key"]).replace('"', "");
    (status, printed.lines().iter().map(line).collect(), printed.err())
}

#[tokio::test]
async fn changes_of_an_item_since_a_time_or_the_last_ones_are_found() {
    let backends = Backends::open();
    let store = &*backends.store;
    given::shop(store).await;
    given::goods(store, "other", "sku:O", 3).await;
    let console = backends.serve_console().await;
    let keys = async |query: &str| -> Vec<String> {
        let page = console.json(&format!("{FEED}?{query}")).await;
        assert_eq!(page["next_cursor"], Value::Null, "{query}");
        field(page["items"].as_array().unwrap(), "key").into_iter().map(str::to_owned).collect()
    };
    let mug = "product:mug";
    assert_eq!(keys("key=product:mug").await, [mug, mug]);
    assert_eq!(keys("key=mug&since=2023-11-14T22:13:20.1Z").await, [mug]);
    assert_eq!(keys("since=2023-11-14T22:13:20.1Z").await, [mug]);
    assert_eq!(keys("key=S-1").await, ["sku:S-1"]);
    let refused = async |query: &str| refusal(&console, &format!("{FEED}?{query}")).await;
    assert_eq!(refused("since=yesterday").await, (400, json!("request.invalid")));
    assert_eq!(refused("key=none").await, (404, json!("stock.unknown")));

    let shop = || Site::parse("shop").ok();
    let args = ChangesArgs { site: shop(), key: Some("mug".to_owned()), ..ChangesArgs::default() };
    let (status, lines, _) = printed(store, args).await;
    assert_eq!((status, lines), (ExitStatus::Done, vec!["shop product:mug".to_owned(); 2]));
    let since = PastTime::parse("800ms").ok();
    let (_, lines, _) = printed(store, ChangesArgs { since, ..ChangesArgs::default() }).await;
    assert_eq!(lines, ["shop product:mug"]);
    let all = ChangesArgs::default;
    let (_, lines, _) = printed(store, all()).await;
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0], "other sku:O");
    let (_, lines, _) = printed(store, ChangesArgs { last: Some(2), ..all() }).await;
    assert_eq!(lines, ["shop sku:S-1", "shop product:mug"]);
    let args = ChangesArgs { site: shop(), key: Some("none".to_owned()), ..all() };
    let (status, lines, err) = printed(store, args).await;
    assert_eq!((status, lines.len()), (ExitStatus::NotHeld, 0));
    assert!(err.contains("none"), "{err}");
}

#[tokio::test]
async fn a_stream_has_the_changes_of_one_item_only() {
    let backends = Backends::open();
    given::shop(&*backends.store).await;
    let console = backends.serve_console().await;
    let request = console.client.get(format!("{}{FEED}?key=sku:S-1", console.url));
    let mut answer = request.header("accept", "text/event-stream").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let sent = answer.chunk().await.unwrap().unwrap();
    let sent = String::from_utf8(sent.to_vec()).unwrap();
    assert!(sent.contains("sku:S-1") && !sent.contains("product:mug"), "{sent}");
}
