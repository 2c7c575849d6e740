//! Who may ask the console what.

use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

use super::{Backends, Served, given};

const TOKENS: &str = "read:look-around-0123,operate:act-for-me-01234,read:look-too-0123456";

/// Every documented route with its method, filled in.
async fn routes(console: &Served) -> Vec<(Method, String)> {
    let request = console.client.get(format!("{}/v1/openapi.json", console.url));
    let document: Value =
        request.bearer_auth("act-for-me-01234").send().await.unwrap().json().await.unwrap();
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path = path.replace("{site}", "shop").replace("{key}", "sku:1");
        let path = path.replace("{order}", "id:1").replace("{id}", &given::message(1).to_string());
        for method in methods.as_object().unwrap().keys() {
            routes.push((method.to_uppercase().parse().unwrap(), path.clone()));
        }
    }
    assert!(routes.len() >= 9, "only {routes:?}");
    routes
}

fn request(console: &Served, method: Method, path: &str) -> RequestBuilder {
    console.client.request(method, format!("{}{path}", console.url))
}

async fn code(answer: Response) -> String {
    let problem: Value = answer.json().await.unwrap();
    problem["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn with_tokens_nothing_is_answered_without_one() {
    let console = Backends::open().serve_console_with(TOKENS).await;
    let mut routes = routes(&console).await;
    routes.push((Method::GET, "/".into()));
    routes.push((Method::GET, "/nothing/here".into()));
    routes.push((Method::OPTIONS, "/v1/sites".into()));
    routes.push((Method::DELETE, "/v1/sites".into()));
    for (method, path) in routes {
        let answer = request(&console, method.clone(), &path).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{method} {path}");
        assert_eq!(answer.headers()["www-authenticate"], "Bearer realm=\"storekeeper\"");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        assert_eq!(code(answer).await, "auth.missing", "{method} {path}");
    }
}

#[tokio::test]
async fn a_wrong_or_doubled_authorization_is_no_token() {
    let console = Backends::open().serve_console_with(TOKENS).await;
    for values in [
        vec!["Bearer guess"],
        vec!["Bearer look-aroun"],
        vec!["Bearer look-around-01232"],
        vec!["Bearer LOOK-AROUND"],
        vec!["Bearer read:look-around-0123"],
        vec!["Bearer look-around-0123 act-for-me-01234"],
        vec!["look-around-0123"],
        vec!["Basic bG9vay1hcm91bmQtMDEyMzo="],
        vec!["Bearer"],
        vec!["Bearer "],
        vec![""],
        vec!["Bearer look-around-0123", "Bearer look-around-0123"],
        vec!["Bearer look-around-0123", "Basic bG9vay1hcm91bmQtMDEyMzo="],
    ] {
        let mut request = request(&console, Method::GET, "/v1/sites");
        for value in &values {
            request = request.header("authorization", *value);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 401, "{values:?}");
        assert!(answer.headers().contains_key("www-authenticate"), "{values:?}");
        assert_eq!(code(answer).await, "auth.missing", "{values:?}");
    }
    // A token in the address would be in histories and logs.
    let answer = console.get("/v1/sites?access_token=look-around-0123").await;
    assert_eq!(answer.status(), 401);
}

#[tokio::test]
async fn every_token_reads_and_the_host_does_not_matter() {
    let backends = Backends::open();
    given::shop(&*backends.store).await;
    let console = backends.serve_console_with(TOKENS).await;
    for token in ["look-around-0123", "look-too-0123456", "act-for-me-01234"] {
        for path in ["/v1/sites", "/v1/sites/shop/stock", "/v1/queues", "/v1/openapi.json"] {
            let request = request(&console, Method::GET, path).bearer_auth(token);
            let request = request.header("host", "console.example").header("origin", "https://a.b");
            assert_eq!(request.send().await.unwrap().status(), 200, "{token} {path}");
        }
    }
    let unknown = request(&console, Method::GET, "/nothing").bearer_auth("look-too-0123456");
    assert_eq!(code(unknown.send().await.unwrap()).await, "route.unknown");
}

#[tokio::test]
async fn what_a_dead_letter_holds_is_for_operators() {
    let backends = Backends::open();
    given::dead_letters(&*backends.store).await;
    let path = format!("/v1/dead-letters/{}", given::message(2));
    let console = backends.serve_console_with(TOKENS).await;
    let shown = async |token: &str| -> Value {
        let request = request(&console, Method::GET, &path).bearer_auth(token);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    };
    let whole = shown("act-for-me-01234").await;
    assert!(whole["body"]["text"].as_str().unwrap().contains("Jane"), "{whole}");
    assert_eq!(whole["headers"]["type"], "duda.webhook");
    let outside = shown("look-around-0123").await;
    assert_eq!(outside["reason"], "decode.invalid_quantity");
    assert!(outside.get("body").is_none() && outside.get("headers").is_none(), "{outside}");
    assert!(!outside.to_string().contains("Jane"), "{outside}");
    let (mut without, of_list) = (whole, shown("look-too-0123456").await);
    without.as_object_mut().unwrap().retain(|name, _| name != "body" && name != "headers");
    assert_eq!(without, of_list);
}

#[tokio::test]
async fn without_tokens_this_machine_is_the_operator() {
    let backends = Backends::open();
    given::dead_letters(&*backends.store).await;
    let console = backends.serve_console().await;
    let path = format!("/v1/dead-letters/{}", given::message(2));
    assert!(console.json(&path).await["body"]["text"].is_string());
    // A token that nobody asked for does no harm.
    let request = request(&console, Method::GET, &path).bearer_auth("guess");
    assert_eq!(request.send().await.unwrap().status(), 200);
}
