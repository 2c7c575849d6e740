//! The runner against a stub: what it does when a server is slow to answer, refuses, or is wrong.
//!
//! The stub's stock is the model's, so these tests say nothing of the rules.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::indexing_slicing, reason = "a failed index is a failed test")]

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use rust_decimal::Decimal;
use secrecy::SecretBox;
use serde_json::{Value, json};
use sha2::Sha256;
use storekeeper::simulate::history::HistoryOptions;
use storekeeper::simulate::model::{Item, Receipt, Verdict};
use storekeeper::simulate::runner::{ConsoleAddress, Pace, run};
use storekeeper::simulate::{Afterwards, History, Model, ModelPolicy, Options};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

const SECRET: &[u8] = b"a secret of bytes \xff";
const NOW_MS: i64 = 1_800_000_000_000;

/// Ingress and console of a stub.
struct Stub {
    model: Model,
    letters: BTreeMap<String, &'static str>,
    /// How often each body was posted.
    posted: HashMap<Bytes, u32>,
    answered: u32,
    /// How often a body is refused before it is taken.
    refusals: u32,
    refuse_with: StatusCode,
    /// An item that the console forgets.
    forgotten: Option<Item>,
}

type Shared = Arc<Mutex<Stub>>;

fn stub() -> Stub {
    Stub {
        model: Model::new(ModelPolicy::default()),
        letters: BTreeMap::new(),
        posted: HashMap::new(),
        answered: 0,
        refusals: 0,
        refuse_with: StatusCode::SERVICE_UNAVAILABLE,
        forgotten: None,
    }
}

/// Serves a stub, after having closed the first connections without an answer; its base address.
async fn serve(stub: &Shared, closed: usize) -> reqwest::Url {
    let router = Router::new()
        .route("/webhooks/duda", post(take))
        .route("/v1/queues", get(queues))
        .route("/v1/sites/{site}/stock", get(stock))
        .route("/v1/dead-letters", get(dead_letters))
        .with_state(Arc::clone(stub));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    TaskTracker::new().spawn(async move {
        for _ in 0..closed {
            drop(listener.accept().await);
        }
        axum::serve(listener, router).await.unwrap();
    });
    format!("http://{address}").parse().unwrap()
}

async fn take(State(stub): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let mut stub = stub.lock().unwrap();
    stub.answered += 1;
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let timestamp = header("x-duda-signature-timestamp").unwrap_or_default();
    let signature = STANDARD.decode(header("x-duda-signature").unwrap_or_default()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(format!("{timestamp}.").as_bytes());
    mac.update(&body);
    if mac.verify_slice(&signature).is_err() {
        let problem = json!({"code": "signature.mismatch", "detail": "no secret made this"});
        return (StatusCode::UNAUTHORIZED, Json(problem)).into_response();
    }
    let count = stub.posted.entry(body.clone()).or_default();
    *count += 1;
    if *count <= stub.refusals {
        return (stub.refuse_with, Json(json!({"code": "ingress.busy"}))).into_response();
    }
    let id = format!("message-{}", stub.answered);
    if let Verdict::DeadLetter(code) = stub.model.observe(&body, NOW_MS) {
        stub.letters.insert(id.clone(), code);
    }
    Json(json!({"id": id})).into_response()
}

async fn queues() -> Json<Value> {
    Json(json!({"work": {"ready": 0, "in_flight": 0, "oldest_age_seconds": null},
        "retry": {"ready": 0}, "dead": {"intake": 0, "parked": 7}}))
}

async fn stock(
    State(stub): State<Shared>,
    Path(site): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Json<Value> {
    let stub = stub.lock().unwrap();
    let stock = stub.model.stock();
    let listed = stock.iter().filter(|(item, _)| item.site == site);
    let listed = listed.filter(|(item, _)| stub.forgotten.as_ref() != Some(item));
    let rows = listed.map(|(item, counts)| {
        let available = counts.received - counts.committed - counts.fulfilled;
        json!({"site": site, "key": item.key, "received": counts.received.to_string(),
            "committed": counts.committed.to_string(), "fulfilled": counts.fulfilled.to_string(),
            "on_hand": "0", "available": available.to_string()})
    });
    Json(page(&rows.collect::<Vec<_>>(), &query))
}

async fn dead_letters(
    State(stub): State<Shared>,
    Query(query): Query<HashMap<String, String>>,
) -> Json<Value> {
    let stub = stub.lock().unwrap();
    let letters = stub.letters.iter().map(|(id, reason)| json!({"id": id, "reason": reason}));
    Json(page(&letters.collect::<Vec<_>>(), &query))
}

/// Pages of seven, whatever the limit.
fn page(rows: &[Value], query: &HashMap<String, String>) -> Value {
    let start: usize = query.get("cursor").map_or(0, |cursor| cursor.parse().unwrap());
    let end = rows.len().min(start + 7);
    let next = (end < rows.len()).then(|| end.to_string());
    json!({"items": rows[start..end], "next_cursor": next})
}

fn history() -> History {
    History::write(HistoryOptions { seed: 5, orders: 60, duplicates_per_mille: 300 })
}

fn options(url: reqwest::Url, secret: &[u8]) -> Options {
    Options {
        url: url.clone(),
        secret: Some(SecretBox::new(secret.into())),
        pace: Pace { concurrency: NonZeroUsize::new(8).unwrap(), rate: None },
        timeout: Duration::from_secs(30),
        afterwards: Afterwards::Compare(ConsoleAddress { url, token: None }),
        policy: ModelPolicy::default(),
        goods: None,
        has_progress: false,
    }
}

fn last_line(report: &storekeeper::simulate::Report) -> String {
    let mut out = Vec::new();
    report.write_text(&mut out).unwrap();
    String::from_utf8(out).unwrap().lines().last().unwrap().to_owned()
}

#[tokio::test]
async fn every_body_is_signed_and_sent_until_it_is_taken() {
    for refuse_with in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::REQUEST_TIMEOUT] {
        let stub = Arc::new(Mutex::new(Stub { refusals: 1, refuse_with, ..stub() }));
        // The first connections are closed without a word, as by a server that is killed.
        let url = serve(&stub, 3).await;
        let history = history();
        let report = run(&history, options(url, SECRET), |_| {}).await.unwrap();
        assert!(report.holds());
        let stub = stub.lock().unwrap();
        let different = stub.posted.len() as u64;
        assert_eq!(report.sent.deliveries, history.deliveries.len() as u64);
        assert_eq!(different, report.sent.deliveries - report.sent.duplicates);
        let retries = u64::from(stub.answered) - report.sent.deliveries;
        assert!(retries >= different && report.sent.retries > retries);
        let said = last_line(&report);
        assert!(said.starts_with("The stock equals the model: "), "{said}");
        assert!(said.contains(" 60 orders, "), "{said}");
    }
}

#[tokio::test]
async fn a_refusal_ends_the_run_with_a_sentence() {
    let stub = Arc::new(Mutex::new(stub()));
    let url = serve(&stub, 0).await;
    let error = run(&history(), options(url.clone(), b"another"), |_| {}).await.unwrap_err();
    assert!(!error.is_unreachable());
    assert_eq!(
        error.to_string(),
        format!(
            "{url}webhooks/duda answered 401 Unauthorized: signature.mismatch (no secret made \
             this); give the secret of the ingress with --secret"
        )
    );
    assert!(stub.lock().unwrap().answered <= 8, "it went on");
    let mut elsewhere = options(url.clone(), SECRET);
    elsewhere.url.set_path("/webhooks/duda/t0ken");
    let error = run(&history(), elsewhere, |_| {}).await.unwrap_err().to_string();
    assert!(error.contains("404") && !error.contains("t0ken"), "{error}");
    assert!(error.contains("is it the address of `ingress.listen`?"), "{error}");
}

#[tokio::test]
async fn nobody_there_is_told_from_a_refusal() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: reqwest::Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let impatient = Options { timeout: Duration::ZERO, ..options(url, SECRET) };
    let error = run(&history(), impatient, |_| {}).await.unwrap_err();
    assert!(error.is_unreachable(), "{error}");
}

#[tokio::test]
async fn whoever_waits_for_a_server_is_told_once() {
    let said = RefCell::new(Vec::new());
    let tell = |sentence: &str| said.borrow_mut().push(sentence.to_owned());
    let stub = Arc::new(Mutex::new(stub()));
    let url = serve(&stub, 3).await;
    let report = run(&history(), options(url.clone(), SECRET), tell).await.unwrap();
    assert!(report.holds());
    let expected = format!("{url}webhooks/duda takes no webhook: ");
    let [sentence] = said.take().try_into().unwrap();
    assert!(sentence.starts_with(&expected), "{sentence}");
    assert!(sentence.ends_with("; trying for 30s"), "{sentence}");
    // The console, too.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody: reqwest::Url =
        format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let console = ConsoleAddress { url: nobody.clone(), token: None };
    let timeout = Duration::from_secs(1);
    let options =
        Options { timeout, afterwards: Afterwards::List(console), ..options(url, SECRET) };
    let error = run(&history(), options, tell).await.unwrap_err();
    assert!(error.is_unreachable(), "{error}");
    let [sentence] = said.take().try_into().unwrap();
    assert!(sentence.starts_with(&format!("the console at {nobody} cannot")), "{sentence}");
    assert!(sentence.ends_with("; trying for 1s"), "{sentence}");
}

#[tokio::test]
async fn a_busy_server_is_no_news() {
    let refusals = Stub { refusals: 2, ..stub() };
    let url = serve(&Arc::new(Mutex::new(refusals)), 0).await;
    let tell = |sentence: &str| panic!("{sentence}");
    assert!(run(&history(), options(url, SECRET), tell).await.unwrap().holds());
}

#[tokio::test]
async fn an_item_that_is_missing_is_found() {
    let history = history();
    let mut model = Model::new(ModelPolicy::default());
    for delivery in &history.deliveries {
        model.observe(&delivery.body, NOW_MS);
    }
    let (item, holders) = model.holders().into_iter().next().unwrap();
    let forgotten = Some(item.clone());
    let stub = Arc::new(Mutex::new(Stub { forgotten, ..stub() }));
    let url = serve(&stub, 0).await;
    let report = run(&history, options(url, SECRET), |_| {}).await.unwrap();
    assert!(!report.holds());
    let check = report.check.as_ref().unwrap();
    assert_eq!(check.items, model.stock().len() as u64);
    let [difference] = check.stock.as_slice() else { panic!("{:?}", check.stock) };
    assert_eq!((&difference.item, difference.found), (&item, None));
    assert_eq!(difference.holders_count, holders.len() as u64);
    assert_eq!(check.dead_letters, history.malformed());
    assert!(last_line(&report).starts_with("The stock does not equal the model: 1 of "));
}

/// The goods that the shops of a history had, as receipts.
fn opening(history: &History) -> Vec<Receipt> {
    let receipts = history.opening_stock().iter().enumerate().map(|(number, goods)| Receipt {
        item: goods.item.clone(),
        reference: goods.reference.to_owned(),
        message_id: number.to_string(),
        quantity: goods.quantity,
    });
    receipts.collect()
}

#[tokio::test]
async fn an_item_whose_received_differs_is_found() {
    let history = history();
    let goods = opening(&history);
    let wrong = goods[3].item.clone();
    for (is_wrong, is_known) in [(false, true), (true, true), (true, false)] {
        let mut stub = stub();
        for receipt in &goods {
            stub.model.receive(receipt.clone());
        }
        if is_wrong {
            let reference = "counted twice".to_owned();
            let twice = Receipt { reference, quantity: Decimal::ONE, ..goods[3].clone() };
            stub.model.receive(twice);
        }
        let url = serve(&Arc::new(Mutex::new(stub)), 0).await;
        let goods = is_known.then(|| goods.clone());
        let options = Options { goods, ..options(url, SECRET) };
        let report = run(&history, options, |_| {}).await.unwrap();
        assert_eq!(report.holds(), !(is_wrong && is_known), "{:?}", report.check);
        let check = report.check.as_ref().unwrap();
        let found: Vec<_> = check.stock.iter().map(|difference| &difference.item).collect();
        if is_wrong && is_known {
            assert_eq!(found, [&wrong]);
            assert!(last_line(&report).starts_with("The stock does not equal the model: 1 of "));
        }
    }
}

#[tokio::test]
async fn a_rate_is_kept() {
    let stub = Arc::new(Mutex::new(stub()));
    let url = serve(&stub, 0).await;
    let history = History::write(HistoryOptions { seed: 5, orders: 1, duplicates_per_mille: 0 });
    let mut slow = options(url, SECRET);
    slow.pace.rate = Some(1000.try_into().unwrap());
    let report = run(&history, slow, |_| {}).await.unwrap();
    let least = Duration::from_millis(report.sent.deliveries - 1).as_secs_f64();
    assert!(report.speed.seconds >= least, "{:?}", report.speed);
}
