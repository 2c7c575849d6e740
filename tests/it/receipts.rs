//! Goods and counts, from being asked for to the stock: the real binary, through its API.

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Server, eventually};

const RECEIPTS: &str = "/v1/sites/shop/stock/sku:A%2F1/receipts";
const COUNT: &str = "/v1/sites/shop/stock/sku:A%2F1/count";
const ADJUSTMENTS: &str = "/v1/sites/shop/stock/sku:A%2F1/adjustments";
const VOIDS: &str = "/v1/sites/shop/stock/sku:A%2F1/voids";
const ITEM: &str = "/v1/sites/shop/stock/sku:A%2F1";

async fn send(server: &Server, method: Method, path: &str, body: String) -> Response {
    let request = reqwest::Client::new().request(method, server.console(path));
    request.header("content-type", "application/json").body(body).send().await.unwrap()
}

async fn change(server: &Server, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
    let answer = send(server, method, path, body.to_string()).await;
    (answer.status(), answer.json().await.unwrap())
}

/// Counts goods or a count that must be applied.
async fn applied(server: &Server, method: Method, path: &str, body: &Value) -> Value {
    let (status, answer) = change(server, method, path, body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["state"], "applied");
    answer
}

async fn item(server: &Server) -> Value {
    reqwest::get(server.console(ITEM)).await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn goods_are_counted_once_for_their_reference() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    let goods = json!({"quantity": "12.5", "reference": "PO 7/ü", "create": true});
    let first = applied(&server, Method::POST, RECEIPTS, &goods).await;
    assert_eq!(first["site"], "shop");
    assert_eq!(first["key"], "sku:A/1");
    assert_eq!(first["reference"], "PO 7/ü");
    assert_eq!(first["received"], "12.5");
    assert_eq!(first["pending"], Value::Null);
    assert!(first.get("on_hand").is_none() && first.get("difference").is_none(), "{first}");
    // The same number in other words is the same content.
    let again = json!({"quantity": 12.50, "reference": "PO 7/ü"});
    let again = applied(&server, Method::POST, RECEIPTS, &again).await;
    assert_eq!(again["message_id"], first["message_id"]);
    assert_eq!(
        (&first["before"]["received"], &first["after"]["received"]),
        (&json!("0"), &json!("12.5"))
    );
    assert_eq!((&again["before"], &again["after"]), (&first["after"], &first["after"]));
    assert_eq!(item(&server).await["received"], "12.5");
    let other = json!({"quantity": 12, "reference": "PO 7/ü"});
    let (status, problem) = change(&server, Method::POST, RECEIPTS, &other).await;
    assert_eq!((status.as_u16(), &problem["code"]), (409, &json!("receipt.reference_reused")));
    let count = json!({"on_hand": "12.5", "reference": "PO 7/ü"});
    let (status, _) = change(&server, Method::PUT, COUNT, &count).await;
    assert_eq!(status, 409, "a count is other content than goods");
    assert_eq!(item(&server).await["received"], "12.5");
}

#[tokio::test]
async fn a_count_sets_what_is_on_hand_once() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    applied(
        &server,
        Method::POST,
        RECEIPTS,
        &json!({"quantity": 10, "reference": "R", "create": true}),
    )
    .await;
    let found = json!({"on_hand": "7.25", "reference": "C"});
    let first = applied(&server, Method::PUT, COUNT, &found).await;
    assert_eq!((&first["on_hand"], &first["difference"]), (&json!("7.25"), &json!("-2.75")));
    assert_eq!(first["pending"], json!({"queued": 0, "retrying": 0}));
    assert!(first.get("received").is_none(), "{first}");
    applied(&server, Method::POST, RECEIPTS, &json!({"quantity": 1, "reference": "R2"})).await;
    // Its difference would be another now; it is the first that counts.
    let again = applied(&server, Method::PUT, COUNT, &found).await;
    assert_eq!(again["message_id"], first["message_id"]);
    assert_eq!((&again["difference"], &again["pending"]), (&json!("-2.75"), &Value::Null));
    assert_eq!(item(&server).await["on_hand"], "8.25");
}

#[tokio::test]
async fn requests_with_one_reference_at_a_time_are_counted_once() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    let goods = json!({"quantity": 3, "reference": "R", "create": true});
    let asked = (0..8).map(|_| applied(&server, Method::POST, RECEIPTS, &goods));
    futures_util::future::join_all(asked).await;
    eventually("every message was settled", async || {
        let queues = reqwest::get(server.console("/v1/queues")).await.unwrap();
        let queues: Value = queues.json().await.unwrap();
        (queues["work"] == json!({"ready": 0, "in_flight": 0, "oldest_age_seconds": null}))
            .then_some(())
    })
    .await;
    assert_eq!(item(&server).await["received"], "3");
}

#[tokio::test]
async fn what_is_no_receipt_is_refused_and_counts_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    for body in [
        "",
        "{",
        "[1, \"R\"]",
        r#"{"quantity": 1}"#,
        r#"{"quantity": 1, "reference": "R", "note": "x"}"#,
        r#"{"quantity": -1, "reference": "R"}"#,
        r#"{"quantity": 0.0000001, "reference": "R"}"#,
        r#"{"quantity": 1, "reference": "a\u0000b"}"#,
        r#"{"quantity": 1, "reference": "R"} {}"#,
    ] {
        let answer = send(&server, Method::POST, RECEIPTS, body.to_owned()).await;
        assert_eq!(answer.status(), 400, "{body}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], "request.invalid", "{body}");
    }
    let large = format!(r#"{{"quantity": 1, "reference": "{}"}}"#, "x".repeat(20_000));
    let answer = send(&server, Method::POST, RECEIPTS, large).await;
    assert_eq!(answer.status(), 413);
    let goods = r#"{"quantity": 1, "reference": "R"}"#.to_owned();
    let made = r#"{"quantity": 1, "reference": "R", "create": true}"#.to_owned();
    let answer = send(&server, Method::POST, "/v1/sites/shop/stock/A/receipts", made);
    assert_eq!(answer.await.status(), 400, "a new item has a kind");
    // As a page of another site can make a browser send it.
    for content_type in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let request = reqwest::Client::new().post(server.console(RECEIPTS)).body(goods.clone());
        let answer = request.header("content-type", content_type).send().await.unwrap();
        assert_eq!(answer.status(), 415, "{content_type:?}");
    }
    assert_eq!(item(&server).await["code"], "site.unknown");
}

#[tokio::test]
async fn what_the_worker_cannot_count_is_said_to_be_a_dead_letter() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    let goods = json!({"quantity": 1, "reference": "R", "create": true});
    applied(&server, Method::POST, RECEIPTS, &goods).await;
    let stock = rusqlite::Connection::open(directory.path().join("data/store.db")).unwrap();
    // As much as a stock item may be.
    let full = "UPDATE stock SET received = 4000000000000000000";
    assert_eq!(stock.execute(full, ()).unwrap(), 1);
    let more = json!({"quantity": 1, "reference": "R2"});
    let (status, problem) = change(&server, Method::POST, RECEIPTS, &more).await;
    assert_eq!((status.as_u16(), &problem["code"]), (409, &json!("receipt.dead_letter")));
    assert!(problem["detail"].as_str().unwrap().contains("stock.overflow"), "{problem}");
    let count = json!({"on_hand": 1, "reference": "C"});
    let (status, problem) = change(&server, Method::PUT, COUNT, &count).await;
    assert_eq!((status.as_u16(), &problem["code"]), (400, &json!("request.invalid")));
    assert_eq!(item(&server).await["received"], "4000000000000");
}

#[tokio::test]
async fn an_item_or_a_site_is_made_only_if_that_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    let goods = json!({"quantity": 1, "reference": "R"});
    let count = json!({"on_hand": 1, "reference": "R"});
    let adjustment = json!({"quantity": -1, "reference": "R", "reason": "lost"});
    let needed = (409, json!("stock.create_needed"));
    for (method, path, body) in [
        (Method::POST, RECEIPTS, &goods),
        (Method::PUT, COUNT, &count),
        (Method::POST, ADJUSTMENTS, &adjustment),
    ] {
        let (status, problem) = change(&server, method, path, body).await;
        assert_eq!((status.as_u16(), problem["code"].clone()), needed, "{path}");
    }
    // What takes back never makes: there is nothing to ask for.
    let void = json!({"reference": "R"});
    let (status, problem) = change(&server, Method::POST, VOIDS, &void).await;
    assert_eq!((status.as_u16(), &problem["code"]), (404, &json!("site.unknown")));
    let mut made = adjustment.clone();
    made["create"] = json!(true);
    applied(&server, Method::POST, ADJUSTMENTS, &made).await;
    let other = "/v1/sites/shop/stock/sku:B/receipts";
    let (status, problem) = change(&server, Method::POST, other, &goods).await;
    assert_eq!((status.as_u16(), problem["code"].clone()), needed);
    let bare = "/v1/sites/shop/stock/B/receipts";
    let (status, problem) = change(&server, Method::POST, bare, &goods).await;
    assert_eq!((status.as_u16(), &problem["code"]), (404, &json!("stock.unknown")));
    assert_eq!(item(&server).await["received"], "-1");
}

#[tokio::test]
async fn what_stands_under_a_reference_is_adjusted_and_taken_back() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    let goods = json!({"quantity": 10, "reference": "R", "create": true, "reason": "opening"});
    applied(&server, Method::POST, RECEIPTS, &goods).await;
    let lost = json!({"quantity": "-2.5", "reference": "D", "reason": "fell down"});
    let first = applied(&server, Method::POST, ADJUSTMENTS, &lost).await;
    assert_eq!((&first["received"], &first["after"]["on_hand"]), (&json!("-2.5"), &json!("7.5")));
    let again = applied(&server, Method::POST, ADJUSTMENTS, &lost).await;
    assert_eq!(again["message_id"], first["message_id"]);
    // By another name of the item.
    let path = VOIDS.replace("sku:A", "A");
    let void = applied(&server, Method::POST, &path, &json!({"reference": "R"})).await;
    assert_eq!((&void["key"], &void["void"]), (&json!("sku:A/1"), &json!(true)));
    assert_eq!(
        (&void["before"]["received"], &void["after"]["received"]),
        (&json!("7.5"), &json!("-2.5"))
    );
    assert!(void.get("received").is_none() && void.get("on_hand").is_none(), "{void}");
    let again = applied(&server, Method::POST, VOIDS, &json!({"reference": "R"})).await;
    assert_eq!(again["message_id"], void["message_id"]);
    for body in [
        json!({"quantity": -1, "reference": "D2"}),
        json!({"quantity": "1e3", "reference": "D2", "reason": "x"}),
        json!({"quantity": -1, "reference": "D2", "reason": ""}),
    ] {
        let (status, problem) = change(&server, Method::POST, ADJUSTMENTS, &body).await;
        assert_eq!((status.as_u16(), &problem["code"]), (400, &json!("request.invalid")), "{body}");
    }
    assert_eq!(item(&server).await["received"], "-2.5");
}
