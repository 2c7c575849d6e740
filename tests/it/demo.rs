//! `demo` of the real binary: what it tells a newcomer is there, and is so.

use std::fs::File;
use std::process::Stdio;

use crate::harness::{command, eventually};

/// Ends the demo with the test.
struct Demo(std::process::Child);

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The text after a word, up to the end of its line.
fn after<'a>(said: &'a str, word: &str) -> &'a str {
    let (_, rest) = said.split_once(word).unwrap_or_else(|| panic!("{word} is not in {said}"));
    rest.lines().next().unwrap().trim()
}

#[tokio::test]
async fn what_the_demo_prints_is_there_and_its_figures_are_those_of_an_audit() {
    let directory = tempfile::tempdir().unwrap();
    let said = directory.path().join("said.txt");
    let child = command(directory.path(), &[])
        .args(["demo", "--orders", "60", "--seed", "7"])
        .stdout(Stdio::null())
        .stderr(File::create(&said).unwrap())
        .spawn();
    let mut demo = Demo(child.unwrap());
    let said = eventually("it stays up", async || {
        let said = std::fs::read_to_string(&said).unwrap();
        said.contains("changes seed7-ceramics --follow\n").then_some(said)
    })
    .await;
    for word in ["operator API", "metrics"] {
        let answer = reqwest::get(after(&said, word)).await.unwrap();
        assert_eq!(answer.status(), 200, "{word}");
    }
    let url = after(&said, "webhooks");
    let answer = reqwest::Client::new().post(url).body("").send().await.unwrap();
    assert_eq!(answer.status(), 400, "an empty body");
    let path = after(&said, "export STOREKEEPER__EMBEDDED__PATH=");
    assert!(said.contains(&format!("in {path}:")), "{said}");
    let run = |line: &str| {
        let mut command = command(directory.path(), &[("STOREKEEPER__EMBEDDED__PATH", path)]);
        let output = command.args(line.split(' ')).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let (figures, _) = after(&said, "The Store has ").split_once(", those").unwrap();
    let audited = run("audit");
    assert!(audited.contains(figures), "{figures} is not in {audited}");
    let listed = run("stock list --format json").lines().count();
    assert!(figures.starts_with(&format!("{listed} stock items")), "{figures}");
    run("stock list seed7-ceramics");
    run("dead-letters groups");
    let id = demo.0.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let ended = eventually("it ends", async || demo.0.try_wait().unwrap()).await;
    assert_eq!(ended.code(), Some(0));
    assert!(!std::path::Path::new(path).exists(), "it leaves nothing behind");
}

#[test]
fn the_demo_refuses_settings_that_it_would_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let output =
        command(directory.path(), &[]).args(["demo", "--config", "my.toml"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("reads none from my.toml: leave out --config"), "{said}");
}
