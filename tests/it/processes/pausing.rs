//! The work queue is paused by a person: webhooks are received, and nothing is taken.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::{eventually_committed, get, post, readiness};
use crate::harness::{Server, command, eventually};

/// Runs a command on the files of a server; answers with its exit code and what it printed.
fn run(directory: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = command(directory, &[]).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

async fn probe(server: &Server, path: &str) -> String {
    let url = format!("http://{}{path}", server.addresses.probes);
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn a_paused_queue_takes_webhooks_and_gives_none_until_it_is_resumed() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    post(&server, "before").await;
    eventually_committed(&server, 1).await;
    let pause = ["queues", "pause", "--reason", "deploy", "--as", "anna"];
    let (code, said) = run(directory.path(), &pause);
    assert_eq!((code, said.contains("is paused")), (Some(0), true), "{said}");
    eventually("the worker knows", async || {
        probe(&server, "/readyz").await.contains("queues.paused").then_some(())
    })
    .await;
    assert_eq!(readiness(&server).await, 200, "the ingress must stay in service");
    for order in 0..3 {
        post(&server, &format!("meanwhile {order}")).await;
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let queues = get(server.console("/v1/queues")).await;
    assert_eq!((&queues["work"]["ready"], &queues["paused"]["by"]), (&json!(3), &json!("anna")));
    assert!(probe(&server, "/metrics").await.contains("storekeeper_queue_paused 1\n"));
    eventually("the process says so", async || {
        let processes = get(server.console("/v1/processes")).await;
        (processes["items"][0]["state"] == "paused").then_some(())
    })
    .await;
    let (code, status) = run(directory.path(), &["status"]);
    assert_eq!(code, Some(1), "{status}");
    assert!(status.starts_with("Needs a person: the work queue is paused by anna"), "{status}");

    // A worker that starts during a pause takes nothing either.
    server.kill();
    let server = Server::start(directory.path(), &[]).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(get(server.console("/v1/queues")).await["work"]["ready"], 3);
    assert_eq!(run(directory.path(), &["queues", "resume"]).0, Some(0));
    eventually_committed(&server, 4).await;
    assert!(!probe(&server, "/readyz").await.contains("queues.paused"));
    let log = server.log();
    assert!(log.contains("the queue is paused") && log.contains("the queue is resumed"), "{log}");
}

#[tokio::test]
async fn the_status_of_a_service_is_a_screen_and_an_object() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    post(&server, "1001").await;
    eventually_committed(&server, 1).await;
    let status = async || {
        let (code, text) = run(directory.path(), &["status", "--format", "json"]);
        (code, serde_json::from_str::<Value>(&text).unwrap())
    };
    let (_, well) = eventually("all is well", async || {
        let (code, status) = status().await;
        (code == Some(0) && status["audit"].is_object()).then_some((code, status))
    })
    .await;
    assert!(well["verdict"].as_str().unwrap().starts_with("All is well: 1 worker"), "{well}");
    assert_eq!(well["sites"]["oldest"][0]["site"], "shop");
    assert_eq!(well["processes"][0]["role"], "serve");
    let of_route = get(server.console("/v1/status")).await;
    let shape = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(shape(&well), shape(&of_route));
    let (code, screen) = run(directory.path(), &["status"]);
    assert_eq!(code, Some(0));
    for part in ["All is well", "last audit", "SITES (1)", "PROCESSES (1)", "DUTIES"] {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    let mut process = server.into_process();
    process.signal("TERM");
    assert_eq!(process.ended().await.code(), Some(0));
    let (code, stopped) = status().await;
    assert_eq!((code, &stopped["processes"][0]["state"]), (Some(1), &json!("stopped")));
    assert_eq!(run(directory.path(), &["health"]).0, Some(2), "port 0 is no address");
}
