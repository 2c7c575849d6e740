//! What the API changes of dead letters.

use std::path::PathBuf;
use std::sync::Arc;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use storekeeper::broker::EnvelopeKind;
use storekeeper::cli::{
    self, DeadLettersCommand, DeadLettersDiscardArgs, DeadLettersEditArgs, DeadLettersReplayArgs,
    ExitStatus, Format,
};
use storekeeper::clock;
use storekeeper::domain::{MessageId, SourceRules};
use storekeeper::store::{DeadLetterFilter, PageRequest};

use super::commands::Printed;
use super::{Backends, Served, given};

async fn send(console: &Served, method: Method, path: &str, body: Option<Value>) -> Response {
    let request = console.client.request(method, format!("{}{path}", console.url));
    let request = request.header("content-type", "application/json");
    let body = body.map_or_else(String::new, |body| body.to_string());
    request.body(body).send().await.unwrap()
}

fn edit_by(id: MessageId, body: PathBuf) -> DeadLettersCommand {
    let body = Some(body);
    DeadLettersCommand::Edit(DeadLettersEditArgs { id, body, revert: false, dry_run: false })
}

async fn letter_ids(backends: &Backends) -> Vec<String> {
    let all = PageRequest::first(10);
    let page = backends.store.dead_letters(&DeadLetterFilter::default(), &all).await.unwrap();
    page.items.iter().map(|letter| letter.id.to_string()).collect()
}

async fn given_letters() -> (Backends, Served, Vec<String>) {
    let backends = Backends::open();
    given::shop(&*backends.store).await;
    given::dead_letters(&*backends.store).await;
    let console = backends.serve_console().await;
    let ids = letter_ids(&backends).await;
    (backends, console, ids)
}

#[tokio::test]
async fn letters_are_grouped_by_what_they_have_in_common() {
    let (_backends, console, _) = given_letters().await;
    let groups = console.json("/v1/dead-letters/groups").await;
    let groups = groups["items"].as_array().unwrap();
    let found: Vec<_> = groups.iter().map(|g| (&g["reason"], &g["letters"], &g["site"])).collect();
    let expected = [
        (json!("decode.not_json"), json!(2), Value::Null),
        (json!("decode.invalid_quantity"), json!(1), json!("shop")),
    ];
    assert_eq!(found, expected.each_ref().map(|(reason, count, site)| (reason, count, site)));
}

#[tokio::test]
async fn a_replay_is_made_shown_and_cancelled() {
    let (_backends, console, ids) = given_letters().await;
    let body = json!({"selection": {"ids": ids[..2]}, "rate": 5, "ramp": "1m", "abort_after": 1});
    let answer = send(&console, Method::POST, "/v1/replays", Some(body)).await;
    assert_eq!(answer.status(), 201);
    let made: Value = answer.json().await.unwrap();
    assert_eq!((&made["state"], &made["selected"]), (&json!("running"), &json!(2)));
    assert_eq!((&made["sent"], &made["dry_run"]), (&json!(0), &json!(false)));
    let path = format!("/v1/replays/{}", made["id"].as_str().unwrap());
    assert_eq!(console.json(&path).await, made);
    let cancelled: Value = send(&console, Method::DELETE, &path, None).await.json().await.unwrap();
    assert_eq!(cancelled["state"], "cancelled");
    assert_eq!(console.json(&path).await, cancelled);
}

#[tokio::test]
async fn a_dry_run_answers_what_would_happen_and_is_not_kept() {
    let (backends, console, ids) = given_letters().await;
    let body = json!({"selection": {"reason": "decode.not_json"}, "dry_run": true});
    let answer = send(&console, Method::POST, "/v1/replays", Some(body)).await;
    assert_eq!(answer.status(), 200);
    let done: Value = answer.json().await.unwrap();
    assert!(done.get("id").is_none(), "nothing would be found by it: {done}");
    assert_eq!((&done["selected"], &done["sent"]), (&json!(2), &json!(0)));
    let first = &done["forecast"]["letters"][0];
    assert_eq!((&first["id"], &first["outcome"]), (&json!(ids[0]), &json!("dead_letter")));
    assert_eq!(first["reason"], "decode.not_json");
    assert_eq!(done["forecast"]["stock"], json!([]));
    assert_eq!(letter_ids(&backends).await, ids);
    assert_eq!(backends.store.open_replays().await.unwrap(), []);
    // What a replay would leave out, the dry run leaves out.
    let body = json!({"selection": {"ids": ids[..2]}});
    send(&console, Method::POST, "/v1/replays", Some(body)).await;
    let answer = send(&console, Method::POST, "/v1/replays", Some(json!({"dry_run": true}))).await;
    let done: Value = answer.json().await.unwrap();
    let letters = done["forecast"]["letters"].as_array().unwrap();
    assert_eq!((letters.len(), &letters[0]["id"]), (1, &json!(ids[2])));
}

#[tokio::test]
async fn a_change_without_a_worker_is_in_effect_and_journalled() {
    let (backends, console, ids) = given_letters().await;
    let path = format!("/v1/dead-letters/{}", ids[0]);
    let body = json!({"text": "{\"half\": 1}"});
    let answer = send(&console, Method::PUT, &format!("{path}/body"), Some(body)).await;
    assert_eq!(answer.status(), 200);
    let view: Value = answer.json().await.unwrap();
    assert_eq!((&view["id"], &view["applied"]), (&json!(ids[0]), &json!(true)));
    let answer = send(&console, Method::DELETE, &path, None).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(letter_ids(&backends).await, ids[1..]);
    let broker = Arc::clone(&backends.broker);
    let journal = broker.journal(None, 10).await.unwrap();
    let kinds: Vec<_> = journal.iter().map(|record| record.envelope.kind).collect();
    assert_eq!(kinds, [EnvelopeKind::Edit, EnvelopeKind::Discard]);
}

#[tokio::test]
async fn a_letter_that_is_being_replayed_is_neither_edited_nor_discarded() {
    let (backends, console, ids) = given_letters().await;
    let letter = format!("/v1/dead-letters/{}", ids[0]);
    let body_path = format!("{letter}/body");
    let selection = json!({"selection": {"ids": [ids[0]]}});
    let made = send(&console, Method::POST, "/v1/replays", Some(selection)).await;
    let made: Value = made.json().await.unwrap();
    let text = json!({"text": "{}"});
    for (method, path) in [(Method::PUT, &body_path), (Method::DELETE, &letter)] {
        let answer = send(&console, method, path, Some(text.clone())).await;
        assert_eq!(answer.status(), 409, "{path}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], "dead_letter.in_replay");
    }
    let directory = tempfile::tempdir().unwrap();
    let body = directory.path().join("body.json");
    std::fs::write(&body, "{}").unwrap();
    let id = given::message(1);
    let edit = edit_by(id, body);
    for command in [edit, discard(id)] {
        let (status, printed) = run(&backends, command).await;
        assert_eq!((status, printed.out().as_str()), (ExitStatus::NotHeld, ""));
        assert!(printed.err().contains(made["id"].as_str().unwrap()), "{}", printed.err());
    }
    assert_eq!(backends.broker.journal(None, 10).await.unwrap(), []);
    let replay = format!("/v1/replays/{}", made["id"].as_str().unwrap());
    send(&console, Method::DELETE, &replay, None).await;
    assert_eq!(send(&console, Method::PUT, &body_path, Some(text)).await.status(), 200);
}

#[tokio::test]
async fn changes_that_are_not_of_their_form_are_refused() {
    let (backends, console, ids) = given_letters().await;
    let letter = format!("/v1/dead-letters/{}", ids[0]);
    let body_path = format!("{letter}/body");
    let unknown = "/v1/dead-letters/0197c7f5-7d3c-7a51-9d0a-2f1f0a6c9c11";
    let unknown_replay = "/v1/replays/0197c7f5-7d3c-7a51-9d0a-2f1f0a6c9c11";
    for (method, path, body, status, code) in [
        (Method::PUT, body_path.as_str(), json!({}), 400, "request.invalid"),
        (Method::PUT, &body_path, json!({"text": ""}), 400, "request.invalid"),
        (Method::PUT, &body_path, json!({"text": "a", "base64": "YQ=="}), 400, "request.invalid"),
        (Method::PUT, &body_path, json!({"base64": "?"}), 400, "request.invalid"),
        (Method::DELETE, unknown, Value::Null, 404, "dead_letter.unknown"),
        (Method::DELETE, unknown_replay, Value::Null, 404, "replay.unknown"),
        (Method::GET, unknown_replay, Value::Null, 404, "replay.unknown"),
        (Method::GET, "/v1/replays/7", Value::Null, 400, "request.invalid"),
        (Method::POST, "/v1/replays", json!({"reason": "x"}), 400, "request.invalid"),
        (Method::POST, "/v1/replays", json!({"rate": 0}), 400, "request.invalid"),
        (Method::POST, "/v1/replays", json!({"ramp": "5m"}), 400, "request.invalid"),
        (Method::POST, "/v1/replays", json!({"abort_after": 0}), 400, "request.invalid"),
        (Method::POST, "/v1/replays", json!({"selection": {"ids": ["7"]}}), 400, "request.invalid"),
        (Method::POST, "/v1/replays", json!("x".repeat(70_000)), 413, "body.too_large"),
    ] {
        let answer = send(&console, method, path, Some(body.clone())).await;
        assert_eq!(answer.status(), status, "{path} {body}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], code, "{path}: {problem}");
    }
    // A form of a foreign page cannot say that it is JSON.
    for (method, path) in [(Method::DELETE, letter.as_str()), (Method::POST, "/v1/replays")] {
        let plain = console.client.request(method, format!("{}{path}", console.url)).body("{}");
        assert_eq!(plain.send().await.unwrap().status(), 415, "{path}");
    }
    assert_eq!(letter_ids(&backends).await, ids);
    assert_eq!(backends.broker.journal(None, 10).await.unwrap(), []);
}

async fn run(backends: &Backends, command: DeadLettersCommand) -> (ExitStatus, Printed) {
    let mut printed = Printed::default();
    let output = &mut printed.output(Format::Json);
    let broker = async || Ok(Arc::clone(&backends.broker));
    let (store, now) = (&*backends.store, clock::now());
    let status =
        cli::dead_letters::run(store, &SourceRules::default(), broker, &command, now, output)
            .await
            .unwrap();
    (status, printed)
}

fn discard(id: MessageId) -> DeadLettersCommand {
    let (message, selection) = (Some(id), all());
    DeadLettersCommand::Discard(DeadLettersDiscardArgs { message, selection, all: false })
}

fn all() -> cli::DeadLettersListArgs {
    cli::DeadLettersListArgs { reason: None, site: None, older_than: None, id: Vec::new() }
}

#[tokio::test]
async fn an_export_is_imported_whole_and_only_once() {
    let (from, _console, ids) = given_letters().await;
    let (status, exported) = run(&from, DeadLettersCommand::Export(all())).await;
    assert_eq!((status, exported.out().lines().count()), (ExitStatus::Done, 3));
    let into = Backends::open();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("letters.ndjson");
    std::fs::write(&file, exported.out()).unwrap();
    for _ in 0..2 {
        run(&into, DeadLettersCommand::Import { file: file.clone() }).await;
        assert_eq!(letter_ids(&into).await, ids);
    }
    for number in 1..4 {
        let letter = async |backends: &Backends| {
            backends.store.dead_letter(given::message(number)).await.unwrap()
        };
        assert_eq!(letter(&into).await, letter(&from).await);
    }
}

#[tokio::test]
async fn a_dry_run_of_the_command_is_that_of_the_api() {
    let (backends, console, _) = given_letters().await;
    let args = DeadLettersReplayArgs {
        selection: all(),
        all: true,
        dry_run: true,
        rate: None,
        ramp: None,
        abort_after: None,
    };
    let (status, printed) = run(&backends, DeadLettersCommand::Replay(args)).await;
    assert_eq!(status, ExitStatus::Done);
    let printed: Value = serde_json::from_str(&printed.out()).unwrap();
    let answer = send(&console, Method::POST, "/v1/replays", Some(json!({"dry_run": true}))).await;
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(printed["forecast"], answer["forecast"]);
    assert_eq!(printed["forecast"]["letters"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn edits_and_discards_of_the_command_go_through_the_journal() {
    let (backends, _console, ids) = given_letters().await;
    let directory = tempfile::tempdir().unwrap();
    let body = directory.path().join("body.json");
    std::fs::write(&body, "{}").unwrap();
    let id = given::message(1);
    let edit = edit_by(id, body);
    for command in [edit, discard(id)] {
        // No worker is there.
        let (status, printed) = run(&backends, command).await;
        let view = &printed.lines()[0];
        assert_eq!((status, &view["applied"]), (ExitStatus::Done, &json!(true)));
        assert_eq!((&view["id"], &view["generation"]), (&json!(ids[0]), &json!(1)));
        assert_eq!(printed.err(), "");
    }
    let unknown = discard(given::message(9));
    assert_eq!(run(&backends, unknown).await.0, ExitStatus::NotHeld);
    let journal = backends.broker.journal(None, 10).await.unwrap();
    let kinds: Vec<_> = journal.iter().map(|record| record.envelope.kind).collect();
    assert_eq!(kinds, [EnvelopeKind::Edit, EnvelopeKind::Discard]);
}

#[tokio::test]
async fn an_edit_says_what_would_become_of_it_and_is_reverted() {
    let (backends, console, ids) = given_letters().await;
    let letter = format!("/v1/dead-letters/{}", ids[0]);
    let path = format!("{letter}/body");
    let put = async |body: Value| -> Value {
        let answer = send(&console, Method::PUT, &path, Some(body)).await;
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    };
    let data =
        json!({"id": "7", "status": "PROCESSED", "items": [{"product_id": "mug", "quantity": 2}]});
    let order = given::webhook("shop", "ECOMM_ORDER_CREATED", 9, &data).to_string();
    let tried = put(json!({"text": order, "dry_run": true})).await;
    assert!(tried.get("message_id").is_none(), "{tried}");
    assert_eq!((&tried["id"], &tried["applied"]), (&json!(ids[0]), &json!(false)));
    assert_eq!(tried["forecast"]["letters"][0]["outcome"], "applied");
    assert_eq!(tried["forecast"]["stock"][0]["committed"], "2");
    assert_eq!(console.json(&letter).await["edited"], false);
    let bad = put(json!({"text": "{", "dry_run": true})).await;
    assert_eq!(bad["forecast"]["letters"][0]["reason"], "decode.not_json");

    let kept = put(json!({"text": order})).await;
    assert_eq!((&kept["applied"], &kept["forecast"]), (&json!(true), &tried["forecast"]));
    let shown = console.json(&letter).await;
    assert_eq!((&shown["edited"], &shown["body"]["text"]), (&json!(true), &json!(order)));
    assert_eq!(console.json("/v1/dead-letters").await["items"][0]["edited"], true);
    for body in [json!({"text": "x", "revert": true}), json!({"revert": false}), json!({})] {
        assert_eq!(send(&console, Method::PUT, &path, Some(body)).await.status(), 400);
    }
    put(json!({"revert": true})).await;
    let shown = console.json(&letter).await;
    assert_eq!((&shown["edited"], &shown["body"]["text"]), (&json!(false), &json!("{\"half\": ")));
    assert!(shown.get("original_body").is_none(), "{shown}");
    send(&console, Method::DELETE, &letter, None).await;
    let answer = send(&console, Method::PUT, &path, Some(json!({"text": "{}"}))).await;
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "dead_letter.unknown");
    assert!(problem["detail"].as_str().unwrap().contains("it was discarded at 20"), "{problem}");
    drop(backends);
}
