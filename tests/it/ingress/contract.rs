//! What each kind of request is answered.

use reqwest::header::HeaderName;
use secrecy::{SecretBox, SecretString};
use storekeeper::broker::EnvelopeKind;
use storekeeper::clock;
use storekeeper::config::IngressSettings;
use storekeeper::ingress::signature::{SIGNATURE_HEADER, TIMESTAMP_HEADER};

use super::harness::{
    BODY, SECRET, Service, TOKEN, refused, settings, signed_at, signed_now, taken, unsigned,
    with_token,
};

#[tokio::test]
async fn a_webhook_is_on_the_queue_as_it_was_sent() {
    let service = Service::start(settings()).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let before = clock::now();
    let body = b"\xef\xbb\xbf{\"a\": \xff,,}\r\n\0 ";
    let request = service.signed(body).header("traceparent", trace).header("tracestate", "a=1");
    let id = taken(request).await;
    let published = service.published().await;
    let [record] = published.as_slice() else { panic!("{} records", published.len()) };
    let envelope = &record.envelope;
    assert_eq!(envelope.message_id.to_string(), id);
    assert_eq!(envelope.body, body[..]);
    assert_eq!(envelope.kind, EnvelopeKind::Webhook);
    assert_eq!(envelope.source, "duda");
    assert!((before..=clock::now()).contains(&envelope.received_at));
    assert_eq!(envelope.traceparent.as_deref(), Some(trace));
    assert_eq!(envelope.tracestate.as_deref(), Some("a=1"));
    assert_eq!(service.count("ok"), 1);
}

#[tokio::test]
async fn an_answer_is_json_and_tells_nothing_else() {
    let service = Service::start(settings()).await;
    let response = service.signed(BODY).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    let mut names: Vec<_> = response.headers().keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "content-type", "date"]);
}

#[tokio::test]
async fn a_webhook_that_is_sent_twice_is_two_envelopes() {
    let service = Service::start(settings()).await;
    let (first, second) = (taken(service.signed(BODY)).await, taken(service.signed(BODY)).await);
    assert_ne!(first, second);
    assert_eq!(service.published().await.len(), 2);
}

#[tokio::test]
async fn a_webhook_that_is_not_authentic_is_refused() {
    let service = Service::start(settings()).await;
    let now = clock::now().millis();
    let (timestamp, signature) = signed_at(now, SECRET, BODY);
    let with = |timestamp: &str, signature: &str| {
        let request = service.webhook().header(TIMESTAMP_HEADER, timestamp);
        request.header(SIGNATURE_HEADER, signature)
    };
    let missing = "signature.missing";
    refused(service.webhook(), 401, missing).await;
    refused(service.webhook().header(SIGNATURE_HEADER, &signature), 401, missing).await;
    refused(service.webhook().header(TIMESTAMP_HEADER, &timestamp), 401, missing).await;

    let malformed = "signature.malformed";
    refused(with(&timestamp, "not base64"), 401, malformed).await;
    refused(with(&timestamp, "c2hvcnQ="), 401, malformed).await;
    refused(with("yesterday", &signature), 401, malformed).await;
    refused(with("", &signature), 401, malformed).await;
    let twice = with(&timestamp, &signature);
    refused(twice.header(SIGNATURE_HEADER, &signature), 401, malformed).await;
    let twice = with(&timestamp, &signature);
    refused(twice.header(TIMESTAMP_HEADER, &timestamp), 401, malformed).await;

    let mismatch = "signature.mismatch";
    refused(with(&timestamp, &signed_at(now, b"guess", BODY).1), 401, mismatch).await;
    refused(with(&(now + 1).to_string(), &signature), 401, mismatch).await;
    refused(with(&timestamp, &signature).body("another body"), 401, mismatch).await;

    let expired = "signature.expired";
    for millis in [now - 16 * 60_000, now + 16 * 60_000, 0] {
        let (timestamp, signature) = signed_at(millis, SECRET, BODY);
        refused(with(&timestamp, &signature), 401, expired).await;
    }

    assert_eq!(service.published().await.len(), 0);
    assert_eq!(
        [missing, malformed, mismatch, expired].map(|code| service.count(code)),
        [3, 6, 3, 3]
    );
    assert_eq!(service.count("ok"), 0);
}

#[tokio::test]
async fn a_signature_within_the_replay_window_is_taken() {
    let service = Service::start(settings()).await;
    for minutes in [-14, 14] {
        let millis = clock::now().millis() + minutes * 60_000;
        let (timestamp, signature) = signed_at(millis, SECRET, BODY);
        let request = service.webhook().header(TIMESTAMP_HEADER, timestamp);
        taken(request.header(SIGNATURE_HEADER, signature)).await;
    }
}

#[tokio::test]
async fn any_of_the_secrets_may_have_signed() {
    let secrets: [&[u8]; 2] = [b"the new one", b"the old one"];
    let boxed = secrets.map(|secret| SecretBox::new(Box::from(secret)));
    let service = Service::start(IngressSettings { secrets: boxed.into(), ..settings() }).await;
    for secret in secrets {
        let (timestamp, signature) = signed_now(secret, BODY);
        let request = service.webhook().header(TIMESTAMP_HEADER, timestamp);
        taken(request.header(SIGNATURE_HEADER, signature)).await;
    }
    refused(service.signed(BODY), 401, "signature.mismatch").await;
}

#[tokio::test]
async fn without_the_token_there_is_nothing() {
    let service = Service::start(with_token()).await;
    let post = |path: &str| service.request("POST", path).body(BODY);
    taken(post("/webhooks/duda/a-long-token")).await;
    taken(post("/webhooks/duda/%61-long-token")).await;
    taken(post("/webhooks/duda/a-long-token/")).await;
    for path in [
        "/webhooks/duda",
        "/webhooks/duda/",
        "/webhooks/duda/a-long-toke",
        "/webhooks/duda/a-long-token2",
        "/webhooks/duda/A-LONG-TOKEN",
        "/webhooks/duda/a-long-token//",
        "/webhooks/duda/%ff",
        "/webhooks/duda/%00",
    ] {
        refused(post(path), 404, "route.unknown").await;
    }
    assert_eq!(service.published().await.len(), 3);
}

#[tokio::test]
async fn a_wrong_token_is_answered_as_any_unknown_path() {
    let service = Service::start(with_token()).await;
    let text = |path: &'static str| {
        let request = service.request("POST", path).body(BODY);
        async move { request.send().await.unwrap().text().await.unwrap() }
    };
    assert_eq!(text("/webhooks/duda/guess").await, text("/nothing/here").await);
}

#[tokio::test]
async fn token_and_secret_must_both_hold() {
    let path_token = Some(SecretString::from(TOKEN));
    let service = Service::start(IngressSettings { path_token, ..settings() }).await;
    let post = |path: &str| service.request("POST", path).body(BODY);
    let path = "/webhooks/duda/a-long-token";
    let (timestamp, signature) = signed_now(SECRET, BODY);
    refused(post(path), 401, "signature.missing").await;
    let signed = |path| {
        let request = post(path).header(TIMESTAMP_HEADER, &timestamp);
        request.header(SIGNATURE_HEADER, &signature)
    };
    refused(signed("/webhooks/duda/guess"), 404, "route.unknown").await;
    refused(signed("/webhooks/duda"), 404, "route.unknown").await;
    taken(signed(path)).await;
}

#[tokio::test]
async fn there_is_one_path() {
    let service = Service::start(settings()).await;
    let paths = [
        "/",
        "/webhooks",
        "/webhooks/",
        "/webhooks/duda//",
        "/webhooks/duda/token",
        "/webhooks/duda/token/",
        "//webhooks/duda",
        "/webhooks//duda",
        "/Webhooks/duda",
        "/webhooks/duda%00",
        "/livez",
    ];
    for path in paths {
        for method in ["POST", "GET"] {
            refused(service.request(method, path).body(BODY), 404, "route.unknown").await;
        }
    }
    assert_eq!(service.count("route.unknown"), 2 * paths.len() as u64);
    let (timestamp, signature) = signed_now(SECRET, BODY);
    // A slash at its end, as people write it, and a query make it no other.
    for path in ["/webhooks/duda/", "/webhooks/duda?a=b", "/webhooks/duda/?a=b"] {
        let request = service.request("POST", path).body(BODY);
        let request = request.header(TIMESTAMP_HEADER, &timestamp);
        taken(request.header(SIGNATURE_HEADER, &signature)).await;
    }
}

#[tokio::test]
async fn only_post_is_taken() {
    let service = Service::start(settings()).await;
    for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        let request = service.request(method, "/webhooks/duda");
        let head = refused(request, 405, "request.method").await;
        assert_eq!(head.get("allow"), Some("POST"), "{method}");
    }
    let response = service.request("HEAD", "/webhooks/duda").send().await.unwrap();
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers()["allow"], "POST");
    assert_eq!(response.bytes().await.unwrap(), "");
    assert_eq!(service.count("request.method"), 8);
}

#[tokio::test]
async fn a_body_has_a_size() {
    let service = Service::start(unsigned()).await;
    refused(service.webhook().body(""), 400, "request.invalid").await;
    refused(service.webhook().body(vec![b' '; 1025]), 413, "body.too_large").await;
    taken(service.webhook().body(vec![b' '; 1024])).await;
    taken(service.webhook().body("x")).await;
}

#[tokio::test]
async fn the_first_check_that_fails_is_answered() {
    let path_token = Some(SecretString::from(TOKEN));
    let service = Service::start(IngressSettings { path_token, ..settings() }).await;
    let large = vec![b' '; 1025];
    let wrong = "/webhooks/duda/guess";
    let right = "/webhooks/duda/a-long-token";
    refused(service.request("PUT", wrong).body(large.clone()), 405, "request.method").await;
    refused(service.request("POST", wrong).body(large.clone()), 404, "route.unknown").await;
    refused(service.request("POST", right).body(large), 413, "body.too_large").await;
    refused(service.request("POST", right).body(""), 400, "request.invalid").await;
    let (timestamp, signature) = signed_at(0, b"guess", BODY);
    let request = service.request("POST", right).body(BODY).header(TIMESTAMP_HEADER, timestamp);
    let request = request.header(SIGNATURE_HEADER, signature);
    refused(request, 401, "signature.mismatch").await;
}

#[tokio::test]
async fn a_body_is_not_decoded() {
    let service = Service::start(settings()).await;
    for coding in ["gzip", "br", "identity, gzip", "x"] {
        let request = service.signed(BODY).header("content-encoding", coding);
        let head = refused(request, 415, "request.encoding").await;
        assert_eq!(head.get("accept-encoding"), Some("identity"), "{coding}");
    }
    let twice = service.signed(BODY).header("content-encoding", "identity");
    refused(twice.header("content-encoding", "gzip"), 415, "request.encoding").await;
    for coding in ["identity", "Identity", ""] {
        taken(service.signed(BODY).header("content-encoding", coding)).await;
    }
    assert_eq!(service.count("request.encoding"), 5);
    assert_eq!(service.published().await.len(), 3);
}

#[tokio::test]
async fn what_nobody_verifies_comes_from_this_machine_only() {
    let foreign = [
        ("host", "shop.example"),
        ("host", "192.0.2.60"),
        ("origin", "https://shop.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("via", "1.1 proxy"),
        ("x-real-ip", "192.0.2.60"),
        ("forwarded", "for=192.0.2.60"),
        ("x-forwarded-for", "192.0.2.60"),
        ("x-forwarded-host", "shop.example"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-whatever", "x"),
    ];
    let service = Service::start(unsigned()).await;
    taken(service.webhook()).await;
    taken(service.webhook().header("host", "localhost:8080")).await;
    taken(service.webhook().header("origin", "http://localhost:3000")).await;
    for (name, value) in foreign {
        refused(service.webhook().header(name, value), 403, "auth.forbidden").await;
    }
    assert_eq!(service.published().await.len(), 3);
    assert_eq!(service.count("auth.forbidden"), foreign.len() as u64);

    let allowed = Service::start(IngressSettings { allow_unsigned: true, ..unsigned() }).await;
    let token = Service::start(with_token()).await;
    let signed = Service::start(settings()).await;
    for (name, value) in foreign {
        taken(allowed.webhook().header(name, value)).await;
        let request = token.request("POST", "/webhooks/duda/a-long-token").body(BODY);
        taken(request.header(name, value)).await;
        taken(signed.signed(BODY).header(name, value)).await;
    }
}
