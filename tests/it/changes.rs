//! The change feed as it comes: server-sent events and `changes --follow` of the real binary.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use reqwest::Response;
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Server, command, eventually, free_port};

const FEED: &str = "/v1/sites/shop/changes";

async fn receive(server: &Server, reference: &str) {
    let url = server.console("/v1/sites/shop/stock/sku:A/receipts");
    let goods = json!({"quantity": 1, "reference": reference, "create": true});
    let answer = reqwest::Client::new().post(url).json(&goods).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

/// A stream that is read event by event.
struct Events {
    answer: Response,
    read: String,
}

impl Events {
    async fn open(server: &Server, headers: &[(&str, &str)]) -> Response {
        let request = reqwest::Client::new().get(server.console(FEED));
        let request = request.header("accept", "text/event-stream");
        let request = headers.iter().fold(request, |request, (n, v)| request.header(*n, *v));
        request.send().await.unwrap()
    }

    async fn follow(server: &Server, headers: &[(&str, &str)]) -> Self {
        let answer = Self::open(server, headers).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, read: String::new() }
    }

    /// The next event's id and change; `None` when the stream has ended.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, _)) = self.read.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                let found = field("id: ").zip(field("data: "));
                let found = found.map(|(id, data)| (id.to_owned(), data.to_owned()));
                let read = event.len() + "\n\n".len();
                self.read.drain(..read);
                // Without data it is a comment, which says that the stream is alive.
                let Some((id, data)) = found else { continue };
                return Some((id, serde_json::from_str(&data).unwrap()));
            }
            let chunk = tokio::time::timeout(DEADLINE, self.answer.chunk()).await.unwrap();
            self.read.push_str(str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }

    async fn reference(&mut self) -> (String, String) {
        let (id, change) = self.next().await.unwrap();
        assert_eq!(change["cursor"], id.as_str());
        (id, change["reference"].as_str().unwrap().to_owned())
    }
}

#[tokio::test]
async fn a_stream_brings_what_is_there_and_what_comes_and_is_taken_up_again() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    receive(&server, "first").await;
    receive(&server, "second").await;
    let mut events = Events::follow(&server, &[]).await;
    let (first, reference) = events.reference().await;
    assert_eq!(reference, "first");
    assert_eq!(events.reference().await.1, "second");
    receive(&server, "third").await;
    assert_eq!(events.reference().await.1, "third");
    drop(events);
    let mut again = Events::follow(&server, &[("last-event-id", &first)]).await;
    assert_eq!(again.reference().await.1, "second");
    assert_eq!(again.reference().await.1, "third");
}

#[tokio::test]
async fn a_stream_ends_cleanly_with_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start(directory.path(), &[]).await;
    receive(&server, "first").await;
    let mut events = Events::follow(&server, &[]).await;
    assert_eq!(events.reference().await.1, "first");
    server.signal("TERM");
    assert_eq!(events.next().await, None, "not broken off");
    assert!(server.ended().await.success(), "{}", server.log());
}

#[tokio::test]
async fn streams_are_bounded_and_leave_room_for_others() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    receive(&server, "first").await;
    let mut streams = Vec::new();
    for _ in 0..32 {
        streams.push(Events::follow(&server, &[]).await);
    }
    let refused = Events::open(&server, &[]).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "console.busy");
    // What is no stream is answered as ever.
    receive(&server, "second").await;
    drop(streams.pop());
    eventually("there is room again", async || {
        (Events::open(&server, &[]).await.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn changes_that_outlived_their_retention_are_trimmed() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start(directory.path(), &[]).await;
    receive(&server, "first").await;
    receive(&server, "second").await;
    let feed: Value = reqwest::get(server.console(FEED)).await.unwrap().json().await.unwrap();
    let cursor = feed["items"][0]["cursor"].as_str().unwrap();
    server.signal("TERM");
    assert!(server.ended().await.success());
    let short = [("STOREKEEPER__CHANGES__RETENTION", "1ms")];
    let server = Server::start(directory.path(), &short).await;
    eventually("the cursor is gone", async || {
        let path = server.console(&format!("{FEED}?after={cursor}"));
        (reqwest::get(path).await.unwrap().status() == 410).then_some(())
    })
    .await;
    receive(&server, "third").await;
    let feed: Value = reqwest::get(server.console(FEED)).await.unwrap().json().await.unwrap();
    assert_eq!(feed["items"][0]["sequence"], 3);
}

/// A command that is ended with the test.
struct Following(Child);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[tokio::test]
async fn a_site_may_be_followed_before_its_first_change() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    let printed = directory.path().join("changes.ndjson");
    let said = directory.path().join("said.txt");
    let child = command(directory.path(), &[])
        .args(["changes", "shop", "--follow", "--format", "json"])
        .stdout(File::create(&printed).unwrap())
        .stderr(File::create(&said).unwrap())
        .spawn()
        .unwrap();
    let _child = Following(child);
    eventually("it says that it waits", async || {
        let said = std::fs::read_to_string(&said).unwrap();
        (said == "no such site yet: shop; waiting for it\n").then_some(())
    })
    .await;
    receive(&server, "first").await;
    eventually("the first", async || (lines(&printed).len() == 1).then_some(())).await;
    assert_eq!(lines(&printed)[0]["reference"], "first");
}

#[tokio::test]
async fn a_followed_feed_ends_once_nobody_reads_it() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    receive(&server, "first").await;
    let mut child = command(directory.path(), &[])
        .args(["changes", "shop", "--follow", "--format", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    // As `head -1` does: it reads a line and ends.
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("first"), "{line}");
    let mut child = Following(child);
    let ended = eventually("it ends", async || child.0.try_wait().unwrap()).await;
    assert_eq!(ended.code(), Some(0));
}

#[tokio::test]
async fn a_feed_that_is_followed_survives_the_servers_restart() {
    let directory = tempfile::tempdir().unwrap();
    let console = format!("127.0.0.1:{}", free_port());
    let settings = [("STOREKEEPER__CONSOLE__LISTEN", console.as_str())];
    let server = Server::start(directory.path(), &settings).await;
    receive(&server, "first").await;
    let printed = directory.path().join("changes.ndjson");
    let child = command(directory.path(), &[])
        .args(["changes", "shop", "--follow", "--format", "json"])
        .stdout(File::create(&printed).unwrap())
        .spawn()
        .unwrap();
    let mut child = Following(child);
    eventually("the first", async || (lines(&printed).len() == 1).then_some(())).await;
    server.kill();
    let server = Server::start(directory.path(), &settings).await;
    receive(&server, "second").await;
    eventually("the second", async || (lines(&printed).len() == 2).then_some(())).await;
    let found = lines(&printed);
    assert_eq!(
        (&found[0]["reference"], &found[1]["reference"]),
        (&json!("first"), &json!("second"))
    );
    let id = child.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let status = eventually("the command ends", async || child.0.try_wait().unwrap()).await;
    assert!(status.success());
}
