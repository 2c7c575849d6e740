//! What the API refuses, and how.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Backends, given};

#[tokio::test]
async fn every_refusal_is_a_problem_with_its_code() {
    let backends = Backends::open();
    given::shop(&*backends.store).await;
    let console = backends.serve_console().await;
    let long = format!("/v1/sites/{}/stock", "x".repeat(257));
    for (path, status, code) in [
        ("/", 404, "route.unknown"),
        ("/v1/sites/", 404, "route.unknown"),
        ("/v1/sites/shop/orders/store-order:77/5", 404, "route.unknown"),
        ("/v1/sites/shop/stock/product:none", 404, "stock.unknown"),
        ("/v1/sites/shop/stock/none", 404, "stock.unknown"),
        ("/v1/sites/shop/stock/colour:red", 404, "stock.unknown"),
        ("/v1/sites/other/stock", 404, "site.unknown"),
        ("/v1/sites/other/stock/product:mug", 404, "site.unknown"),
        ("/v1/sites/other/orders", 404, "site.unknown"),
        ("/v1/sites/other/orders/1001", 404, "site.unknown"),
        ("/v1/sites/other/catalogue", 404, "site.unknown"),
        ("/v1/sites/other/changes", 404, "site.unknown"),
        ("/v1/sites/shop/orders/id:1", 404, "order.unknown"),
        ("/v1/sites/shop/orders/1", 404, "order.unknown"),
        ("/v1/dead-letters/0197c7f5-7d3c-7a51-9d0a-2f1f0a6c9c11", 404, "dead_letter.unknown"),
        (&long, 400, "request.invalid"),
        ("/v1/sites/%ff/stock", 400, "request.invalid"),
        ("/v1/sites/a%0Ab/stock", 400, "request.invalid"),
        ("/v1/sites/shop/stock/a%0Ab", 400, "request.invalid"),
        ("/v1/sites/shop/orders/a%0Ab", 400, "request.invalid"),
        ("/v1/sites/shop/orders?flag=settled", 400, "request.invalid"),
        ("/v1/sites/shop/orders?older_than=yesterday", 400, "request.invalid"),
        ("/v1/sites/shop/orders?cursor=!", 400, "request.invalid"),
        ("/v1/sites/shop/stock?limit=0", 400, "request.invalid"),
        ("/v1/sites/shop/stock?limit=501", 400, "request.invalid"),
        ("/v1/sites/shop/stock?limit=many", 400, "request.invalid"),
        ("/v1/sites/shop/stock?cursor=!", 400, "request.invalid"),
        ("/v1/sites/shop/stock?cursor=", 400, "request.invalid"),
        ("/v1/sites/shop/stock?prefix=a", 400, "request.invalid"),
        ("/v1/sites/shop/stock?limit=1&limit=2", 400, "request.invalid"),
        ("/v1/sites?cursor=eA", 400, "request.invalid"),
        ("/v1/dead-letters?sit=shop", 400, "request.invalid"),
        ("/v1/dead-letters?site=", 400, "request.invalid"),
        ("/v1/dead-letters?reason=decode.nothing", 400, "request.invalid"),
        ("/v1/dead-letters?older_than=yesterday", 400, "request.invalid"),
        ("/v1/dead-letters?id=7", 400, "request.invalid"),
        ("/v1/dead-letters?cursor=eA", 400, "request.invalid"),
        ("/v1/dead-letters/7", 400, "request.invalid"),
    ] {
        let answer = console.get(path).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{path}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], code, "{path}: {problem}");
        assert_eq!(problem["status"], status, "{path}");
        assert!(!problem["detail"].as_str().unwrap().is_empty(), "{path}");
    }
}

#[tokio::test]
async fn a_misspelt_parameter_is_named_with_what_there_is() {
    let console = Backends::open().serve_console().await;
    let problem: Value = console.get("/v1/dead-letters?sit=shop").await.json().await.unwrap();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("`sit`") && detail.contains("`site`"), "{detail}");
}

#[tokio::test]
async fn a_path_says_which_methods_it_takes() {
    let console = Backends::open().serve_console().await;
    let url = format!("{}/v1/queues", console.url);
    let request = console.client.request(Method::POST, url);
    let request = request.header("content-type", "application/json");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 405);
    assert_eq!(answer.headers()["allow"], "GET,HEAD");
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "request.method");
}

#[tokio::test]
async fn a_foreign_name_for_this_machine_is_refused_everywhere() {
    let console = Backends::open().serve_console().await;
    for path in ["/v1/sites", "/nothing"] {
        let request = console.client.get(format!("{}{path}", console.url));
        let answer = request.header("host", "shop.example").send().await.unwrap();
        assert_eq!(answer.status(), 403, "{path}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], "auth.forbidden");
    }
}

#[tokio::test]
async fn a_delete_needs_neither_a_body_nor_a_media_type() {
    let backends = Backends::open();
    let console = backends.serve_console().await;
    let url = format!("{}/v1/dead-letters/{}", console.url, given::message(1));
    for (body, kind, status, code) in [
        ("", None, 404, "dead_letter.unknown"),
        ("", Some("text/plain"), 404, "dead_letter.unknown"),
        ("{}", Some("application/json"), 404, "dead_letter.unknown"),
        ("{}", Some("text/plain"), 415, "request.media_type"),
        ("{}", None, 415, "request.media_type"),
    ] {
        let request = console.client.delete(&url).body(body);
        let request =
            kind.into_iter().fold(request, |request, kind| request.header("content-type", kind));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{body} {kind:?}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], code, "{body} {kind:?}");
    }
}

#[tokio::test]
async fn every_answer_forbids_browsers_to_keep_or_run_it() {
    let console = Backends::open().serve_console().await;
    for path in ["/v1/sites", "/nothing", "/v1/openapi.json"] {
        let answer = console.get(path).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ] {
            assert_eq!(answer.headers()[name], value, "{path}");
        }
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_answered_503() {
    let backends = Backends::open();
    let console = backends.serve_console().await;
    backends.store.close().await;
    for path in ["/v1/sites", "/v1/sites/a/stock", "/v1/dead-letters", "/v1/queues"] {
        let answer = console.get(path).await;
        assert_eq!(answer.status(), 503, "{path}");
        assert!(answer.headers().contains_key("retry-after"), "{path}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], "store.unavailable", "{path}");
    }
}

#[tokio::test]
async fn stock_is_shown_while_the_broker_is_away() {
    let backends = Backends::open();
    given::shop(&*backends.store).await;
    let console = backends.serve_console().await;
    backends.broker.close().await;
    let item = console.json("/v1/sites/shop/stock/product:mug").await;
    assert_eq!(item["available"], "-2");
    assert_eq!(item["pending"]["queued"], Value::Null);
    let answer = console.get("/v1/queues").await;
    assert_eq!(answer.status(), 503);
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "broker.unavailable");
}

#[tokio::test]
async fn every_documented_route_is_served() {
    let console = Backends::open().serve_console().await;
    let document = console.json("/v1/openapi.json").await;
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 24);
    for path in paths.keys() {
        let path = path.replace("{site}", "shop").replace("{key}", "sku:1");
        let path = path.replace("{name}", "1").replace("{id}", &given::message(1).to_string());
        let answer = console.get(&path).await;
        let body: Value = answer.json().await.unwrap();
        assert_ne!(body["code"], "route.unknown", "{path}");
    }
}

/// Nothing works on the queue here.
#[tokio::test]
async fn a_receipt_that_is_only_queued_is_202_and_comes_again_as_one() {
    let backends = Backends::open();
    let console = backends.serve_console().await;
    let url = format!("{}/v1/sites/shop/stock/sku:1/count", console.url);
    let count = json!({"on_hand": 4, "reference": "C", "create": true});
    let ask = || console.client.put(&url).json(&count).send();
    let (first, second) = tokio::join!(ask(), ask());
    for answer in [first, second] {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 202);
        let answer: Value = answer.json().await.unwrap();
        assert_eq!((&answer["state"], &answer["difference"]), (&json!("queued"), &json!("4")));
        // The other may be queued before it; its own message is not pending.
        assert!(answer["pending"]["queued"].as_u64() < Some(2), "{answer}");
    }
    let journal = backends.broker.journal(None, 10).await.unwrap();
    assert_eq!(journal.len(), 2, "both are durable, and the worker counts one");
}

#[tokio::test]
async fn a_receipt_that_no_broker_takes_is_503() {
    let backends = Backends::open();
    let console = backends.serve_console().await;
    backends.broker.close().await;
    let url = format!("{}/v1/sites/shop/stock/sku:1/receipts", console.url);
    let goods = json!({"quantity": 4, "reference": "C", "create": true});
    let answer = console.client.post(url).json(&goods).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "broker.unavailable");
}
