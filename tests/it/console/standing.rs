//! How the service stands: the queues and their pause, the processes, and the status.

use reqwest::Method;
use serde_json::{Value, json};
use storekeeper::clock;
use storekeeper::domain::heartbeat::{AnswersStep, DutyBeat, Heartbeat, LeaderBeat, ProcessState};

use super::{Backends, Served, field, given};

/// A process with which all is well.
fn beat(process: &str) -> Heartbeat {
    let now = clock::now();
    let counts = [("ok".to_owned(), 40), ("signature.mismatch".to_owned(), 2)];
    let audit = DutyBeat { last_success: Some(now), problem: None };
    Heartbeat {
        process: process.to_owned(),
        role: "serve".to_owned(),
        version: "9.9.9".to_owned(),
        state: ProcessState::Consuming,
        why: None,
        started_at: now.plus_micros(-7_200_000_000),
        at: now,
        answers: counts.clone().into(),
        recent: vec![AnswersStep { from: now.plus_micros(-60_000_000), answers: counts.into() }],
        leader: Some(LeaderBeat {
            leads: true,
            duties: [("audit".to_owned(), audit)].into(),
            differences: Some(0),
        }),
    }
}

async fn record(backends: &Backends, beat: &Heartbeat) {
    let never = storekeeper::domain::Timestamp::from_micros(0);
    backends.store.record_heartbeat(beat, never).await.unwrap();
}

async fn post(console: &Served, path: &str, body: Value) -> (u16, Value) {
    let request = console.client.request(Method::POST, format!("{}{path}", console.url));
    let answer = request.json(&body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn the_queue_is_paused_and_resumed() {
    let backends = Backends::open();
    let console = backends.serve_console().await;
    assert_eq!(console.json("/v1/queues").await["paused"], Value::Null);
    let (status, paused) = post(&console, "/v1/queues/pause", json!({"reason": "deploy"})).await;
    assert_eq!((status, &paused["paused"]["by"]), (200, &json!("console")));
    assert_eq!(paused["paused"]["reason"], "deploy");
    let (status, again) = post(&console, "/v1/queues/pause", json!({"reason": "other"})).await;
    assert_eq!((status, &again["paused"]), (200, &paused["paused"]), "the first one stays");
    assert_eq!(console.json("/v1/queues").await["paused"], paused["paused"]);
    let (status, resumed) = post(&console, "/v1/queues/resume", json!({})).await;
    assert_eq!((status, &resumed["paused"]), (200, &Value::Null));
    assert_eq!(console.json("/v1/queues").await["paused"], Value::Null);
    for wrong in [json!({"reason": ""}), json!({"why": "x"}), json!({"reason": 7})] {
        let (status, problem) = post(&console, "/v1/queues/pause", wrong).await;
        assert_eq!((status, &problem["code"]), (400, &json!("request.invalid")));
    }
}

#[tokio::test]
async fn only_operators_pause_the_queue() {
    let backends = Backends::open();
    let tokens = "read:look-around-0123,operate:act-for-me-01234";
    let console = backends.serve_console_with(tokens).await;
    for (path, token, expected) in [
        ("pause", "look-around-0123", 403),
        ("resume", "look-around-0123", 403),
        ("pause", "act-for-me-01234", 200),
    ] {
        let request = console.client.post(format!("{}/v1/queues/{path}", console.url));
        let answer = request.bearer_auth(token).json(&json!({})).send().await.unwrap();
        assert_eq!(answer.status(), expected, "{path} {token}");
    }
    assert_eq!(backends.store.paused().await.unwrap().unwrap().actor.as_str(), "operate");
}

#[tokio::test]
async fn processes_are_shown_as_they_were_last_heard_from() {
    let backends = Backends::open();
    let console = backends.serve_console().await;
    let silent = Heartbeat { at: clock::now().plus_micros(-600_000_000), ..beat("old") };
    let stopped = Heartbeat { state: ProcessState::Stopped, ..silent.clone() };
    record(&backends, &silent).await;
    record(&backends, &Heartbeat { process: "ended".to_owned(), ..stopped }).await;
    record(&backends, &beat("new")).await;
    let processes = console.json("/v1/processes").await;
    let items = processes["items"].as_array().unwrap();
    assert_eq!(field(items, "process"), ["new", "ended", "old"]);
    assert_eq!(field(items, "state"), ["consuming", "stopped", "silent"]);
    assert_eq!((&items[0]["leads"], &items[2]["leads"]), (&json!(true), &json!(false)));
    assert_eq!(items[0]["answers"], json!({"ok": 40, "signature.mismatch": 2}));
    assert_eq!(processes["next_cursor"], Value::Null);
}

#[tokio::test]
async fn the_status_says_that_all_is_well_or_what_needs_a_person() {
    let backends = Backends::open();
    let console = backends.serve_console().await;
    let silent = console.json("/v1/status").await;
    let verdict = silent["verdict"].as_str().unwrap();
    assert!(verdict.starts_with("Needs a person: no worker consumes"), "{verdict}");

    record(&backends, &beat("one")).await;
    let well = console.json("/v1/status").await;
    assert_eq!(
        well["verdict"],
        "All is well: 1 worker consumes, nothing waits, and the last audit found no differences."
    );
    assert_eq!((&well["problems"], &well["audit"]["differences"]), (&json!([]), &json!(0)));
    let webhooks = json!({"accepted": 40, "refused": {"signature.mismatch": 2}});
    assert_eq!((&well["webhooks"], &well["duties"][0]["duty"]), (&webhooks, &json!("audit")));

    given::policy(&*backends.store).await;
    given::order(&*backends.store, "shop", "1001", "P", 1).await;
    given::dead_letters(&*backends.store).await;
    post(&console, "/v1/queues/pause", json!({})).await;
    let paused = console.json("/v1/status").await;
    let verdict = paused["verdict"].as_str().unwrap();
    assert!(
        verdict.starts_with("Needs a person: the work queue is paused by console"),
        "{verdict}"
    );
    assert_eq!(paused["paused"]["by"], "console");
    assert_eq!(paused["queues"]["paused"], paused["paused"]);
    assert_eq!(
        (&paused["sites"]["known"], &paused["sites"]["oldest"][0]["site"]),
        (&json!(1), &json!("shop"))
    );
    assert!(paused["sites"]["newest"][0]["last_webhook_at"].is_string(), "{paused}");
    let parked = paused["dead_letters"]["parked"].as_u64().unwrap();
    let groups = paused["dead_letters"]["groups"].as_array().unwrap();
    assert_eq!((parked > 0, groups.is_empty()), (true, false), "{paused}");
    assert!(groups.len() <= 3, "{paused}");
}
