//! What the API answers.

use serde_json::{Value, json};
use storekeeper::domain::Shown;

use super::{Backends, field, given};

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

#[tokio::test]
async fn sites_are_listed_by_name() {
    let backends = Backends::open();
    given::goods(&*backends.store, "zeta", "sku:1", 1).await;
    given::goods(&*backends.store, "alpha", "sku:1", 1).await;
    let console = backends.serve_console().await;
    let sites = console.json("/v1/sites").await;
    let expected = json!({"items": [{"site": "alpha"}, {"site": "zeta"}], "next_cursor": null});
    assert_eq!(sites, expected);
}

#[tokio::test]
async fn stock_is_listed_with_exact_counts_and_names() {
    let backends = Backends::open();
    given::shop(&*backends.store).await;
    let console = backends.serve_console().await;
    let stock = console.json("/v1/sites/shop/stock").await;
    insta::assert_snapshot!(pretty(&stock), @r#"
    {
      "items": [
        {
          "available": "-2",
          "committed": "12",
          "fulfilled": "0",
          "key": "product:mug",
          "name": "Blue mug",
          "on_hand": "10",
          "received": "10",
          "site": "shop",
          "tracked": true
        },
        {
          "available": "3",
          "committed": "0",
          "fulfilled": "0",
          "key": "sku:S-1",
          "on_hand": "3",
          "received": "3",
          "site": "shop",
          "tracked": true
        }
      ],
      "next_cursor": null
    }
    "#);
}

#[tokio::test]
async fn every_stock_item_is_on_exactly_one_page() {
    let backends = Backends::open();
    for name in ["a", "b", "c|d", "ü/%", "z"] {
        given::goods(&*backends.store, "shop", &format!("sku:{name}"), 1).await;
    }
    let console = backends.serve_console().await;
    let (items, sizes) = console.pages("/v1/sites/shop/stock?limit=2", "next_cursor").await;
    assert_eq!(field(&items, "key"), ["sku:a", "sku:b", "sku:c|d", "sku:z", "sku:ü/%"]);
    assert_eq!(sizes, [2, 2, 1]);
}

#[tokio::test]
async fn stock_is_found_by_the_start_of_key_or_name() {
    let backends = Backends::open();
    given::shop(&*backends.store).await;
    let console = backends.serve_console().await;
    for (q, found) in [("blue%20m", vec!["product:mug"]), ("sku:", vec!["sku:S-1"])] {
        let stock = console.json(&format!("/v1/sites/shop/stock?q={q}")).await;
        assert_eq!(field(stock["items"].as_array().unwrap(), "key"), found, "{q}");
    }
    let all = console.json("/v1/sites/shop/stock?q=").await;
    assert_eq!(all["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_stock_item_shows_who_holds_it_and_what_may_still_come() {
    let backends = Backends::open();
    given::shop(&*backends.store).await;
    given::dead_letters(&*backends.store).await;
    backends.broker.publish(given::envelope(8, 0, b"{}")).await.unwrap();
    let console = backends.serve_console().await;
    let mut item = console.json("/v1/sites/shop/stock/product:mug").await;
    // Each change is as the feed has it.
    let feed = console.json("/v1/sites/shop/changes?key=product:mug").await;
    let mut changes = feed["items"].as_array().unwrap().clone();
    changes.reverse();
    assert_eq!(item["last_changes"].take(), json!(changes));
    insta::assert_snapshot!(pretty(&item), @r#"
    {
      "available": "-2",
      "closed": {
        "fulfilled": "0",
        "orders": 0
      },
      "committed": "12",
      "fulfilled": "0",
      "holds": [
        {
          "committed": "12",
          "fulfilled": "0",
          "order": "id:1001",
          "status": "PROCESSED",
          "why": {
            "rule": "promised",
            "text": "The goods have not left yet, so the order's lines are committed."
          }
        }
      ],
      "holds_next_cursor": null,
      "key": "product:mug",
      "last_changes": null,
      "name": "Blue mug",
      "on_hand": "10",
      "pending": {
        "dead": 1,
        "queued": 1,
        "retrying": 0
      },
      "receipts": [
        {
          "adds": "10",
          "message_id": "00000000-0000-0000-0000-000000000001",
          "received": "10",
          "received_at": "2023-11-14T22:13:20.000Z",
          "reference": "delivery-1"
        }
      ],
      "receipts_next_cursor": null,
      "received": "10",
      "site": "shop",
      "tracked": true
    }
    "#);
}

#[tokio::test]
async fn holds_come_a_hundred_to_a_page() {
    let backends = Backends::open();
    given::policy(&*backends.store).await;
    for number in 0..101 {
        given::order(&*backends.store, "shop", &format!("{number:03}"), "mug", 1).await;
    }
    let console = backends.serve_console().await;
    let path = "/v1/sites/shop/stock/product%3Amug";
    let (holds, sizes) = console.pages(path, "holds_next_cursor").await;
    assert_eq!(sizes, [100, 1]);
    assert_eq!(holds[100]["order"], "id:100");
}

#[tokio::test]
async fn an_order_is_shown_with_its_lines_and_its_timeline() {
    let backends = Backends::open();
    given::shop(&*backends.store).await;
    let console = backends.serve_console().await;
    let mut order = console.json("/v1/sites/shop/orders/id:1001").await;
    let revision = order["revision"].take();
    let revision = revision.as_str().unwrap();
    assert!(revision.len() == 16 && u64::from_str_radix(revision, 16).is_ok(), "{revision}");
    assert!(Shown::parse(order["shown"].take().as_str().unwrap()).is_ok());
    insta::assert_snapshot!(pretty(&order), @r#"
    {
      "after_deletion": false,
      "ambiguous": false,
      "contested": false,
      "corrections": [],
      "deleted": false,
      "holds": [
        {
          "committed": "12",
          "fulfilled": "0",
          "key": "product:mug"
        }
      ],
      "left_since": null,
      "mode": "LIVE",
      "names": [],
      "order": "id:1001",
      "refunds": [],
      "rekeyed_lines": 0,
      "revision": null,
      "shown": null,
      "site": "shop",
      "snapshot": {
        "event_timestamp": "2023-11-14T22:13:20.000Z",
        "lines": [
          {
            "key": null,
            "quantity": "1"
          },
          {
            "id": "L1",
            "key": "product:mug",
            "product_id": "mug",
            "quantity": "12"
          }
        ]
      },
      "status": "PROCESSED",
      "timeline": [
        {
          "event_timestamp": "2023-11-14T22:13:20.000Z",
          "event_type": "ECOMM_ORDER_UPDATED",
          "message_id": "00000000-0000-0000-0000-000000000001",
          "outcome": "applied",
          "received_at": "2023-11-14T22:13:20.250Z",
          "status": "PROCESSED"
        }
      ],
      "unmapped_lines": 1,
      "waiting": false,
      "wanted": false,
      "why": {
        "rule": "promised",
        "text": "The goods have not left yet, so the order's lines are committed."
      }
    }
    "#);
}

#[tokio::test]
async fn an_order_that_waits_for_a_snapshot_says_what_the_notice_said() {
    let backends = Backends::open();
    given::shop(&*backends.store).await;
    let console = backends.serve_console().await;
    let order = console.json("/v1/sites/shop/orders/store-order:77%2F5").await;
    assert_eq!(order["order"], "store-order:77/5");
    assert_eq!(order["status"], "PAID AWAITING_PROCESSING");
    assert_eq!((&order["waiting"], &order["why"]["rule"]), (&json!(true), &json!("no_snapshot")));
    let unknown = [&order["mode"], &order["snapshot"], &order["shown"], &order["left_since"]];
    assert_eq!(unknown, [&Value::Null; 4]);
    assert_eq!(order["holds"], json!([]));
}

#[tokio::test]
async fn the_catalogue_is_listed() {
    let backends = Backends::open();
    given::shop(&*backends.store).await;
    given::product(&*backends.store, "shop", "zebra", "Zebra").await;
    let console = backends.serve_console().await;
    let (entries, sizes) = console.pages("/v1/sites/shop/catalogue?limit=1", "next_cursor").await;
    assert_eq!(sizes, [1, 1]);
    let mug = json!({
        "entry": "product:mug", "name": "Blue mug", "sku": "MUG-1",
        "stock_keys": ["product:mug", "sku:MUG-1"], "deleted": false,
        "changed_at": "2023-11-14T22:13:20.000Z",
    });
    assert_eq!(entries[0], mug);
    assert_eq!(entries[1]["entry"], "product:zebra");
}

#[tokio::test]
async fn dead_letters_are_listed_oldest_first_without_bodies() {
    let backends = Backends::open();
    given::dead_letters(&*backends.store).await;
    let console = backends.serve_console().await;
    let (letters, sizes) = console.pages("/v1/dead-letters?limit=2", "next_cursor").await;
    assert_eq!(sizes, [2, 1]);
    insta::assert_snapshot!(pretty(&letters[1]), @r#"
    {
      "attempts": 1,
      "detail": "data.items[0].quantity: found a list",
      "edited": false,
      "event_type": "ECOMM_ORDER_CREATED",
      "first_failed_at": "2023-11-15T00:13:21.000Z",
      "generation": 1,
      "id": "00000000-0000-0000-0000-000000000002",
      "order": "id:9",
      "reason": "decode.invalid_quantity",
      "replays": 0,
      "site": "shop"
    }
    "#);
    assert_eq!(letters[0].get("body"), None);
}

#[tokio::test]
async fn dead_letters_are_selected_by_every_filter() {
    let backends = Backends::open();
    given::dead_letters(&*backends.store).await;
    let console = backends.serve_console().await;
    let [first, second, third] = [1, 2, 3].map(|number| given::message(number).to_string());
    let cases = [
        ("reason=decode.not_json".to_owned(), vec![&first, &third]),
        ("site=shop".to_owned(), vec![&second]),
        ("older_than=2023-11-15T00:30:00Z".to_owned(), vec![&first, &second]),
        ("older_than=1h".to_owned(), vec![&first, &second, &third]),
        (format!("id={third},{second}"), vec![&second, &third]),
        (format!("id={third}&reason=decode.not_json"), vec![&third]),
        ("site=other".to_owned(), vec![]),
    ];
    for (query, expected) in cases {
        let letters = console.json(&format!("/v1/dead-letters?{query}")).await;
        assert_eq!(field(letters["items"].as_array().unwrap(), "id"), expected, "{query}");
    }
}

#[tokio::test]
async fn a_dead_letter_is_shown_with_headers_and_body() {
    let backends = Backends::open();
    given::dead_letters(&*backends.store).await;
    let console = backends.serve_console().await;
    let letter = console.json(&format!("/v1/dead-letters/{}", given::message(1))).await;
    insta::assert_snapshot!(pretty(&letter), @r#"
    {
      "attempts": 1,
      "body": {
        "text": "{\"half\": "
      },
      "detail": "line 1 column 9: unexpected end",
      "edited": false,
      "first_failed_at": "2023-11-14T23:13:21.000Z",
      "generation": 1,
      "headers": {
        "received_at": "2023-11-14T23:13:20.000Z",
        "source": "duda",
        "type": "duda.webhook"
      },
      "id": "00000000-0000-0000-0000-000000000001",
      "reason": "decode.not_json",
      "replays": 0
    }
    "#);
    let binary = console.json(&format!("/v1/dead-letters/{}", given::message(3))).await;
    assert_eq!(binary["body"], json!({"base64": "//4="}));
}

#[tokio::test]
async fn queues_are_counted_where_envelopes_wait() {
    let backends = Backends::open();
    let console = backends.serve_console().await;
    let empty = json!({
        "work": {"ready": 0, "in_flight": 0, "oldest_age_seconds": null},
        "retry": {"ready": 0},
        "dead": {"intake": 0, "parked": 0},
        "paused": null,
    });
    assert_eq!(console.json("/v1/queues").await, empty);
    given::dead_letters(&*backends.store).await;
    let mut envelope = given::envelope(8, 0, b"{}");
    envelope.received_at = storekeeper::clock::now().plus_micros(-90_000_000);
    backends.broker.publish(envelope).await.unwrap();
    let queues = console.json("/v1/queues").await;
    assert_eq!(queues["work"]["ready"], 1);
    assert_eq!(queues["dead"], json!({"intake": 0, "parked": 3}));
    let age = queues["work"]["oldest_age_seconds"].as_u64().unwrap();
    assert!((90..600).contains(&age), "{age}");
}
