//! Every payload of Duda's documentation, posted to a real server, and where each ends.
//!
//! Goal: all 25 are answered 200; one is no JSON and waits for a person, each other one is applied
//! to the one thing that it is about, and moves the stock as the rules say. The bodies are ours, in
//! the exact shape of the documented ones. They are posted page by page, as they are printed.

use reqwest::Method;
use serde_json::{Value, json};

use super::{code, committed, fixture, get, post, settled};
use crate::bodies::rejected;
use crate::harness::{Server, command, eventually};

/// The site of the guide, and of the orders on the first page on the native store.
const LANTERNS: &str = "lantern-house-2f81c3";
/// The site of that page's categories.
const LAMPS: &str = "c41f77d0";
/// The site of the second page's products.
const CANDLES: &str = "b7d2e9";
/// The site of that page's order, categories and refund.
const TILL: &str = "8e05ab31";
/// The site of the third-party store.
const THIRD_PARTY: &str = "f19a60d4";

const GUIDES_ORDER: &str = "orders/external-id:web-7741";
const ORDER: &str = "orders/id:5b0d7e12-93c4-4f6a-8a1b-2d70c9e4f358";
const EXTERNAL_ORDER: &str = "orders/id:c84e1f90-2b6d-4d37-b5a9-70f3e6d812ac";
const NOTICED_ORDER: &str = "orders/store-order:52077916%2F1";

/// A payload, where it ends, and what the API says there afterwards: of an order also the stock of
/// its site, of a catalogue all entries.
type Payload = (&'static str, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const PAYLOADS: [Payload; 24] = [
    ("guide_order_created", LANTERNS, GUIDES_ORDER,
        "PROCESSED, holds variation:Vamber-s 1; stock variation:Vamber-s 1/-1"),
    ("guide_order_status_updated", LANTERNS, GUIDES_ORDER,
        "PROCESSED, holds variation:Vamber-s 3; stock variation:Vamber-s 3/-3"),
    ("guide_order_deleted", LANTERNS, GUIDES_ORDER,
        "PROCESSED, deleted, holds; stock variation:Vamber-s 0/0"),
    // An order of its own, though it bears the invoice number of the guide's.
    ("order_created", LANTERNS, ORDER,
        "PROCESSED, holds variation:Vamber-s 1; stock variation:Vamber-s 1/-1"),
    ("order_updated", LANTERNS, ORDER,
        "PROCESSED, holds variation:Vamber-s 1; stock variation:Vamber-s 1/-1"),
    ("category_created", LAMPS, "catalogue", "category:kR4tWq8N Lamps"),
    ("category_updated", LAMPS, "catalogue", "category:kR4tWq8N Lamps, category:xJ7mBv2L Lamps"),
    ("ecomm_product_created", CANDLES, "catalogue", "product:gY6rVh3Q Storm candle"),
    ("ecomm_product_updated", CANDLES, "catalogue", "product:gY6rVh3Q Storm candle"),
    ("ecomm_product_deleted", CANDLES, "catalogue", "product:gY6rVh3Q Storm candle deleted"),
    ("order_created_external", TILL, EXTERNAL_ORDER,
        "IN_PROGRESS, holds line:1d95b3e7-48fa-4c02-9e6b-a7c0f25d8413 1; \
         stock line:1d95b3e7-48fa-4c02-9e6b-a7c0f25d8413 1/-1"),
    ("order_updated_external", TILL, EXTERNAL_ORDER,
        "IN_PROGRESS, holds line:1d95b3e7-48fa-4c02-9e6b-a7c0f25d8413 2; \
         stock line:1d95b3e7-48fa-4c02-9e6b-a7c0f25d8413 2/-2"),
    ("ecomm_category_created", TILL, "catalogue", "category:z2XkPd7U Outdoor light"),
    ("ecomm_category_updated", TILL, "catalogue", "category:z2XkPd7U Outdoor light"),
    ("ecomm_category_deleted", TILL, "catalogue", "category:z2XkPd7U Outdoor light deleted"),
    ("third_party_order_created", THIRD_PARTY, NOTICED_ORDER,
        "AWAITING_PAYMENT AWAITING_PROCESSING, waiting, holds; stock"),
    ("third_party_order_updated", THIRD_PARTY, NOTICED_ORDER,
        "PAID DELIVERED, waiting, holds; stock"),
    ("third_party_order_deleted", THIRD_PARTY, NOTICED_ORDER, "PAID DELIVERED, deleted, holds; stock"),
    ("third_party_product_created", THIRD_PARTY, "catalogue", "store-product:52077916/1"),
    ("third_party_product_updated", THIRD_PARTY, "catalogue", "store-product:52077916/1"),
    ("third_party_product_deleted", THIRD_PARTY, "catalogue", "store-product:52077916/1 deleted"),
    ("third_party_category_created", THIRD_PARTY, "catalogue",
        "store-category:52077916/1, store-product:52077916/1 deleted"),
    ("third_party_category_updated", THIRD_PARTY, "catalogue",
        "store-category:52077916/1, store-product:52077916/1 deleted"),
    ("third_party_category_deleted", THIRD_PARTY, "catalogue",
        "store-category:52077916/1 deleted, store-product:52077916/1 deleted"),
];

/// After how many of the others the refund is posted: that of the second page is its last.
const BEFORE_THE_REFUND: usize = 15;

/// The refund of the second page, in which two commas are missing.
fn broken_refund() -> String {
    let is_it = |name: &str| name == "refund_created_without_two_commas.json";
    let found = rejected().into_iter().find(|(_, body)| is_it(&body.name)).unwrap();
    String::from_utf8(found.1.bytes).unwrap()
}

/// What the API says of an order and of the stock of its site, or of a catalogue.
async fn told(server: &Server, site: &str, thing: &str) -> String {
    let found = get(server, &format!("/v1/sites/{site}/{thing}")).await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if thing == "catalogue" {
        let entry = |entry: &Value| {
            let deleted = if entry["deleted"] == true { "deleted" } else { "" };
            let mut words = vec![text(&entry["entry"]), text(&entry["name"]), deleted.to_owned()];
            words.retain(|word| !word.is_empty());
            words.join(" ")
        };
        return list(&found["items"], entry).join(", ");
    }
    assert_eq!(found["left_since"], Value::Null, "{found}");
    let mut facts = vec![text(&found["status"])];
    for fact in ["deleted", "waiting", "ambiguous", "contested", "after_deletion"] {
        facts.push(if found[fact] == true { fact } else { "" }.to_owned());
    }
    facts.retain(|fact| !fact.is_empty());
    let holds = list(&found["holds"], |hold| {
        assert_eq!(hold["fulfilled"], "0", "{found}");
        format!(" {} {}", text(&hold["key"]), text(&hold["committed"]))
    });
    let stock = get(server, &format!("/v1/sites/{site}/stock")).await;
    let stock = list(&stock["items"], |item| {
        let key = text(&item["key"]);
        format!(" {key} {}/{}", text(&item["committed"]), text(&item["available"]))
    });
    format!("{}, holds{}; stock{}", facts.join(", "), holds.concat(), stock.concat())
}

fn list(items: &Value, one: impl Fn(&Value) -> String) -> Vec<String> {
    items.as_array().unwrap().iter().map(one).collect()
}

#[tokio::test]
async fn every_documented_payload_ends_where_the_rules_say() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    let mut refund = None;
    for (place, (name, site, thing, expected)) in PAYLOADS.into_iter().enumerate() {
        if place == BEFORE_THE_REFUND {
            let id = post(&server, broken_refund()).await;
            settled(&server).await;
            assert_eq!(code(&server, &id).await, "decode.not_json");
            refund = Some(id);
        }
        let id = post(&server, fixture(&format!("{name}.json"))).await;
        settled(&server).await;
        assert_eq!(told(&server, site, thing).await, expected, "after {name}");
        if thing != "catalogue" {
            let order = get(&server, &format!("/v1/sites/{site}/{thing}")).await;
            let happened = order["timeline"].as_array().unwrap();
            let entry = happened.iter().find(|entry| entry["message_id"] == id.as_str()).unwrap();
            assert_eq!((&entry["outcome"], &entry["reason"]), (&json!("applied"), &Value::Null));
        }
    }
    let letters = get(&server, "/v1/dead-letters").await;
    let letters = letters["items"].as_array().unwrap();
    assert_eq!((letters.len(), &letters[0]["id"]), (1, &json!(refund)), "{letters:?}");
    let sites = get(&server, "/v1/sites").await;
    let sites: Vec<_> = sites["items"].as_array().unwrap().iter().map(|it| &it["site"]).collect();
    assert_eq!(sites, [TILL, CANDLES, LAMPS, THIRD_PARTY, LANTERNS]);
    let metrics = reqwest::get(format!("http://{}/metrics", server.addresses.probes)).await;
    let metrics = metrics.unwrap().text().await.unwrap();
    let mut counted: Vec<_> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("storekeeper_events_settled"))
        .collect();
    counted.sort_unstable();
    assert_eq!(
        counted,
        [
            "_total{outcome=\"applied\",reason=\"\"} 24",
            "_total{outcome=\"dead_letter\",reason=\"decode.not_json\"} 1",
        ]
    );
}

/// How a person mends and replays a dead letter.
#[derive(Debug, Clone, Copy)]
enum By {
    Api,
    Command,
}

/// Writes another body for a letter, and replays it.
async fn mend(server: &Server, directory: &std::path::Path, by: By, id: &str, body: &str) {
    let said = |arguments: &[&str]| {
        let output = command(directory, &[]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    };
    let ask = async |method: Method, path: &str, body: Value| {
        let request = reqwest::Client::new().request(method, server.console(path)).json(&body);
        request.send().await.unwrap().error_for_status().unwrap()
    };
    let letter = format!("/v1/dead-letters/{id}");
    match by {
        By::Api => drop(ask(Method::PUT, &format!("{letter}/body"), json!({"text": body})).await),
        By::Command => {
            std::fs::write(directory.join("mended.json"), body).unwrap();
            said(&["dead-letters", "edit", id, "--body", "mended.json"]);
        }
    }
    eventually("the letter has its new body", async || {
        (get(server, &letter).await["body"]["text"] == body).then_some(())
    })
    .await;
    // Nothing repairs a body but a person, and nothing replays it but one.
    let kept = get(server, &letter).await;
    assert_eq!(kept["original_body"]["text"], broken_refund());
    match by {
        By::Api => {
            drop(ask(Method::POST, "/v1/replays", json!({"selection": {"ids": [id]}})).await);
        }
        By::Command => said(&["dead-letters", "replay", "--id", id]),
    }
    eventually("the letter is gone", async || {
        (get(server, &letter).await["code"] == "dead_letter.unknown").then_some(())
    })
    .await;
    settled(server).await;
}

async fn counts_once_mended(by: By) {
    let directory = tempfile::tempdir().unwrap();
    let lines = [("STOREKEEPER__REFUNDS__RESTOCK", "lines")];
    let server = Server::start(directory.path(), &lines).await;
    // Only two commas are missing.
    let mended =
        broken_refund().replacen("\"line_5521\"", "\"line_5521\",", 1).replacen("1.25", "1.25,", 1);
    assert_eq!(mended, fixture("refund_created.json"));
    let order = json!({
        "event_type": "ECOMM_ORDER_CREATED",
        "event_timestamp": 1_717_401_000_000_i64,
        "resource_data": {"site_name": TILL},
        "data": {
            "id": "order_66120",
            "status": "PROCESSED",
            "items": [{"id": "line_5521", "product_id": "rope", "quantity": 4}],
        },
    });
    post(&server, order.to_string()).await;
    let id = post(&server, broken_refund()).await;
    settled(&server).await;
    assert_eq!(code(&server, &id).await, "decode.not_json");
    assert_eq!(committed(&server, TILL, "product:rope").await, "4", "before it is mended");
    mend(&server, directory.path(), by, &id, &mended).await;
    assert_eq!(committed(&server, TILL, "product:rope").await, "2.75");
    let order = get(&server, &format!("/v1/sites/{TILL}/orders/id:order_66120")).await;
    let entry =
        order["timeline"].as_array().unwrap().iter().find(|it| it["message_id"] == id.as_str());
    assert_eq!(entry.unwrap()["outcome"], "applied", "{order}");
    // Duda sends it again, whole: it is the same refund.
    post(&server, mended).await;
    settled(&server).await;
    assert_eq!(committed(&server, TILL, "product:rope").await, "2.75");
    assert_eq!(get(&server, "/v1/dead-letters").await["items"], json!([]));
}

#[tokio::test]
async fn the_refund_that_is_no_json_counts_once_a_person_mended_it_over_the_api() {
    counts_once_mended(By::Api).await;
}

#[tokio::test]
async fn the_refund_that_is_no_json_counts_once_a_person_mended_it_by_command() {
    counts_once_mended(By::Command).await;
}
