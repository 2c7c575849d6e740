//! What is written down of a request, and what is not.

use std::io;
use std::sync::{Arc, Mutex};

use secrecy::SecretString;
use storekeeper::config::IngressSettings;
use storekeeper::ingress::signature::{SIGNATURE_HEADER, TIMESTAMP_HEADER};
use tracing::level_filters::LevelFilter;

use super::harness::{SECRET, Service, refused, settings, signed_now, taken};
use crate::harness::eventually;

/// Everything that was logged, at every level.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn subscriber(&self) -> impl tracing::Subscriber + Send + Sync {
        let writer = self.clone();
        tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish()
    }

    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_refused_request_is_one_line_without_anything_of_its_content() {
    let log = Log::default();
    let subscriber = log.subscriber();
    // The test's runtime has one thread, on which the service runs too.
    let _guard = tracing::subscriber::set_default(subscriber);
    // While there is but one subscriber, tracing asks the thread that meets a log line first
    // whether anybody listens; that may be another test's, where nobody does. With two it asks both.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());

    let path_token = Some(SecretString::from("private-token"));
    let service = Service::start(IngressSettings { path_token, ..settings() }).await;
    let body = "private-body";
    let post = |path: &str| service.request("POST", path).body(body);
    let right = "/webhooks/duda/private-token";
    let (timestamp, signature) = signed_now(SECRET, body.as_bytes());
    let signed = |signature: &str| {
        let request = post(right).header(TIMESTAMP_HEADER, &timestamp);
        request.header(SIGNATURE_HEADER, signature).header("user-agent", "private-agent")
    };
    taken(signed(&signature)).await;
    refused(post("/private-path"), 404, "route.unknown").await;
    refused(post("/webhooks/duda/private-guess"), 404, "route.unknown").await;
    refused(service.request("GET", right), 405, "request.method").await;
    refused(post(right).body(""), 400, "request.invalid").await;
    refused(post(right).body(body.repeat(1000)), 413, "body.too_large").await;
    refused(post(right), 401, "signature.missing").await;
    refused(signed("private-signature"), 401, "signature.malformed").await;
    refused(signed(&signed_now(b"guess", body.as_bytes()).1), 401, "signature.mismatch").await;
    refused(signed(&signature).header("content-encoding", "private-"), 415, "request.encoding")
        .await;
    let mut client = service.connect().await;
    client.send("GET /private-path HTTP/1.1\r\nprivate-header\r\n\r\n").await;
    client.refused_bare(400).await;
    drop(client);
    let mut client = service.connect().await;
    client.send("GET /private-path HTTP/1.1\r\n\r\n").await;
    client.refused(400, "request.invalid").await;
    // The one that was not HTTP is recorded when its connection has ended.
    eventually("all are counted", async || (service.count("request.invalid") == 3).then_some(()))
        .await;

    let lines = log.lines();
    let text = lines.join("\n");
    for private in ["private-", &signature, &timestamp] {
        assert!(!text.contains(private), "{private} in\n{text}");
    }
    let of = |route: &str| {
        let route = format!("route=\"{route}\"");
        let lines = lines.iter().filter(|line| line.contains(&route));
        lines.map(|line| line.split("code=").nth(1).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(
        of("none"),
        ["route.unknown", "request.invalid", "request.invalid"]
            .map(|code| format!("\"{code}\" peer=127.0.0.1"))
    );
    assert_eq!(
        of("/webhooks/duda/{token}"),
        [
            "route.unknown",
            "request.method",
            "request.invalid",
            "body.too_large",
            "signature.missing",
            "signature.malformed",
            "signature.mismatch",
            "request.encoding",
        ]
        .map(|code| format!("\"{code}\" peer=127.0.0.1"))
    );
    // So that nobody has to turn on details to learn why webhooks do not arrive.
    let refusals = lines.iter().filter(|line| line.contains("peer="));
    assert!(refusals.clone().all(|line| line.contains(" INFO ")), "{text}");
    assert_eq!(refusals.count(), 11);
}
