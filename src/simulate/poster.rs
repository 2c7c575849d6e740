//! Posts bodies as Duda does: signed if there is a secret, and repeated until there is an answer.
//!
//! A 200 means that the body is durable. Any transient failure (no connection, 408, 502, 503, 504)
//! is retried with the same bytes and growing delays until the timeout, so a server may be killed
//! and restarted in between. Any other answer stops the retries at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{StatusCode, Url};
use secrecy::{ExposeSecret, SecretBox};
use serde::Deserialize;
use sha2::Sha256;
use tokio::time::Instant;

use crate::clock::{self, Delays};

/// The path for webhooks when the address has none.
const WEBHOOK_PATH: &str = "/webhooks/duda";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one answer may take; longer than the ingress waits for its broker.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const FIRST_DELAY: Duration = Duration::from_millis(50);
/// Short, so that a restarted server is found soon.
const DELAY_MAX: Duration = Duration::from_secs(2);
/// How many "not now" answers are normal: a busy ingress returns some.
const NOT_NOW_MAX: u32 = 5;
/// The most bytes that are read of an answer; a page of a list is far smaller.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Posts bodies to one ingress over kept-alive connections. Many tasks may use it at once.
#[derive(Debug)]
pub struct Poster {
    client: reqwest::Client,
    url: Url,
    secret: Option<SecretBox<[u8]>>,
    /// How long one body is retried.
    timeout: Duration,
    /// Whether `warn` was called because the ingress accepts nothing.
    has_warned: AtomicBool,
}

/// A body that the ingress has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// The message id that the ingress assigned.
    pub message_id: String,
    /// How often the body was sent.
    pub attempts: u32,
    /// How long the last attempt took.
    pub latency: Duration,
}

/// Why a body was not posted.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The ingress will not accept it, however often it is sent.
    #[error("{url} answered {status}: {detail}{hint}")]
    Refused {
        /// Where the body was sent.
        url: String,
        /// The status of the answer.
        status: StatusCode,
        /// The detail of the answer.
        detail: String,
        /// What to do, as the end of the sentence.
        hint: &'static str,
    },
    /// There was no answer, or only "not now", until the timeout.
    #[error("{url} did not take a webhook within {} attempts; the last one: {cause}", .attempts)]
    Unreachable {
        /// Where the body was sent.
        url: String,
        /// How often it was sent.
        attempts: u32,
        /// Why the last attempt failed.
        cause: String,
    },
    /// The HTTP client could not be created.
    #[error("cannot prepare requests: {0}")]
    Client(#[source] reqwest::Error),
}

/// The result of one attempt.
enum Attempt {
    Accepted(String),
    /// There was no answer.
    Unreached(String),
    /// The ingress cannot accept it now.
    NotNow(String),
    Refused(StatusCode, String),
}

#[derive(Deserialize)]
struct Accepted {
    id: String,
}

/// The parts of a problem document that are shown.
#[derive(Deserialize)]
struct Problem {
    code: Option<String>,
    detail: Option<String>,
}

/// Returns where webhooks go: the address itself, or the usual path if it has none.
pub fn webhook_url(mut url: Url) -> Url {
    if matches!(url.path(), "" | "/") {
        url.set_path(WEBHOOK_PATH);
    }
    url
}

/// Returns the value of `x-duda-signature` for a body: base64 of an HMAC-SHA256 over the
/// timestamp's text, a full stop and the body.
pub fn signature(secret: &[u8], timestamp: &str, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret).expect("an HMAC takes keys of every length");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    STANDARD.encode(mac.finalize().into_bytes())
}

impl Poster {
    /// Creates a poster for an address; each body is retried until `timeout`, and sent at least
    /// once.
    pub fn new(
        url: Url,
        secret: Option<SecretBox<[u8]>>,
        timeout: Duration,
    ) -> Result<Self, PostError> {
        let client = client().map_err(PostError::Client)?;
        let has_warned = AtomicBool::new(false);
        Ok(Self { client, url: webhook_url(url), secret, timeout, has_warned })
    }

    /// Sends a body until the ingress has accepted it. Calls `warn` the first time that a body of
    /// this poster has to be retried for long.
    ///
    /// If the answer to an attempt was lost, the ingress may have accepted it. It may then have the
    /// body more than once, under message ids that this poster does not know.
    pub async fn post(&self, body: &Bytes, warn: impl Fn(&str)) -> Result<Posted, PostError> {
        let deadline = Instant::now() + self.timeout;
        let mut delays = Delays::new(FIRST_DELAY, DELAY_MAX);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let began = Instant::now();
            let (cause, is_news) = match self.attempt(body).await {
                Attempt::Accepted(message_id) => {
                    return Ok(Posted { message_id, attempts, latency: began.elapsed() });
                }
                Attempt::Refused(status, detail) => {
                    let url = self.shown_url();
                    return Err(PostError::Refused { url, status, detail, hint: hint(status) });
                }
                Attempt::Unreached(cause) => (cause, true),
                Attempt::NotNow(cause) => (cause, attempts > NOT_NOW_MAX),
            };
            let delay = delays.next();
            if Instant::now() + delay >= deadline {
                let url = self.shown_url();
                return Err(PostError::Unreachable { url, attempts, cause });
            }
            if is_news && !self.has_warned.swap(true, Ordering::Relaxed) {
                let (url, timeout) = (self.shown_url(), in_short(self.timeout));
                warn(&format!("{url} takes no webhook: {cause}; trying for {timeout}"));
            }
            tokio::time::sleep(delay).await;
        }
    }

    async fn attempt(&self, body: &Bytes) -> Attempt {
        let mut request = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .body(body.clone());
        if let Some(secret) = &self.secret {
            // Each attempt is signed anew, because the ingress rejects old timestamps.
            let timestamp = clock::now().millis().to_string();
            let signature = signature(secret.expose_secret(), &timestamp, body);
            request = request
                .header("x-duda-signature-timestamp", timestamp)
                .header("x-duda-signature", signature);
        }
        let (status, text) = match exchange(request).await {
            Ok(answer) => answer,
            Err(error) => return Attempt::Unreached(error),
        };
        match status {
            StatusCode::OK => match serde_json::from_slice::<Accepted>(&text) {
                Ok(accepted) => Attempt::Accepted(accepted.id),
                Err(_) => Attempt::Refused(status, "an answer without a message id".to_owned()),
            },
            StatusCode::REQUEST_TIMEOUT
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                Attempt::NotNow(format!("it answered {status}: {}", problem(&text)))
            }
            _ => Attempt::Refused(status, problem(&text)),
        }
    }

    /// Returns the address without the part of its path that may be a token.
    fn shown_url(&self) -> String {
        let mut url = self.url.clone();
        if url.path() != WEBHOOK_PATH {
            url.set_path("");
        }
        url.into()
    }
}

/// Returns a client that keeps connections, follows no redirects and has timeouts.
pub(super) fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(ANSWER_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .build()
}

/// Sends a request and reads the answer, or returns the reason that there is none.
pub(super) async fn exchange(
    request: reqwest::RequestBuilder,
) -> Result<(StatusCode, Vec<u8>), String> {
    let mut response = request.send().await.map_err(|error| in_words(&error))?;
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| in_words(&error))? {
        answer.extend_from_slice(&chunk);
        if answer.len() > ANSWER_BYTES_MAX {
            return Err("the answer is too long".to_owned());
        }
    }
    Ok((response.status(), answer))
}

/// Formats a duration as `--timeout` accepts it.
pub(super) fn in_short(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// Returns the last cause of an error, which is the specific one.
fn in_words(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Returns the code and detail of an error answer.
pub(super) fn problem(answer: &[u8]) -> String {
    match serde_json::from_slice::<Problem>(answer) {
        Ok(Problem { code: Some(code), detail: Some(detail) }) => format!("{code} ({detail})"),
        Ok(Problem { code: Some(code), .. }) => code,
        Ok(_) | Err(_) => "no problem document".to_owned(),
    }
}

fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "; give the secret of the ingress with --secret",
        StatusCode::NOT_FOUND => {
            "; is it the address of `ingress.listen`? If that has a path token, give its whole \
             address, as http://127.0.0.1:8080/webhooks/duda/TOKEN"
        }
        StatusCode::PAYLOAD_TOO_LARGE => "; raise `ingress.body_bytes_max`",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_signature_comes_out() {
        let secret = STANDARD.decode("bXlzZWNyZXRzZWNyZXQ=").unwrap();
        let found = signature(&secret, "1570350275357", b"{'key1':'world','key2':'world'}");
        assert_eq!(found, "+DCfT1wIMUiaZnlZB4u59/d5wkXKA89lv67Ov66vnyc=");
    }

    #[test]
    fn an_address_without_a_path_gets_the_usual_one() {
        for (given, expected) in [
            ("http://h:1", "http://h:1/webhooks/duda"),
            ("http://h:1/", "http://h:1/webhooks/duda"),
            ("http://h/webhooks/duda/t0ken", "http://h/webhooks/duda/t0ken"),
            ("http://h/elsewhere", "http://h/elsewhere"),
        ] {
            assert_eq!(webhook_url(Url::parse(given).unwrap()).as_str(), expected);
        }
    }
}
