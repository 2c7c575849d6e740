//! `dead-letters edit`, `discard` and `replay` of the real binary, beside a running server.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::{Server, command, eventually};

/// What a command came to: its exit code and what it printed.
struct Ran {
    status: Option<i32>,
    out: String,
    err: String,
}

/// Runs a command that is given this on stdin.
fn run(directory: &Path, arguments: &[&str], input: &str) -> Ran {
    let mut child = command(directory, &[])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn order(quantity: &Value) -> String {
    let body = json!({
        "event_type": "ECOMM_ORDER_CREATED",
        "event_timestamp": 1_710_000_000_000_i64,
        "resource_data": {"site_name": "shop"},
        "data": {
            "id": "order-1",
            "status": "PROCESSED",
            "items": [{"product_id": "P", "quantity": quantity}],
        },
    });
    body.to_string()
}

/// Posts an order that cannot be counted, and waits for its dead letter; answers with its id.
async fn dead_letter(server: &Server, directory: &Path) -> String {
    let client = reqwest::Client::new();
    let request = client.post(server.webhooks()).header("content-type", "application/json");
    let answer = request.body(order(&json!("many"))).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    eventually("it is parked", async || {
        let listed = run(directory, &["dead-letters", "list", "--format", "json"], "").out;
        let letter: Value = serde_json::from_str(&listed).ok()?;
        Some(letter["id"].as_str().unwrap().to_owned())
    })
    .await
}

#[tokio::test]
async fn a_letter_has_its_new_body_when_edit_ends_and_is_gone_when_discard_does() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    let id = dead_letter(&server, directory.path()).await;
    let edit = ["dead-letters", "edit", &id, "--body", "-", "--format", "json"];
    // Each edit is in effect before the next is asked for.
    for quantity in 0..5 {
        let body = order(&json!(quantity));
        let edited = run(directory.path(), &edit, &body);
        assert_eq!((edited.status, edited.err.as_str()), (Some(0), ""));
        let view: Value = serde_json::from_str(&edited.out).unwrap();
        assert_eq!((&view["id"], &view["applied"]), (&json!(id), &json!(true)));
        let shown =
            run(directory.path(), &["dead-letters", "show", &id, "--format", "json"], "").out;
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["body"]["text"], body);
    }
    let discarded = run(directory.path(), &["dead-letters", "discard", &id], "");
    assert_eq!((discarded.status, discarded.err.as_str()), (Some(0), ""));
    assert!(discarded.out.contains("state    applied\n"), "{}", discarded.out);
    let shown = run(directory.path(), &["dead-letters", "show", &id], "");
    assert_eq!(shown.status, Some(1));
}

#[tokio::test]
async fn an_edit_needs_no_server_and_a_replay_says_that_there_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start(directory.path(), &[]).await;
    let id = dead_letter(&server, directory.path()).await;
    server.signal("TERM");
    assert!(server.ended().await.success());
    let edit = ["dead-letters", "edit", &id, "--body", "-"];
    let edited = run(directory.path(), &edit, &order(&json!(3)));
    assert_eq!((edited.status, edited.err.as_str()), (Some(0), ""));
    assert!(edited.out.contains("state    applied\n"), "{}", edited.out);
    let show = ["dead-letters", "show", &id];
    assert!(run(directory.path(), &show, "").out.contains("\"quantity\":3"));
    let replayed = run(directory.path(), &["dead-letters", "replay", "--all"], "");
    assert_eq!(replayed.status, Some(3), "{}", replayed.err);
    assert!(replayed.err.contains("no leader has taken replay"), "{}", replayed.err);
    let listed = run(directory.path(), &["replays", "list", "--format", "json"], "").out;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&listed["state"], &listed["selected"]), (&json!("running"), &json!(1)));
    let cancel = ["replays", "cancel", listed["id"].as_str().unwrap()];
    let cancelled = run(directory.path(), &cancel, "");
    assert_eq!(cancelled.status, Some(0));
    assert!(cancelled.out.contains("cancelled"), "{}", cancelled.out);
    let none = run(directory.path(), &["dead-letters", "discard"], "");
    assert_eq!(none.status, Some(2), "which of them?");
    let discarded = run(directory.path(), &["dead-letters", "discard", "--all"], "");
    assert_eq!((discarded.status, discarded.out.as_str()), (Some(0), "discarded: 1\n"));
    // A worker that comes to the commands later finds them done.
    let _server = Server::start(directory.path(), &[]).await;
    assert_eq!(run(directory.path(), &show, "").status, Some(1));
}

/// What may be parked is full with one letter: the others wait, and orders are counted all the same.
#[tokio::test]
async fn what_there_is_no_room_for_waits_in_the_intake_and_all_else_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let settings = [
        ("STOREKEEPER__DEAD_LETTERS__BYTES_MAX", "500"),
        ("STOREKEEPER__RETRY__LADDER", "100ms,200ms"),
    ];
    let server = Server::start(directory.path(), &settings).await;
    let client = reqwest::Client::new();
    let post = async |quantity: &Value| {
        let request = client.post(server.webhooks()).header("content-type", "application/json");
        let answer = request.body(order(quantity)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    };
    for broken in 0..3 {
        post(&json!(format!("many {broken}"))).await;
    }
    let groups = async |parked: &str, intake: &str| {
        eventually("the letters are where they should be", async || {
            let groups = run(directory.path(), &["dead-letters", "groups"], "");
            (groups.out.contains(parked) && groups.err.contains(intake)).then_some(())
        })
        .await;
    };
    groups("      1  decode.invalid_quantity", "in the intake, not parked yet: 2\n").await;
    post(&json!(7)).await;
    eventually("the good order is counted", async || {
        let stock = run(directory.path(), &["stock", "list", "--format", "json"], "").out;
        stock.contains("\"committed\":\"7\"").then_some(())
    })
    .await;
    for left in [1, 0] {
        let discarded = run(directory.path(), &["dead-letters", "discard", "--all"], "");
        assert_eq!(discarded.status, Some(0), "{}", discarded.err);
        let intake = format!("in the intake, not parked yet: {left}\n");
        groups("      1  decode", if left > 0 { &intake } else { "" }).await;
    }
}

#[tokio::test]
async fn the_last_line_of_a_replay_without_a_terminal_has_its_final_counts() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    dead_letter(&server, directory.path()).await;
    let replayed = run(directory.path(), &["dead-letters", "replay", "--all"], "");
    assert_eq!(replayed.status, Some(1), "it came back");
    assert_eq!(replayed.out, "done: selected 1, sent 1, settled 0, came back 1, gone 0\n");
    assert_eq!(replayed.err.lines().last(), Some("sent 1, settled 0, came back 1"));
    // Nothing selected is no failure, unless it was named.
    let none = run(directory.path(), &["dead-letters", "replay", "--site", "nosuch"], "");
    assert_eq!(none.status, Some(0));
    assert_eq!(none.err, "No dead letters match.\n");
    let id = "0197c7f5-7d3c-7a51-9d0a-2f1f0a6c9c11";
    let unknown = run(directory.path(), &["dead-letters", "replay", "--id", id], "");
    assert_eq!(unknown.status, Some(1));
}

#[tokio::test]
async fn a_body_is_written_as_it_is_edited_in_an_editor_and_reverted() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    let id = dead_letter(&server, directory.path()).await;
    let received = order(&json!("many"));
    let body = || run(directory.path(), &["dead-letters", "body", &id], "").out;
    assert_eq!(body(), received, "byte for byte");
    let edit = |arguments: &[&str], editor: &str| {
        let mut line = vec!["dead-letters", "edit", &id];
        line.extend(arguments);
        let mut edit = command(directory.path(), &[]);
        edit.args(&line).env_remove("VISUAL").env("EDITOR", editor).stdin(Stdio::null());
        let output = edit.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    };
    let unset = edit(&[], "");
    assert_eq!(unset.status, Some(2));
    assert!(
        unset.err.contains("set EDITOR, or give the new body with --body FILE"),
        "{}",
        unset.err
    );
    let failed = edit(&[], "false");
    assert_eq!(failed.status, Some(2));
    assert!(failed.err.contains("nothing was changed"), "{}", failed.err);
    let same = edit(&[], "true");
    assert_eq!((same.status, same.out.as_str()), (Some(0), ""));
    assert!(same.err.contains("the body is the same"), "{}", same.err);
    let tried = edit(&["--dry-run"], "sed -i s/many/three/");
    assert_eq!(tried.status, Some(0));
    assert!(tried.out.contains("dead_letter  decode.invalid_quantity"), "{}", tried.out);
    assert_eq!(body(), received);
    let kept = edit(&[], "sed -i 's/\"many\"/3/'");
    assert_eq!((kept.status, kept.err.as_str()), (Some(0), ""));
    assert!(kept.out.contains("applied"), "{}", kept.out);
    assert!(kept.out.contains("product:P         0          3"), "{}", kept.out);
    assert_eq!(body(), order(&json!(3)));
    let listed = run(directory.path(), &["dead-letters", "list", "--format", "json"], "").out;
    assert!(listed.contains("\"edited\":true"), "{listed}");
    let reverted = edit(&["--revert"], "false");
    assert_eq!((reverted.status, reverted.err.as_str()), (Some(0), ""));
    assert_eq!(body(), received);
    let again = edit(&["--revert"], "false");
    assert_eq!(again.status, Some(1));
    assert!(again.err.contains("as it was received: nothing to revert"), "{}", again.err);
    run(directory.path(), &["dead-letters", "discard", &id], "");
    let gone = edit(&[], "true");
    assert_eq!(gone.status, Some(1));
    assert!(gone.err.contains("no longer parked: it was discarded at"), "{}", gone.err);
}
