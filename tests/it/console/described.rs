//! The description of the API beside the API: the same paths, methods and answers.
//!
//! Method: each operation that the document has is asked in every way that leads to another answer.
//! What is answered must be described, and what is described must have been answered.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use storekeeper::domain::{Class, Fingerprint, Rank, Shown, Status, Timestamp, Version};
use storekeeper::duties::close_final;
use storekeeper::store::Store;

use super::{Backends, Served, given};

/// A method and a path of the document.
type Operation = (Method, String);
/// Which statuses an operation has.
type Statuses = BTreeMap<Operation, BTreeSet<u16>>;

const LETTER: &str = "00000000-0000-0000-0000-000000000001";
const NOBODY: &str = "0197c7f5-7d3c-7a51-9d0a-2f1f0a6c9c11";

/// A path of the document with names that are there.
fn filled(path: &str) -> String {
    let id = if path.contains("replays") { NOBODY } else { LETTER };
    path.replace("{site}", "shop")
        .replace("{key}", "product:mug")
        .replace("{name}", "id:1001")
        .replace("{id}", id)
}

fn body_of((method, path): &Operation) -> Value {
    match (method.as_str(), path.rsplit('/').next().unwrap()) {
        ("POST", "receipts") => json!({"quantity": "1", "reference": "R"}),
        ("POST", "adjustments") => json!({"quantity": "1", "reference": "A", "reason": "found"}),
        ("POST", "voids") => json!({"reference": "V"}),
        ("POST", "corrections") => json!({
            "action": "hold", "shown": shown(), "reference": "H", "reason": "paid",
        }),
        ("PUT", "count") => json!({"on_hand": "1", "reference": "C"}),
        ("POST", "pause" | "resume") => json!({"reason": "deploy"}),
        ("PUT", "body") => json!({"text": "{}"}),
        _ => json!({}),
    }
}

/// What somebody saw of an order that says something else.
fn shown() -> String {
    let version = Version {
        class: Class::Later,
        event_timestamp: given::START_MS,
        observed_at: 0,
        rank: Rank::Updated,
        status: Status::Processed,
        fingerprint: Fingerprint(1),
    };
    Shown { version, words: Fingerprint(1), deleted: None }.token()
}

fn described(document: &Value) -> Statuses {
    let mut statuses = Statuses::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let answers = operation["responses"].as_object().unwrap().keys();
            let answers = answers.map(|status| status.parse().unwrap()).collect();
            statuses.insert((method, path.clone()), answers);
        }
    }
    statuses
}

/// Asks, and notes what was answered.
struct Asking<'a> {
    console: &'a Served,
    answered: &'a mut Statuses,
}

impl Asking<'_> {
    async fn ask(&mut self, operation: &Operation, path: &str, body: &Value, host: &str) -> u16 {
        let request = self.request(operation, path).header("host", host);
        let request = request.header("content-type", "application/json");
        let has_body = operation.0 != Method::GET;
        let request = if has_body { request.body(body.to_string()) } else { request };
        self.send(operation, path, request).await
    }

    fn request(&self, operation: &Operation, path: &str) -> RequestBuilder {
        self.console.client.request(operation.0.clone(), format!("{}{path}", self.console.url))
    }

    async fn send(&mut self, operation: &Operation, path: &str, request: RequestBuilder) -> u16 {
        let (method, answer) = (&operation.0, request.send().await.unwrap());
        let status = answer.status().as_u16();
        let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
        let is_problem = kind == "application/problem+json";
        assert_eq!(is_problem, status >= 400, "{method} {path}: {status} {kind}");
        self.answered.entry(operation.clone()).or_default().insert(status);
        status
    }

    /// Asks for what is there.
    async fn ask_well(&mut self, operation: &Operation) -> u16 {
        let body = body_of(operation);
        self.ask(operation, &filled(&operation.1), &body, "localhost").await
    }
}

/// A shop with letters, one closed order, and a change feed that was trimmed.
async fn given() -> Backends {
    let backends = Backends::open();
    let store: &dyn Store = &*backends.store;
    given::shop(store).await;
    given::dead_letters(store).await;
    // Of one name with the product.
    given::goods(store, "shop", "sku:mug", 1).await;
    for id in ["2001", "2002"] {
        let data = json!({"id": id, "invoice_number": "INV-7", "status": "PENDING", "items": []});
        given::hook(store, "ECOMM_ORDER_CREATED", (7, 0), &data).await;
    }
    given::delivered_order(store, "shop", "closed").await;
    assert_eq!(close_final(store, Timestamp::from_micros(i64::MAX)).await.unwrap(), 1);
    backends
}

#[tokio::test]
async fn every_path_takes_the_methods_that_are_described() {
    let backends = given().await;
    let console = backends.serve_console().await;
    let described = described(&console.json("/v1/openapi.json").await);
    let mut methods = BTreeMap::<&str, BTreeSet<&str>>::new();
    for (method, path) in described.keys() {
        methods.entry(path).or_default().insert(method.as_str());
    }
    for (path, methods) in methods {
        let url = format!("{}{}", console.url, filled(path));
        let request = console.client.patch(url).header("content-type", "application/json");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 405, "{path}");
        let allowed = answer.headers()["allow"].to_str().unwrap();
        let mut allowed: BTreeSet<_> = allowed.split(',').map(str::trim).collect();
        assert_eq!(allowed.remove("HEAD"), allowed.contains("GET"), "{path}");
        assert_eq!(allowed, methods, "{path}");
    }
}

#[tokio::test]
async fn every_answer_is_described_and_every_described_answer_is_given() {
    let backends = given().await;
    let mut answered = Statuses::new();
    let console = backends.serve_console().await;
    let described = described(&console.json("/v1/openapi.json").await);
    let mut asking = Asking { console: &console, answered: &mut answered };
    for operation in described.keys() {
        if operation.0 == Method::GET || operation.1 == "/v1/replays/{id}" {
            asking.ask_well(operation).await;
        }
        let body = body_of(operation);
        let misspelt = format!("{}?nonsense=1", filled(&operation.1));
        assert_eq!(asking.ask(operation, &misspelt, &body, "localhost").await, 400);
        assert_eq!(asking.ask(operation, &filled(&operation.1), &body, "shop.example").await, 403);
        let form = asking.request(operation, &filled(&operation.1)).body("a=b");
        let form = form.header("content-type", "application/x-www-form-urlencoded");
        assert_eq!(asking.send(operation, &operation.1, form).await, 415);
        let large = json!({"text": "x".repeat(23 * 1024 * 1024)});
        if body != json!({}) || *operation == (Method::POST, "/v1/replays".to_owned()) {
            assert_eq!(
                asking.ask(operation, &filled(&operation.1), &large, "localhost").await,
                413
            );
        }
    }
    ask_what_is_special(&mut asking, &backends).await;
    let closed =
        backends.serve_console_with("read:look-around-0123,operate:act-for-me-01234").await;
    let mut asking = Asking { console: &closed, answered: &mut answered };
    for operation in described.keys() {
        assert_eq!(asking.ask_well(operation).await, 401);
    }
    backends.store.close().await;
    backends.broker.close().await;
    let mut asking = Asking { console: &console, answered: &mut answered };
    for operation in described.keys().filter(|(_, path)| path != "/v1/openapi.json") {
        assert_eq!(asking.ask_well(operation).await, 503, "{operation:?}");
    }
    for (operation, described) in described {
        let answered = &answered[&operation];
        // What went well is shown by the tests of each route, and waits for a worker. The others come
        // of a fault of the program, and of a body or a backend that is slow.
        let unasked = BTreeSet::from([200, 201, 202, 408, 500, 503]);
        let missing: Vec<_> = answered.difference(&described).collect();
        assert!(missing.is_empty(), "{operation:?} answers {missing:?}, and does not say so");
        let made_up: Vec<_> =
            described.difference(answered).filter(|status| !unasked.contains(status)).collect();
        assert!(made_up.is_empty(), "{operation:?} never answers {made_up:?}");
    }
}

/// Asks for what single operations answer.
async fn ask_what_is_special(asking: &mut Asking<'_>, backends: &Backends) {
    let operation = |method, path: &str| (method, path.to_owned());
    let local = "localhost";
    let item = operation(Method::GET, "/v1/sites/{site}/stock/{key}");
    asking.ask(&item, "/v1/sites/shop/stock/sku:none", &Value::Null, local).await;
    let order = operation(Method::GET, "/v1/sites/{site}/orders/{name}");
    asking.ask(&order, "/v1/sites/shop/orders/id:none", &Value::Null, local).await;
    asking.ask(&order, "/v1/sites/shop/orders/id:closed", &Value::Null, local).await;
    asking.ask(&order, "/v1/sites/shop/orders/INV-7", &Value::Null, local).await;
    asking.ask(&item, "/v1/sites/shop/stock/mug", &Value::Null, local).await;
    let receipts = operation(Method::GET, "/v1/sites/{site}/stock/{key}/receipts");
    for (key, status) in [("sku:none", 404), ("mug", 409)] {
        let path = format!("/v1/sites/shop/stock/{key}/receipts");
        assert_eq!(asking.ask(&receipts, &path, &Value::Null, local).await, status);
    }
    for list in ["stock", "orders", "catalogue", "changes"] {
        let of_site = operation(Method::GET, &format!("/v1/sites/{{site}}/{list}"));
        let path = format!("/v1/sites/nowhere/{list}");
        assert_eq!(asking.ask(&of_site, &path, &Value::Null, local).await, 404);
    }
    let correct = operation(Method::POST, "/v1/sites/{site}/orders/{name}/corrections");
    for (name, status) in [("1001", 409), ("id:none", 404), ("closed", 410)] {
        let path = format!("/v1/sites/shop/orders/{name}/corrections");
        assert_eq!(asking.ask(&correct, &path, &body_of(&correct), local).await, status);
    }
    let feed = operation(Method::GET, "/v1/sites/{site}/changes");
    // A cursor of another epoch: `1.elsewhere`.
    let path = "/v1/sites/shop/changes?after=MS5lbHNld2hlcmU";
    asking.ask(&feed, path, &Value::Null, local).await;
    let path = "/v1/sites/shop/changes?key=mug";
    assert_eq!(asking.ask(&feed, path, &Value::Null, local).await, 409);
    let other = format!("/v1/dead-letters/{NOBODY}");
    for (method, path, asked) in [
        (Method::GET, "/v1/dead-letters/{id}", other.clone()),
        (Method::DELETE, "/v1/dead-letters/{id}", other.clone()),
        (Method::PUT, "/v1/dead-letters/{id}/body", format!("{other}/body")),
    ] {
        let operation = operation(method, path);
        asking.ask(&operation, &asked, &body_of(&operation), local).await;
    }
    for (method, last) in [
        (Method::POST, "receipts"),
        (Method::POST, "adjustments"),
        (Method::PUT, "count"),
        (Method::POST, "voids"),
    ] {
        let operation = operation(method, &format!("/v1/sites/{{site}}/stock/{{key}}/{last}"));
        for (key, status) in [("none", 404), ("mug", 409)] {
            let path = format!("/v1/sites/shop/stock/{key}/{last}");
            assert_eq!(asking.ask(&operation, &path, &body_of(&operation), local).await, status);
        }
    }
    let all = json!({"selection": {"ids": [LETTER]}});
    let make = operation(Method::POST, "/v1/replays");
    asking.ask(&make, "/v1/replays", &all, local).await;
    let replay = backends.store.open_replays().await.unwrap()[0].id;
    for (method, path, asked) in [
        (Method::PUT, "/v1/dead-letters/{id}/body", format!("/v1/dead-letters/{LETTER}/body")),
        (Method::DELETE, "/v1/dead-letters/{id}", format!("/v1/dead-letters/{LETTER}")),
        (Method::GET, "/v1/replays/{id}", format!("/v1/replays/{replay}")),
        (Method::DELETE, "/v1/replays/{id}", format!("/v1/replays/{replay}")),
    ] {
        let operation = operation(method, path);
        asking.ask(&operation, &asked, &body_of(&operation), local).await;
    }
}
