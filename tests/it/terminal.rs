//! What the commands print in a real terminal of several widths: one shop, every list of it.
//!
//! `script` gives a command a terminal, and `stty` its width. Ids and times of each run are replaced
//! by others of the same length, so that the columns stay as they are.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Server, command, eventually, variable};

/// A narrow window, the usual one, and a wide one.
const WIDTHS: [usize; 3] = [60, 80, 200];
const ORDER: &str = "5f6f0dbb8b2c4e0001a6f1d2";
const VARIATION: &str = "variation:64f0c1d2e3b4a5968778695a";

const LISTS: &[&str] = &[
    "stock list",
    "stock show north-shop variation:64f0c1d2e3b4a5968778695a",
    "orders list",
    "orders show north-shop 5f6f0dbb8b2c4e0001a6f1d2",
    "dead-letters groups",
    "dead-letters list",
    "dead-letters replay --dry-run --all",
    "replays list",
    "changes north-shop",
    "policy show",
];

/// Runs a command in a terminal of that width; what it prints there, without styles.
fn in_terminal(directory: &Path, width: usize, environment: &[(&str, &str)], line: &str) -> String {
    let binary = env!("CARGO_BIN_EXE_storekeeper");
    let line = format!("stty cols {width} rows 40; exec '{binary}' {line}");
    let command = command(directory, environment);
    let mut script = std::process::Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).current_dir(directory).env_clear();
    script.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    script.env("PATH", variable("PATH").unwrap_or_default()).env("TERM", "xterm");
    let output = script.stdin(std::process::Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n");
    anstream::adapter::strip_str(&text).to_string()
}

async fn post(server: &Server, body: String) -> String {
    let answer = reqwest::Client::new().post(server.webhooks()).body(body).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    answer["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn order(id: &str, kind: &str, status: &str, at: i64, quantity: u32) -> String {
    let body = json!({
        "event_type": kind,
        "event_timestamp": 1_700_000_000_000_i64 + at,
        "resource_data": {"site_name": "north-shop"},
        "data": {
            "id": id,
            "status": status,
            "mode": "LIVE",
            "invoice_number": format!("NS-{}", id.get(..5).unwrap()),
            "items": [
                {
                    "id": "9f1c", "product_id": "64f0c1d2e3b4a5968778aaaa",
                    "variation_id": "64f0c1d2e3b4a5968778695a", "sku": "LANTERN-AMBER-18",
                    "name": "Amber glass lantern, 18 cm", "quantity": quantity,
                },
                {"id": "9f1d", "name": "Gift wrap", "quantity": 1},
            ],
        },
    });
    body.to_string()
}

/// A shop with an order that was changed, an order that waits, and two dead letters.
async fn shop(directory: &Path) -> Server {
    let server = Server::start(directory, &[]).await;
    let settled = async |orders: usize, letters: usize| {
        eventually("what was posted is settled", async || {
            let counted = |arguments: &[&str]| {
                let output = command(directory, &[]).args(arguments).output().unwrap();
                String::from_utf8(output.stdout).unwrap().lines().count()
            };
            let found = (
                counted(&["changes", "north-shop", "--format", "json"]),
                counted(&["dead-letters", "list", "--format", "json"]),
            );
            (found == (orders, letters)).then_some(())
        })
        .await;
    };
    post(&server, order(ORDER, "ECOMM_ORDER_CREATED", "PROCESSED", 0, 3)).await;
    settled(2, 0).await;
    post(&server, order(ORDER, "ECOMM_ORDER_UPDATED", "PROCESSED", 60_000, 12)).await;
    settled(3, 0).await;
    let receive = ["stock", "receive", "north-shop", VARIATION, "10.5", "--reference", "PO-1234"];
    assert!(command(directory, &[]).args(receive).output().unwrap().status.success());
    settled(4, 0).await;
    post(&server, "not JSON".to_owned()).await;
    settled(4, 1).await;
    let without_data = json!({
        "event_type": "ECOMM_ORDER_CREATED",
        "event_timestamp": 1_700_000_000_000_i64,
        "resource_data": {"site_name": "north-shop"},
    });
    post(&server, without_data.to_string()).await;
    settled(4, 2).await;
    let replay = ["dead-letters", "replay", "--reason", "decode.not_json"];
    let replayed = command(directory, &[]).args(replay).output().unwrap();
    assert_eq!(replayed.status.code(), Some(1), "it failed again");
    settled(4, 2).await;
    server
}

/// The text with ids and times of the run replaced.
fn redacted(text: &str) -> String {
    let is_uuid =
        |word: &str| word.len() == 36 && word.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    let is_hash = |word: &str| word.len() == 16 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let is_time = |word: &str| {
        word.len() == 24 && word.ends_with('Z') && word.starts_with("20") && word.contains('T')
    };
    let mut words = text.split_inclusive([' ', '\n']).map(|word| {
        let bare = word.trim_end();
        let end = word.get(bare.len()..).unwrap();
        match bare {
            bare if is_uuid(bare) => format!("01234567-89ab-7cde-8f01-23456789abcd{end}"),
            bare if is_hash(bare) => format!("0123456789abcdef{end}"),
            bare if is_time(bare) && !bare.starts_with("2023-11-14T22:1") => {
                format!("2026-01-31T12:34:56.789Z{end}")
            }
            _ => word.to_owned(),
        }
    });
    words.by_ref().collect()
}

/// What a list prints in a terminal, without what is different in every run.
fn printed(directory: &Path, width: usize, list: &str) -> String {
    let text = in_terminal(directory, width, &[], list);
    let lines = text.lines().filter(|line| !line.starts_with("`--after "));
    let lines: Vec<&str> = lines.map(str::trim_end).collect();
    redacted(&format!("{}\n", lines.join("\n")))
}

#[tokio::test]
async fn every_list_fits_the_terminal_and_breaks_no_id() {
    let directory = tempfile::tempdir().unwrap();
    let _server = shop(directory.path()).await;
    for width in WIDTHS {
        let mut all = String::new();
        for list in LISTS {
            let text = printed(directory.path(), width, list);
            writeln!(all, "$ storekeeper {list}\n{text}").unwrap();
        }
        insta::assert_snapshot!(format!("{width}_columns"), all);
    }
}

#[tokio::test]
async fn empty_lists_say_so_and_a_width_of_zero_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    for (list, says) in [
        ("stock list", "No stock items. An item appears"),
        ("orders list", "No orders. An order appears"),
        ("dead-letters list", "No dead letters"),
        ("dead-letters groups", "No dead letters"),
        ("replays list", "No replays."),
    ] {
        let text = in_terminal(directory.path(), 80, &[], list);
        assert!(text.starts_with(says), "{list}: {text}");
    }
    let name = "a name of a product that is rather long ".repeat(4);
    let body = order(ORDER, "ECOMM_ORDER_CREATED", "PROCESSED", 0, 3)
        .replace("Amber glass lantern, 18 cm", name.trim());
    post(&server, body).await;
    let listed = async |width, columns| {
        eventually("the item is listed", async || {
            let text = in_terminal(directory.path(), width, columns, "stock list");
            text.contains(VARIATION).then_some(text)
        })
        .await
    };
    assert!(!listed(80, &[]).await.contains(name.trim()));
    assert!(listed(0, &[]).await.contains(name.trim()));
    assert!(listed(80, &[("COLUMNS", "0")]).await.contains(name.trim()));
    let narrow = listed(200, &[("COLUMNS", "60")]).await;
    let mut table = narrow.lines().filter(|line| !line.starts_with("left out"));
    assert!(table.all(|line| line.chars().count() <= 60), "{narrow}");
}
