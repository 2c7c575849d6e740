//! How much one source may send.

use std::time::Duration;

use secrecy::SecretString;
use storekeeper::config::{ByteSize, CredentialSettings, IngressSettings};
use storekeeper::ingress::signature::{SIGNATURE_HEADER, TIMESTAMP_HEADER};

use super::harness::{BODY, Service, refused, settings, signed_now, taken};

/// Settings with a second source, which has two tokens.
fn two_sources() -> IngressSettings {
    let credential = |token: &str| CredentialSettings {
        source: "agency".to_owned(),
        secrets: Vec::new(),
        path_token: Some(SecretString::from(token)),
    };
    IngressSettings { credentials: vec![credential("one"), credential("two")], ..settings() }
}

#[tokio::test]
async fn a_source_beyond_its_quota_is_refused_and_others_are_taken() {
    let service =
        Service::start(IngressSettings { quota_per_minute: Some(2), ..two_sources() }).await;
    let agencys =
        |token: &str| service.request("POST", &format!("/webhooks/duda/{token}")).body(BODY);
    taken(agencys("one")).await;
    taken(agencys("two")).await;
    for token in ["one", "two"] {
        let head = refused(agencys(token), 429, "ingress.quota").await;
        let seconds: u64 = head.get("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
    }
    taken(service.signed(BODY)).await;
    taken(service.signed(BODY)).await;
    refused(service.signed(BODY), 429, "ingress.quota").await;
    assert_eq!(service.published().await.len(), 4);
    assert_eq!((service.count("ok"), service.count("ingress.quota")), (4, 3));
}

#[tokio::test]
async fn strangers_use_up_no_quota() {
    let service = Service::start(IngressSettings { quota_per_minute: Some(1), ..settings() }).await;
    let (timestamp, signature) = signed_now(b"guess", BODY);
    for _ in 0..5 {
        refused(service.webhook(), 401, "signature.missing").await;
        let guess = service.webhook().header(TIMESTAMP_HEADER, &timestamp);
        refused(guess.header(SIGNATURE_HEADER, &signature), 401, "signature.mismatch").await;
    }
    taken(service.signed(BODY)).await;
    refused(service.signed(BODY), 429, "ingress.quota").await;
}

#[tokio::test]
async fn bytes_have_a_quota_of_their_own() {
    let size = ByteSize(2 * BODY.len() as u64 + 1);
    let limits = IngressSettings { quota_bytes_per_minute: Some(size), ..settings() };
    let service = Service::start(limits).await;
    taken(service.signed(BODY)).await;
    taken(service.signed(BODY)).await;
    refused(service.signed(BODY), 429, "ingress.quota").await;
    // What fits is taken.
    taken(service.signed(b"x")).await;
}

#[tokio::test]
async fn a_quota_is_there_again_after_its_minute() {
    let service = Service::start(IngressSettings { quota_per_minute: Some(1), ..settings() }).await;
    // The connection would not outlive the time that is skipped.
    let last = || service.signed(BODY).header("connection", "close");
    taken(last()).await;
    refused(last(), 429, "ingress.quota").await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(1)).await;
    tokio::time::resume();
    taken(service.signed(BODY)).await;
}
