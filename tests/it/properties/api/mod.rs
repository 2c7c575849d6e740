//! What holds for every request to the ingress, the console and the probes.
//!
//! An input is a few requests as text, one after the other, so that a later one may meet what an
//! earlier one did. They are answered by the real routers in process, over the embedded backends
//! in a temporary directory and with the worker pool behind them.

mod call;
mod service;

use std::cell::RefCell;

use axum::http::{Method, StatusCode, header};
use serde_json::Value;

use call::{Answer, Call};
use service::Service;

/// Inputs that share the backends: opening and auditing them takes longer than most requests.
const INPUTS_MAX: usize = 64;

thread_local! {
    /// The service, and what it was sent since it was started.
    static SERVICE: RefCell<Option<(Service, Vec<Vec<u8>>)>> = const { RefCell::new(None) };
}

/// Checks everything that holds for an input of the fuzzer.
pub(crate) fn hold(input: &[u8]) {
    SERVICE.with_borrow_mut(|slot| {
        let (service, sent) = slot.get_or_insert_with(|| (Service::start(), Vec::new()));
        sent.push(input.to_vec());
        let calls = Call::parse_all(input);
        service.play(&calls);
        if sent.len() == INPUTS_MAX
            && let Some((service, sent)) = slot.take()
        {
            service.stop(&sent);
        }
    });
}

/// Checks what the last inputs came to, fewer though they are than share the backends.
#[cfg(test)]
pub(crate) fn finish() {
    if let Some((service, sent)) = SERVICE.take() {
        service.stop(&sent);
    }
}

/// Checks one answer: a success that is what it says, or a problem with its code.
fn check(call: &Call, answer: &Answer) {
    let status = answer.status;
    let is_expected = status.is_success() || status.is_client_error();
    assert!(is_expected, "{call}: {status} {:?}", answer.body);
    if call.method == Method::HEAD {
        return;
    }
    if status.is_success() {
        check_success(call, answer);
    } else {
        check_problem(call, answer);
    }
}

fn check_success(call: &Call, answer: &Answer) {
    let Some(kind) = answer.header(header::CONTENT_TYPE.as_str()) else {
        panic!("{call}: no Content-Type");
    };
    if kind == "application/json" {
        let body = answer.json();
        assert!(body.is_some(), "{call}: no JSON: {:?}", answer.body);
        if let Some(items) = body.as_ref().and_then(|body| body.get("items")) {
            assert!(items.is_array(), "{call}: {items}");
        }
    } else {
        let others = ["text/event-stream", "application/openmetrics-text"];
        assert!(others.iter().any(|other| kind.starts_with(other)), "{call}: {kind}");
    }
}

/// Checks that an answer is problem details as RFC 9457 has them, with a code.
fn check_problem(call: &Call, answer: &Answer) {
    let kind = answer.header(header::CONTENT_TYPE.as_str());
    assert_eq!(kind, Some("application/problem+json"), "{call}: {:?}", answer.body);
    let body = answer.json().unwrap_or_else(|| panic!("{call}: no JSON: {:?}", answer.body));
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let is_code = |code: &str| {
        let part = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase())
        };
        code.split_once('.').is_some_and(|(area, what)| part(area) && part(what))
    };
    assert!(is_code(text("code")), "{call}: {body}");
    assert_eq!(text("type"), "about:blank", "{call}: {body}");
    assert!(!text("title").is_empty() && !text("detail").is_empty(), "{call}: {body}");
    assert_eq!(body.get("status"), Some(&answer.status.as_u16().into()), "{call}: {body}");
    let challenges = answer.header(header::WWW_AUTHENTICATE.as_str()).is_some();
    let is_of_console = call.listener.starts_with("console");
    let asks = is_of_console && answer.status == StatusCode::UNAUTHORIZED;
    assert_eq!(challenges, asks, "{call}: {body}");
}

#[test]
fn requests_meet_what_earlier_ones_did() {
    let input = r#"ingress-with-secrets POST /webhooks/duda
x-duda-signature: valid

{"event_type":"ECOMM_ORDER_CREATED","event_timestamp":1700000000000,"resource_data":{"site_name":"s"},"data":{"id":"O","items":[{"sku":"S","quantity":1},{"sku":"T","quantity":1}]}}
---
console GET /v1/sites/s/stock?limit=1
---
console GET /v1/sites/s/stock?limit=1&cursor={cursor}
---
ingress POST /webhooks/duda

no JSON
---
console DELETE /v1/dead-letters/{id}
---
console GET /v1/dead-letters/{id}"#;
    let calls = Call::parse_all(input.as_bytes());
    let service = Service::start();
    let statuses = service.play(&calls);
    assert_eq!(
        statuses,
        [200, 200, 200, 200, 200, 404].map(|code| StatusCode::from_u16(code).unwrap())
    );
    service.stop(&[]);
}
