//! Corrections of orders, from being asked for to being in force: the real binary, its API and its
//! commands.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::given;
use crate::harness::{Server, command, eventually};

const ORDER: &str = "/v1/sites/shop/orders/id:7";

/// A server that has an order of two mugs.
struct Shop {
    server: Server,
    directory: TempDir,
}

impl Shop {
    async fn open() -> Self {
        Self::open_with(&[]).await
    }

    async fn open_with(settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::start(directory.path(), settings).await;
        let shop = Self { server, directory };
        shop.hook("PROCESSED", 0).await;
        shop
    }

    /// The order says this status, so long after the start.
    async fn hook(&self, status: &str, millis: i64) {
        let line = json!({"id": "L1", "product_id": "mug", "quantity": 2});
        let data = json!({"id": "7", "external_id": "SO-7", "status": status, "items": [line]});
        let body = given::webhook("shop", "ECOMM_ORDER_UPDATED", millis, &data);
        let sent = Client::new().post(self.server.webhooks()).body(body.to_string()).send().await;
        assert_eq!(sent.unwrap().status(), 200);
        eventually("the webhook is applied", async || {
            let order = self.get(ORDER).await;
            (order["status"] == status).then_some(())
        })
        .await;
    }

    async fn get(&self, path: &str) -> Value {
        let request = Client::new().get(self.server.console(path)).bearer_auth("look-around-0123");
        request.send().await.unwrap().json().await.unwrap()
    }

    async fn correct(&self, body: &Value) -> (StatusCode, Value) {
        let path = "/v1/sites/shop/orders/SO-7/corrections";
        let request = Client::new().post(self.server.console(path)).bearer_auth("act-for-me-01234");
        let answer = request.json(body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        run(self.directory.path(), arguments)
    }
}

fn run(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = command(directory, &[]).env("USER", "carla").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn an_order_is_corrected_once_against_what_was_shown() {
    let shop = Shop::open().await;
    let shown = shop.get(ORDER).await["shown"].clone();
    let body = |action: &str, reference: &str| json!({"action": action, "shown": shown, "reference": reference, "reason": "lost"});
    let (status, first) = shop.correct(&body("release", "T1")).await;
    assert_eq!((status, &first["state"]), (StatusCode::OK, &json!("applied")), "{first}");
    let held = json!([{"key": "product:mug", "committed": "2", "fulfilled": "0"}]);
    assert_eq!((&first["before"], &first["after"]), (&held, &json!([])));
    assert_eq!(first["order"], "id:7");
    let order = shop.get(ORDER).await;
    assert_eq!((&order["why"]["rule"], &order["holds"]), (&json!("released"), &json!([])));
    assert_eq!(order["corrections"][0]["actor"], "console", "there are no tokens");
    let (status, again) = shop.correct(&body("release", "T1")).await;
    assert_eq!((status, &again["message_id"]), (StatusCode::OK, &first["message_id"]));
    let (status, problem) = shop.correct(&body("hold", "T1")).await;
    assert_eq!((status.as_u16(), &problem["code"]), (409, &json!("correction.reference_reused")));
    // It says something else, and holds again; what was shown is no longer so.
    shop.hook("PENDING", 1_000).await;
    assert_eq!(shop.get(ORDER).await["holds"], held);
    let (status, problem) = shop.correct(&body("release", "T2")).await;
    assert_eq!((status.as_u16(), &problem["code"]), (409, &json!("correction.outdated")));
    let item = shop.get("/v1/sites/shop/stock/product:mug").await;
    assert_eq!(item["committed"], "2");
}

#[tokio::test]
async fn what_is_no_correction_is_refused() {
    let shop = Shop::open().await;
    let shown = shop.get(ORDER).await["shown"].clone();
    let good = json!({"action": "hold", "shown": shown, "reference": "R", "reason": "paid"});
    for (member, value) in [
        ("action", json!("reopen")),
        ("shown", json!("x")),
        ("shown", Value::Null),
        ("reference", json!("")),
        ("reason", Value::Null),
        ("actor", json!("anna")),
    ] {
        let mut body = good.clone();
        body[member] = value;
        let (status, problem) = shop.correct(&body).await;
        assert_eq!((status.as_u16(), &problem["code"]), (400, &json!("request.invalid")), "{body}");
    }
    assert_eq!(shop.get(ORDER).await["corrections"], json!([]));
}

#[tokio::test]
async fn a_correction_of_the_api_is_the_tokens_roles() {
    let tokens = ("STOREKEEPER__CONSOLE__TOKENS", "read:look-around-0123,operate:act-for-me-01234");
    let shop = Shop::open_with(&[tokens]).await;
    let shown = shop.get(ORDER).await["shown"].clone();
    let body = json!({"action": "ship", "shown": shown, "reference": "T1", "reason": "gone"});
    assert_eq!(shop.correct(&body).await.0, StatusCode::OK);
    let order = shop.get(ORDER).await;
    assert_eq!(order["corrections"][0]["actor"], "operate");
    assert!(order["left_since"].is_string(), "{order}");
}

#[tokio::test]
async fn the_commands_correct_and_say_what_the_order_holds() {
    let shop = Shop::open().await;
    let by = ["--reference", "T1", "--reason", "taken along"];
    let (status, printed, said) =
        shop.run(&[&["orders", "ship", "shop", "SO-7"], &by[..]].concat());
    assert_eq!((status, said.as_str()), (Some(0), ""), "{printed}");
    assert!(printed.contains("state      applied\n"), "{printed}");
    let holds = printed.split("Holds now\n").nth(1).unwrap();
    assert!(holds.contains("product:mug          0          2"), "{printed}");
    let (status, _, said) = shop.run(&[&["orders", "ship", "shop", "7"], &by[..]].concat());
    assert_eq!((status, said.as_str()), (Some(0), "corrected before; nothing was done\n"));
    let (status, _, said) = shop.run(&[&["orders", "hold", "shop", "7"], &by[..]].concat());
    assert_eq!(status, Some(1));
    assert!(said.contains("the reference is taken"), "{said}");
    let (_, shown, _) = shop.run(&["orders", "show", "shop", "7", "--format", "json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["corrections"][0]["actor"], "carla", "the system's user");
    let release = ["orders", "release", "shop", "7", "--reference", "T2", "--reason", "back"];
    let token = ["--as", "anna", "--format", "json", "--shown", shown["shown"].as_str().unwrap()];
    let release = [&release[..], &token].concat();
    shop.hook("PENDING", 1_000).await;
    let (status, _, said) = shop.run(&release);
    assert_eq!(status, Some(1));
    assert!(said.contains("says something else than was shown"), "{said}");
    let (status, printed, _) = shop.run(release.split_at(release.len() - 2).0);
    assert_eq!(status, Some(0));
    let answer: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((&answer["action"], &answer["after"]), (&json!("release"), &json!([])));
    let (status, _, said) = shop.run(&[&["orders", "hold", "shop", "none"], &by[..]].concat());
    assert_eq!(status, Some(1));
    assert!(said.contains("no event of the order \"none\" of shop was applied"), "{said}");
    let corrected = shop.run(&["orders", "list", "--corrected", "--format", "json"]).1;
    assert_eq!(corrected.lines().count(), 1);
}

#[tokio::test]
async fn a_correction_that_no_worker_takes_is_queued_and_said_to_be() {
    let mut shop = Shop::open().await;
    shop.server.signal("TERM");
    assert!(shop.server.ended().await.success());
    let release = ["orders", "release", "shop", "7", "--reference", "T", "--reason", "lost"];
    let (status, printed, said) = shop.run(&[&release[..], &["--timeout", "1ms"]].concat());
    assert_eq!(status, Some(1));
    assert!(printed.contains("state      queued\n"), "{printed}");
    assert!(said.contains("queued, and not in effect yet"), "{said}");
    shop.server = Server::start(shop.directory.path(), &[]).await;
    let (status, printed, _) = shop.run(&release);
    assert_eq!(status, Some(0));
    assert!(printed.contains("state      applied\n"), "{printed}");
}

/// What nobody was shown yet cannot be corrected: a snapshot or deletion that is to come.
#[tokio::test]
async fn what_was_never_shown_is_refused() {
    let shop = Shop::open().await;
    let shown = shop.get(ORDER).await["shown"].as_str().unwrap().to_owned();
    let shown: Value =
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(shown).unwrap()).unwrap();
    let mut later = shown.clone();
    // Its words are class, time of the event, and more.
    let mut words: Vec<&str> = shown["version"].as_str().unwrap().split(' ').collect();
    words[1] = "4102444800000";
    later["version"] = json!(words.join(" "));
    let mut gone = shown.clone();
    gone["deleted"] = shown["version"].clone();
    for forged in [later, gone] {
        let token = BASE64_URL_SAFE_NO_PAD.encode(forged.to_string());
        let body = json!({"action": "hold", "shown": token, "reference": "R", "reason": "x"});
        let (status, problem) = shop.correct(&body).await;
        assert_eq!((status.as_u16(), &problem["code"]), (409, &json!("correction.outdated")));
    }
}

/// A correction that stands no more is not taken for one that was asked for again.
#[tokio::test]
async fn a_reference_is_taken_once_the_order_says_something_else() {
    let shop = Shop::open().await;
    let release = ["orders", "release", "shop", "7", "--reference", "unpaid", "--reason", "late"];
    assert_eq!(shop.run(&release).0, Some(0));
    shop.hook("PENDING", 1_000).await;
    let (status, _, said) = shop.run(&release);
    assert_eq!(status, Some(1));
    assert!(said.contains("the reference is taken"), "{said}");
}

/// An order that has no other name than an invoice number is found by that name as a whole, whoever
/// bears the number too.
#[tokio::test]
async fn an_order_of_an_invoice_number_only_is_found_beside_others_that_bear_it() {
    let shop = Shop::open().await;
    for (id, units) in [(Value::Null, 5), (json!("1"), 2)] {
        let line = json!({"id": "L1", "product_id": "cup", "quantity": units});
        let data =
            json!({"id": id, "invoice_number": "N1", "status": "PROCESSED", "items": [line]});
        let body = given::webhook("shop", "ECOMM_ORDER_CREATED", 0, &data);
        let sent = Client::new().post(shop.server.webhooks()).body(body.to_string()).send().await;
        assert_eq!(sent.unwrap().status(), 200);
    }
    eventually("both orders are applied", async || {
        let item = shop.get("/v1/sites/shop/stock/product:cup").await;
        (item["committed"] == "7").then_some(())
    })
    .await;
    let order = shop.get("/v1/sites/shop/orders/invoice-number:N1").await;
    assert_eq!(
        (&order["order"], &order["holds"][0]["committed"]),
        (&json!("invoice-number:N1"), &json!("5"))
    );
    let problem = shop.get("/v1/sites/shop/orders/N1").await;
    assert_eq!(problem["candidates"], json!(["id:1", "invoice-number:N1"]));
}
