//! A served ingress, and requests for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{RequestBuilder, Response};
use secrecy::{SecretBox, SecretString};
use serde_json::Value;
use storekeeper::broker::embedded::EmbeddedBroker;
use storekeeper::broker::{Broker, JournalRecord};
use storekeeper::clock;
use storekeeper::config::{ByteSize, Expired, IngressSettings};
use storekeeper::http::{Limits, serve_current};
use storekeeper::ingress::{count_invalid, router, signature};
use storekeeper::metrics::{CodeLabel, Metrics};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::raw::Raw;

/// No test waits longer for anything.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);
pub(super) const SECRET: &[u8] = b"mysecretsecret";
pub(super) const TOKEN: &str = "a-long-token";
pub(super) const BODY: &[u8] = b"{\"event_type\":\"ECOMM_ORDER_CREATED\"}\n";

/// Settings with one secret, no token and limits that no test reaches by chance.
pub(super) fn settings() -> IngressSettings {
    IngressSettings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        secrets: vec![SecretBox::new(Box::from(SECRET))],
        path_token: None,
        credentials: Vec::new(),
        allow_unsigned: false,
        replay_window: Duration::from_mins(15),
        expired: Expired::Reject,
        body_bytes_max: 1024,
        body_timeout: DEADLINE,
        header_timeout: DEADLINE,
        publish_timeout: DEADLINE,
        reading_bytes_max: ByteSize(1024),
        in_flight_max: 64,
        connections_max: 64,
        quota_per_minute: None,
        quota_bytes_per_minute: None,
    }
}

/// Settings under which nothing is verified.
pub(super) fn unsigned() -> IngressSettings {
    IngressSettings { secrets: Vec::new(), ..settings() }
}

/// Settings with a token and no secret.
pub(super) fn with_token() -> IngressSettings {
    IngressSettings { path_token: Some(SecretString::from(TOKEN)), ..unsigned() }
}

/// A served ingress; it ends with the test.
pub(super) struct Service {
    pub(super) address: SocketAddr,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) stop: CancellationToken,
    pub(super) serving: JoinSet<()>,
    metrics: Arc<Metrics>,
    client: reqwest::Client,
    _directory: TempDir,
}

impl Service {
    pub(super) async fn start(settings: IngressSettings) -> Self {
        Self::start_behind(settings, |broker| broker).await
    }

    /// Starts an ingress whose broker is decorated.
    pub(super) async fn start_behind(
        settings: IngressSettings,
        decorate: impl FnOnce(Arc<dyn Broker>) -> Arc<dyn Broker>,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let broker = decorate(Arc::new(EmbeddedBroker::open(directory.path()).unwrap()));
        let metrics = Arc::new(Metrics::new());
        let router = router(Arc::clone(&broker), &settings, Arc::clone(&metrics));
        let listener = TcpListener::bind(settings.listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let limits = Limits {
            connections_max: settings.connections_max,
            header_timeout: settings.header_timeout,
        };
        let mut serving = JoinSet::new();
        let count_invalid = count_invalid(Arc::clone(&metrics));
        let (_, router) = watch::channel(router);
        serving.spawn(serve_current(listener, router, limits, count_invalid, stop.clone()));
        let client = reqwest::Client::builder().timeout(DEADLINE).build().unwrap();
        Self { address, broker, stop, serving, metrics, client, _directory: directory }
    }

    /// A request that is not signed.
    pub(super) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = method.parse().unwrap();
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    /// A webhook that is not signed.
    pub(super) fn webhook(&self) -> RequestBuilder {
        self.request("POST", "/webhooks/duda").body(BODY)
    }

    /// A webhook as Duda sends it now.
    pub(super) fn signed(&self, body: &'static [u8]) -> RequestBuilder {
        let (timestamp, signature) = signed_now(SECRET, body);
        self.request("POST", "/webhooks/duda")
            .header(signature::TIMESTAMP_HEADER, timestamp)
            .header(signature::SIGNATURE_HEADER, signature)
            .body(body)
    }

    pub(super) async fn connect(&self) -> Raw {
        Raw::connect(self.address).await
    }

    /// Everything that was published.
    pub(super) async fn published(&self) -> Vec<JournalRecord> {
        self.broker.journal(None, 1000).await.unwrap()
    }

    /// How often `code` was counted.
    pub(super) fn count(&self, code: &'static str) -> u64 {
        self.metrics.webhooks_received.get_or_create(&CodeLabel { code }).get()
    }

    /// Waits until the service has ended by itself.
    pub(super) async fn ended(&mut self) {
        let ended = tokio::time::timeout(DEADLINE, self.serving.join_next()).await;
        ended.expect("the service did not end").unwrap().unwrap();
    }
}

/// The timestamp of now and the signature with it.
pub(super) fn signed_now(secret: &[u8], body: &[u8]) -> (String, String) {
    signed_at(clock::now().millis(), secret, body)
}

/// The text of a timestamp and the signature with it.
pub(super) fn signed_at(millis: i64, secret: &[u8], body: &[u8]) -> (String, String) {
    let timestamp = millis.to_string();
    let signature = signature::sign(secret, &timestamp, body);
    (timestamp, signature)
}

/// A webhook as Duda sent it an hour ago.
pub(super) fn expired(service: &Service) -> RequestBuilder {
    let (timestamp, signature) = signed_at(clock::now().millis() - 3_600_000, SECRET, BODY);
    let request = service.webhook().header(signature::TIMESTAMP_HEADER, timestamp);
    request.header(signature::SIGNATURE_HEADER, signature)
}

/// Checks that an answer is a problem with this code, whole and without details of the server.
#[track_caller]
pub(super) fn check_problem(head: &Head, body: &[u8], status: u16, code: &str) {
    let body: Value = serde_json::from_slice(body).unwrap();
    assert_eq!((head.status, body["code"].as_str()), (status, Some(code)), "{body}");
    assert_eq!(head.get("content-type"), Some("application/problem+json"));
    assert_eq!(body["type"], "about:blank");
    assert_eq!(body["status"], status);
    assert!(body["title"].as_str().is_some_and(|title| !title.is_empty()), "{body}");
    assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{body}");
    assert_eq!(head.get("retry-after").is_some(), [429, 503].contains(&status), "{head:?}");
    assert_eq!(head.get("server"), None);
}

/// Sends a request that shall be refused.
pub(super) async fn refused(request: RequestBuilder, status: u16, code: &str) -> Head {
    let response = request.send().await.unwrap();
    let head = Head::of(&response);
    let body = response.bytes().await.unwrap();
    check_problem(&head, &body, status, code);
    head
}

/// Sends a webhook that shall be taken; returns its message id.
pub(super) async fn taken(request: RequestBuilder) -> String {
    let response = request.send().await.unwrap();
    let status = response.status();
    let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(status, 200, "{body}");
    body["id"].as_str().unwrap().to_owned()
}

/// Status and headers of an answer, whichever client read it.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
}

impl Head {
    fn of(response: &Response) -> Self {
        let headers = response.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        Self { status: response.status().as_u16(), headers: headers.collect() }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}
