//! Users of the console: their names are recorded, and other sites do not exist for a user of some.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::{Backends, Served, given};
use crate::harness::{Server, eventually};

const OWN: &str = "act-for-shop-0123";
const READS: &str = "look-at-shop-0123";
const OF_ALL: &str = "act-for-all-01234";
const USERS: &str = "
    [[console.users]]
    name = 'Anna'
    role = 'operate'
    sites = ['shop', 'new']
    token = 'act-for-shop-0123'
    [[console.users]]
    name = 'Ben'
    role = 'read'
    sites = ['shop']
    token = 'look-at-shop-0123'
    [[console.users]]
    name = 'Carla'
    role = 'operate'
    token = 'act-for-all-01234'
";

/// Two shops with dead letters of one of them and of neither.
async fn shops() -> (Backends, Served) {
    let backends = Backends::open();
    given::shop(&*backends.store).await;
    given::goods(&*backends.store, "other", "sku:S-1", 3).await;
    given::dead_letters(&*backends.store).await;
    let console = backends.serve_console_set([("STOREKEEPER__CONSOLE__USERS", USERS)]).await;
    (backends, console)
}

async fn ask(console: &Served, token: &str, method: Method, path: &str, body: &Value) -> Response {
    let request = console.client.request(method, format!("{}{path}", console.url));
    let request = request.bearer_auth(token);
    if body.is_null() { request } else { request.json(body) }.send().await.unwrap()
}

async fn get(console: &Served, token: &str, path: &str) -> Value {
    let answer = ask(console, token, Method::GET, path, &Value::Null).await;
    let status = answer.status();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(status, 200, "{path}: {body}");
    body
}

/// The status and the code of a refusal.
async fn refused(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let problem: Value = answer.json().await.unwrap();
    (status, problem["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn other_sites_do_not_exist_for_a_user_of_some() {
    let (_backends, console) = shops().await;
    assert_eq!(get(&console, OWN, "/v1/sites").await["items"], json!([{"site": "shop"}]));
    let all = get(&console, OF_ALL, "/v1/sites").await;
    assert_eq!(all["items"], json!([{"site": "other"}, {"site": "shop"}]));
    for list in ["stock", "stock/sku:S-1", "orders", "orders/1001", "catalogue", "changes"] {
        get(&console, READS, &format!("/v1/sites/shop/{list}")).await;
        let mut answers = Vec::new();
        for site in ["other", "none"] {
            let path = format!("/v1/sites/{site}/{list}");
            let answer = ask(&console, READS, Method::GET, &path, &Value::Null).await;
            let problem: Value = answer.json().await.unwrap();
            assert_eq!(
                (&problem["status"], &problem["code"]),
                (&json!(404), &"site.unknown".into())
            );
            answers.push(problem["detail"].as_str().unwrap().replace(site, ""));
        }
        assert_eq!(answers[0], answers[1], "{list}: it is not said that the site is there");
    }
    let receipt = json!({"quantity": 1, "reference": "R", "create": true});
    let path = "/v1/sites/other/stock/sku:S-1/receipts";
    let answer = ask(&console, OWN, Method::POST, path, &receipt).await;
    assert_eq!(refused(answer).await, (404, "site.unknown".to_owned()));
}

#[tokio::test]
async fn what_concerns_all_sites_is_refused_to_a_user_of_some() {
    let (_backends, console) = shops().await;
    for (method, path) in [
        (Method::GET, "/v1/queues"),
        (Method::GET, "/v1/dead-letters"),
        (Method::GET, "/v1/dead-letters/groups"),
        (Method::GET, "/v1/replays"),
        (Method::POST, "/v1/replays"),
    ] {
        let body = if method == Method::GET { Value::Null } else { json!({}) };
        let answer = ask(&console, OWN, method.clone(), path, &body).await;
        assert_eq!(refused(answer).await, (403, "auth.forbidden".to_owned()), "{method} {path}");
        if method == Method::GET {
            get(&console, OF_ALL, path).await;
        }
    }
    let item = get(&console, OWN, "/v1/sites/shop/stock/sku:S-1").await;
    assert_eq!(item["pending"], json!({"queued": null, "retrying": null, "dead": 1}));
    let item = get(&console, OF_ALL, "/v1/sites/shop/stock/sku:S-1").await;
    assert_eq!(item["pending"], json!({"queued": 0, "retrying": 0, "dead": 1}));
    get(&console, OWN, "/v1/openapi.json").await;
}

#[tokio::test]
async fn a_user_of_some_sites_has_the_dead_letters_of_these() {
    let (backends, console) = shops().await;
    let listed = get(&console, READS, "/v1/dead-letters?site=shop").await;
    assert_eq!(listed["items"][0]["id"], given::message(2).to_string());
    let other =
        ask(&console, READS, Method::GET, "/v1/dead-letters?site=other", &Value::Null).await;
    assert_eq!(refused(other).await, (404, "site.unknown".to_owned()));
    let letter = |number| format!("/v1/dead-letters/{}", given::message(number));
    assert!(get(&console, OWN, &letter(2)).await["body"].is_object());
    assert!(get(&console, READS, &letter(2)).await.get("body").is_none());
    get(&console, OF_ALL, &letter(1)).await;
    // Another body may be of another site.
    let body = format!("{}/body", letter(2));
    let edit = ask(&console, OWN, Method::PUT, &body, &json!({"text": "{}"})).await;
    assert_eq!(refused(edit).await, (403, "auth.forbidden".to_owned()));
    for method in [Method::GET, Method::DELETE] {
        let answer = ask(&console, OWN, method, &letter(1), &Value::Null).await;
        assert_eq!(refused(answer).await, (404, "dead_letter.unknown".to_owned()));
    }
    let own = ask(&console, OWN, Method::DELETE, &letter(2), &Value::Null).await;
    assert_eq!(own.status(), 200);
    assert!(backends.store.dead_letter(given::message(2)).await.unwrap().is_none());
    assert!(backends.store.dead_letter(given::message(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_reader_of_some_sites_changes_nothing() {
    let (_backends, console) = shops().await;
    let receipt = json!({"quantity": 1, "reference": "R"});
    for site in ["shop", "other"] {
        let path = format!("/v1/sites/{site}/stock/sku:S-1/receipts");
        let answer = ask(&console, READS, Method::POST, &path, &receipt).await;
        assert_eq!(refused(answer).await, (403, "auth.forbidden".to_owned()), "{site}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_name_of_a_user_is_recorded_and_a_changed_file_of_users_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users.toml");
    std::fs::write(&file, USERS).unwrap();
    let setting = ("STOREKEEPER__CONSOLE__USERS_FILE", file.to_str().unwrap());
    let server = Server::start(directory.path(), &[setting]).await;
    let ask = async |token: &str, method: Method, path: &str, body: &Value| {
        let request = reqwest::Client::new().request(method, server.console(path));
        let request = request.bearer_auth(token);
        if body.is_null() { request } else { request.json(body) }.send().await.unwrap()
    };
    let receipt = json!({"quantity": "5", "reference": "PO-1", "create": true});
    let path = "/v1/sites/new/stock/sku:S-1/receipts";
    let answer = ask(OWN, Method::POST, path, &receipt).await;
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    let receipts: Value = ask(OWN, Method::GET, path, &Value::Null).await.json().await.unwrap();
    assert_eq!(receipts["items"][0]["actor"], "Anna", "{receipts}");
    let again = USERS.replace(OWN, "new-token-of-anna");
    std::fs::write(&file, again).unwrap();
    eventually("the new token is known, and the old one is not", async || {
        let old = ask(OWN, Method::GET, "/v1/sites", &Value::Null).await.status();
        let new = ask("new-token-of-anna", Method::GET, "/v1/sites", &Value::Null).await.status();
        (old == 401 && new == 200).then_some(())
    })
    .await;
    let log = server.log();
    for secret in [OWN, OF_ALL, "new-token-of-anna"] {
        assert!(!log.contains(secret), "{log}");
    }
}
