//! Several sources, and webhooks that come too late.

use reqwest::RequestBuilder;
use secrecy::{SecretBox, SecretString};
use storekeeper::broker::{Disposition, Queue};
use storekeeper::clock;
use storekeeper::config::{CredentialSettings, Expired, IngressSettings};
use storekeeper::domain::Code;
use storekeeper::ingress::signature::{SIGNATURE_HEADER, TIMESTAMP_HEADER};
use tokio::time::timeout;

use super::harness::{
    BODY, DEADLINE, SECRET, Service, TOKEN, expired, refused, settings, signed_at, signed_now,
    taken, unsigned,
};

fn credential(source: &str, secrets: &[&[u8]], token: Option<&str>) -> CredentialSettings {
    CredentialSettings {
        source: source.to_owned(),
        secrets: secrets.iter().map(|secret| SecretBox::new(Box::from(*secret))).collect(),
        path_token: token.map(SecretString::from),
    }
}

/// One source by its secrets, one by its token, one by both, beside `base`; and one by its secret
/// or by another token.
fn several(base: IngressSettings) -> IngressSettings {
    let credentials = vec![
        credential("eu", &[b"eu-1", b"eu-2"], None),
        credential("us", &[b"us-1"], None),
        credential("bare", &[], Some("bare-token")),
        credential("both", &[b"both-1"], Some("both-token")),
        credential("us", &[], Some("us-token")),
    ];
    IngressSettings { credentials, ..base }
}

fn post(service: &Service, path: &str, secret: Option<&[u8]>) -> RequestBuilder {
    let request = service.request("POST", path).body(BODY);
    let Some(secret) = secret else { return request };
    let (timestamp, signature) = signed_now(secret, BODY);
    request.header(TIMESTAMP_HEADER, timestamp).header(SIGNATURE_HEADER, signature)
}

async fn sources_of(service: &Service) -> Vec<String> {
    service.published().await.into_iter().map(|record| record.envelope.source).collect()
}

#[tokio::test]
async fn an_envelope_names_the_source_that_sent_it() {
    let service = Service::start(several(settings())).await;
    let plain = "/webhooks/duda";
    taken(post(&service, plain, Some(b"us-1"))).await;
    taken(post(&service, plain, Some(b"eu-2"))).await;
    taken(post(&service, plain, Some(b"eu-1"))).await;
    taken(post(&service, plain, Some(SECRET))).await;
    taken(post(&service, "/webhooks/duda/bare-token", None)).await;
    taken(post(&service, "/webhooks/duda/both-token", Some(b"both-1"))).await;
    taken(post(&service, "/webhooks/duda/us-token", None)).await;
    assert_eq!(sources_of(&service).await, ["us", "eu", "eu", "duda", "bare", "both", "us"]);
}

#[tokio::test]
async fn a_source_is_taken_by_its_own_token_and_secrets_only() {
    let service = Service::start(several(settings())).await;
    let (plain, both) = ("/webhooks/duda", "/webhooks/duda/both-token");
    refused(post(&service, plain, None), 401, "signature.missing").await;
    refused(post(&service, both, None), 401, "signature.missing").await;
    for secret in [b"both-1".as_slice(), b"guess"] {
        refused(post(&service, plain, Some(secret)), 401, "signature.mismatch").await;
    }
    for secret in [b"eu-1".as_slice(), b"us-1", SECRET] {
        refused(post(&service, both, Some(secret)), 401, "signature.mismatch").await;
    }
    for path in ["/webhooks/duda/guess", "/webhooks/duda/eu", "/webhooks/duda/%ff"] {
        refused(post(&service, path, Some(SECRET)), 404, "route.unknown").await;
    }
    assert_eq!(sources_of(&service).await, [""; 0]);
}

#[tokio::test]
async fn with_credentials_nothing_is_taken_unverified() {
    let allowed = IngressSettings { allow_unsigned: true, ..unsigned() };
    let service = Service::start(several(allowed)).await;
    refused(post(&service, "/webhooks/duda", None), 401, "signature.missing").await;
    let credentials = vec![credential("bare", &[], Some(TOKEN))];
    let service = Service::start(IngressSettings { credentials, ..unsigned() }).await;
    refused(post(&service, "/webhooks/duda", None), 404, "route.unknown").await;
    let request = post(&service, &format!("/webhooks/duda/{TOKEN}"), None);
    taken(request.header("x-forwarded-for", "192.0.2.60")).await;
    assert_eq!(sources_of(&service).await, ["bare"]);
}

#[tokio::test]
async fn an_expired_webhook_is_refused_unless_it_shall_be_parked() {
    let service = Service::start(settings()).await;
    refused(expired(&service), 401, "signature.expired").await;
    assert_eq!(service.published().await.len(), 0);

    let service = Service::start(IngressSettings { expired: Expired::Park, ..settings() }).await;
    let id = taken(expired(&service)).await;
    let records = service.published().await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].rejection.as_ref().unwrap().code, Code::SignatureExpired);
    let depth = service.broker.depth().await.unwrap();
    assert_eq!((depth.work_ready, depth.dead_intake), (0, 1));
    let mut dead = service.broker.subscribe(Queue::Dead, 10).await.unwrap();
    let [letter] = timeout(DEADLINE, dead.next_batch(10)).await.unwrap().try_into().unwrap();
    assert_eq!(letter.envelope.message_id.to_string(), id);
    assert_eq!(letter.envelope.body, BODY);
    let reason = letter.dead.as_ref().unwrap();
    assert_eq!(reason.rejection.code, Code::SignatureExpired);
    assert!(reason.rejection.detail.contains("more than 900 s"), "{}", reason.rejection.detail);
    letter.settle(Disposition::Ack);
    assert_eq!((service.count("ok"), service.count("signature.expired")), (1, 0));
}

#[tokio::test]
async fn only_what_is_authentic_is_parked() {
    let service = Service::start(IngressSettings { expired: Expired::Park, ..settings() }).await;
    let (timestamp, signature) = signed_at(clock::now().millis() - 3_600_000, b"guess", BODY);
    let request = service.webhook().header(TIMESTAMP_HEADER, timestamp);
    refused(request.header(SIGNATURE_HEADER, signature), 401, "signature.mismatch").await;
    refused(service.webhook(), 401, "signature.missing").await;
    assert_eq!(service.published().await.len(), 0);
    taken(service.signed(BODY)).await;
    assert_eq!(service.broker.depth().await.unwrap().dead_intake, 0);
}
