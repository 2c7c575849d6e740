//! What is answered was synced to disk before, as the system calls of the real binary show.
//!
//! A process that is killed loses nothing that it wrote, synced or not: only the loss of power
//! would tell. So the calls are looked at: between a request and its answer the write-ahead log is
//! written, and then synced.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::harness::{Process, Server, eventually};

/// The calls that write to files and sockets, and those that sync.
const CALLS: &str = "trace=pwrite64,fsync,fdatasync,write,writev,sendto,sendmsg";

/// A server under `strace`.
struct Traced {
    server: Server,
    calls: PathBuf,
}

impl Traced {
    async fn start(role: &str, directory: &Path) -> Self {
        let calls = directory.join("calls");
        let words = ["strace", "--daemonize", "--follow-forks", "--decode-fds=path", "-qq"];
        let words = words.iter().chain(&["-s", "16", "-e", CALLS, "-o"]);
        let mut words: Vec<String> = words.map(ToString::to_string).collect();
        words.push(calls.display().to_string());
        let server = Process::start_under(&words, role, directory, &[]).ready().await;
        Self { server, calls }
    }

    /// Waits until so many answers of success are among the calls; gives the calls.
    async fn calls_of(&self, answers: usize) -> Vec<String> {
        eventually("the answers are among the calls", async || {
            let calls = std::fs::read_to_string(&self.calls).unwrap();
            let calls: Vec<String> = calls.lines().map(str::to_owned).collect();
            (calls.iter().filter(|call| is_answer(call)).count() >= answers).then_some(calls)
        })
        .await
    }
}

fn is_answer(call: &str) -> bool {
    call.contains("HTTP/1.1 200")
}

/// Looks at what was done on a file before each answer, and after the one before.
#[track_caller]
fn are_synced(calls: &[String], file: &str, answers: usize) {
    let (mut is_written, mut is_synced, mut seen) = (false, false, 0);
    for call in calls {
        if is_answer(call) {
            assert!(is_synced, "answer {seen} came before {file} was synced");
            (is_written, is_synced, seen) = (false, false, seen + 1);
        } else if call.contains(file) {
            let is_write = call.contains("pwrite64(");
            is_written |= is_write;
            is_synced = (is_synced || (is_written && call.contains("sync("))) && !is_write;
        }
    }
    assert_eq!(seen, answers);
}

/// An ingress alone writes nothing but what it is sent.
#[tokio::test]
async fn a_webhook_is_on_disk_before_it_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let ingress = Traced::start("ingress", directory.path()).await;
    let url = ingress.server.webhooks();
    let client = reqwest::Client::new();
    for number in 1..=5 {
        let answer = client.post(&url).body(format!("webhook {number}")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    are_synced(&ingress.calls_of(5).await, "/broker.db-wal>", 5);
}

#[tokio::test]
async fn what_a_worker_applied_is_on_disk_before_it_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let server = Traced::start("serve", directory.path()).await;
    let url = server.server.console("/v1/sites/shop/stock/product:P/count");
    let count = json!({"on_hand": 4, "reference": "C", "create": true});
    let answer = reqwest::Client::new().put(url).json(&count).send().await.unwrap();
    let status = answer.status();
    let said: serde_json::Value = answer.json().await.unwrap();
    assert_eq!((status.as_u16(), &said["state"]), (200, &json!("applied")));
    let calls = server.calls_of(1).await;
    for file in ["/broker.db-wal>", "/store.db-wal>"] {
        let is_sync = |call: &&String| call.contains(file) && call.contains("sync(");
        let before = calls.iter().take_while(|call| !is_answer(call));
        let of_file = before.filter(|call| call.contains(file));
        let is_write = |call: &&String| call.contains("pwrite64(");
        let after_write = of_file.skip_while(|call| !is_write(call));
        assert!(after_write.filter(is_sync).count() > 0, "{file} was not synced");
    }
}
