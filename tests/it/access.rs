//! The real binary with several sources and with tokens: who may send what, and who may see it.

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use storekeeper::clock;
use storekeeper::ingress::signature::{SIGNATURE_HEADER, TIMESTAMP_HEADER, sign};

use crate::harness::{Server, command, eventually};

const SOURCES: &str = "
    [[sources]]
    name = 'agency'
    sites = ['garden', 'kitchen']
    [[sources]]
    name = 'shop'
    sites = ['shop']
";
const CREDENTIALS: &str = "
    [[ingress.credentials]]
    source = 'agency'
    secrets = ['YWdlbmN5']
    [[ingress.credentials]]
    source = 'shop'
    path_token = 'shop-token-0123456'
    [[ingress.credentials]]
    source = 'shop'
    path_token = 'next-token-0123456'
";
const SETTINGS: [(&str, &str); 5] = [
    ("STOREKEEPER__SOURCES", SOURCES),
    ("STOREKEEPER__INGRESS__CREDENTIALS", CREDENTIALS),
    ("STOREKEEPER__INGRESS__SECRETS", "b3duZXI="),
    ("STOREKEEPER__INGRESS__EXPIRED", "park"),
    ("STOREKEEPER__CONSOLE__TOKENS", "read:look-around-0123,operate:act-for-me-01234"),
];

/// An order of one unit.
pub(crate) fn order(site: &str) -> String {
    json!({
        "event_type": "ECOMM_ORDER_CREATED",
        "event_timestamp": 1_700_000_000_000_i64,
        "resource_data": {"site_name": site},
        "data": {
            "id": "7",
            "status": "PROCESSED",
            "items": [{"product_id": "P", "quantity": 1}],
            "email": "jane@example.com",
        },
    })
    .to_string()
}

fn signed(server: &Server, secret: &[u8], millis: i64, body: String) -> RequestBuilder {
    let timestamp = millis.to_string();
    let signature = sign(secret, &timestamp, body.as_bytes());
    let request = reqwest::Client::new().post(server.webhooks()).body(body);
    request.header(TIMESTAMP_HEADER, timestamp).header(SIGNATURE_HEADER, signature)
}

async fn taken(request: RequestBuilder) -> String {
    let answer = request.send().await.unwrap().error_for_status().unwrap();
    answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
}

async fn ask(server: &Server, token: &str, path: &str) -> Value {
    let request = reqwest::Client::new().get(server.console(path)).bearer_auth(token);
    let answer = request.send().await.unwrap().error_for_status().unwrap();
    answer.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_writes_its_own_sites_and_the_rest_is_put_aside() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &SETTINGS).await;
    let now = clock::now().millis();
    taken(signed(&server, b"agency", now, order("garden"))).await;
    taken(signed(&server, b"owner", now, order("attic"))).await;
    let by_token = |token, body| {
        reqwest::Client::new().post(format!("{}/{token}", server.webhooks())).body(body)
    };
    taken(by_token("shop-token-0123456", order("shop"))).await;
    taken(by_token("next-token-0123456", order("shop"))).await;
    let foreign = taken(by_token("shop-token-0123456", order("garden"))).await;
    let owners = taken(signed(&server, b"owner", now, order("shop"))).await;
    let other = taken(signed(&server, b"agency", now, order("shop"))).await;
    let late = taken(signed(&server, b"agency", now - 3_600_000, order("kitchen"))).await;

    let letters = eventually("four letters are parked, and nothing waits", async || {
        let queues = ask(&server, "look-around-0123", "/v1/queues").await;
        let waits = ["/work/ready", "/work/in_flight", "/dead/intake"]
            .iter()
            .any(|path| queues.pointer(path).unwrap() != 0);
        let letters = ask(&server, "look-around-0123", "/v1/dead-letters").await["items"].clone();
        (!waits && letters.as_array().unwrap().len() == 4).then_some(letters)
    });
    let letters = letters.await;
    let reason = |id: &str| {
        let letter = letters.as_array().unwrap().iter().find(|letter| letter["id"] == id);
        letter.unwrap()["reason"].as_str().unwrap()
    };
    assert_eq!(reason(&foreign), "site.not_allowed");
    assert_eq!(reason(&other), "site.not_allowed");
    assert_eq!(reason(&owners), "site.not_allowed", "not even of the default source");
    assert_eq!(reason(&late), "signature.expired");
    assert!(!letters.to_string().contains("jane"), "{letters}");
    let whole = ask(&server, "act-for-me-01234", &format!("/v1/dead-letters/{foreign}")).await;
    assert_eq!((&whole["headers"]["source"], &whole["site"]), (&"shop".into(), &"garden".into()));
    assert!(whole["body"]["text"].as_str().unwrap().contains("jane@example.com"));

    for (site, committed) in [("garden", "1"), ("shop", "1"), ("attic", "1")] {
        let stock = ask(&server, "look-around-0123", &format!("/v1/sites/{site}/stock")).await;
        assert_eq!(stock["items"][0]["committed"], committed, "{site}: {stock}");
    }
    // Those that sent something, by their names.
    let metrics = format!("http://{}/metrics", server.addresses.probes);
    let metrics = reqwest::get(metrics).await.unwrap().text().await.unwrap();
    for source in ["duda", "agency", "shop"] {
        let last = "storekeeper_webhooks_last_received_timestamp_seconds";
        let last = format!("{last}{{source=\"{source}\"}} ");
        let last = metrics.lines().find_map(|line| line.strip_prefix(&last)).unwrap();
        let whole_seconds: i64 = last.split('.').next().unwrap().parse().unwrap();
        let ago = clock::now().millis() / 1000 - whole_seconds;
        assert!((0..600).contains(&ago), "{source}: {ago} s ago");
    }
    let log = server.log();
    assert!(log.contains("is shorter than 16 bytes"), "{log}");
    assert!(!log.contains("webhooks are not verified"), "{log}");
    for private in ["jane", "shop-token-0123456", "YWdlbmN5", "act-for-me-01234", "Bearer"] {
        assert!(!log.contains(private), "{private} in\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ingress_that_verifies_nothing_says_so_at_its_start() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start_as("ingress", directory.path(), &[]).await;
    let log = server.log();
    let line = log.lines().find(|line| line.contains("webhooks are not verified"));
    assert!(line.is_some_and(|line| line.contains("WARN")), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_webhook_that_was_put_aside_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &SETTINGS).await;
    let late = clock::now().millis() - 3_600_000;
    let id = taken(signed(&server, b"agency", late, order("garden"))).await;
    server.kill();
    let server = Server::start(directory.path(), &SETTINGS).await;
    eventually("the letter is parked", async || {
        let letters = ask(&server, "look-around-0123", "/v1/dead-letters").await;
        (letters["items"][0]["id"] == id.as_str()).then_some(())
    })
    .await;
    assert_eq!(ask(&server, "look-around-0123", "/v1/sites").await["items"], json!([]));
}

#[test]
fn a_shell_gets_its_completions() {
    let directory = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = command(directory.path(), &[]).args(["completions", shell]).output().unwrap();
        assert!(output.status.success(), "{shell}");
        assert!(String::from_utf8(output.stdout).unwrap().contains("dead-letters"), "{shell}");
    }
    let output = command(directory.path(), &[]).args(["completions", "tcsh"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
