//! The README's first sale, line by line.

use std::fs;

use crate::harness::{Server, command, eventually};

const HEADING: &str = "## Your first sale";

#[tokio::test]
async fn the_first_sale_of_the_readme_is_seen_in_the_stock() {
    let page = fs::read_to_string("README.md").unwrap();
    let section = page.split(HEADING).nth(1).unwrap();
    let example = section.split("```").nth(1).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    let mut printed = Vec::new();
    for line in example.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match &words[..] {
            ["storekeeper", "serve", ..] => {}
            ["curl", "--json", body, "http://127.0.0.1:8080/webhooks/duda"] => {
                let body = fs::read(body.trim_start_matches('@')).unwrap();
                let client = reqwest::Client::new();
                let answer = client.post(server.webhooks()).body(body).send().await.unwrap();
                assert_eq!(answer.status(), 200, "{line}");
            }
            ["storekeeper", words @ ..] => {
                // A webhook is counted a moment after its answer.
                let output = eventually(line, async || {
                    let output = command(directory.path(), &[]).args(words).output().unwrap();
                    let text = String::from_utf8(output.stdout).unwrap();
                    let is_counted = words[1] != "show" || text.contains("PROCESSED");
                    (output.status.success() && is_counted).then_some(text)
                });
                printed.push(output.await);
            }
            other => panic!("who runs this? {other:?}"),
        }
    }
    let stock = &printed[printed.len() - 2];
    for (what, value) in [("received", "10"), ("committed", "1"), ("available", "9")] {
        let line = stock.lines().find(|line| line.starts_with(what)).unwrap();
        assert!(line.ends_with(&format!(" {value}")), "{stock}");
    }
    assert!(printed.last().unwrap().contains("invoice-number:LANT-0312"), "{printed:?}");
}
