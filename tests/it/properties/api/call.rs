//! Requests as text, and their answers.
//!
//! ```text
//! console PUT /v1/dead-letters/{id}/body
//! content-type: application/json
//!
//! {"text": "{}"}
//! ---
//! console GET /v1/dead-letters/{id}
//! ```
//!
//! A request has a `Host` and says that it is JSON unless it says otherwise; `{id}` and `{cursor}`
//! stand for the last ones that were answered, and the signature `valid` for the right one.

use std::fmt;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use bytes::Bytes;
use serde_json::Value;
use storekeeper::clock;
use storekeeper::ingress::signature::{SIGNATURE_HEADER, TIMESTAMP_HEADER, sign};

use super::service::SECRET;

/// Stands between two requests.
const BETWEEN: &[u8] = b"\n---\n";
/// Requests of one input.
const CALLS_MAX: usize = 6;

/// A request as it was written.
#[derive(Debug)]
pub(super) struct Call {
    /// Who shall answer it.
    pub(super) listener: String,
    pub(super) method: Method,
    target: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Call {
    /// Reads the requests of an input, and leaves out what HTTP itself would refuse.
    pub(super) fn parse_all(input: &[u8]) -> Vec<Self> {
        let mut calls = Vec::new();
        let mut rest = Some(input);
        while let Some(text) = rest.filter(|_| calls.len() < CALLS_MAX) {
            let (call, after) = cut(text, BETWEEN);
            calls.extend(Self::parse(call));
            rest = after;
        }
        calls
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (head, body) = cut(text, b"\n\n");
        let (first, head) = cut(head, b"\n");
        let mut words = str::from_utf8(first).ok()?.splitn(3, ' ');
        let (listener, method, target) = (words.next()?, words.next()?, words.next()?);
        let mut headers = HeaderMap::new();
        for line in head.unwrap_or_default().split(|byte| *byte == b'\n') {
            let (name, value) = cut(line, b": ");
            let name = HeaderName::from_bytes(name);
            if let (Ok(name), Ok(value)) =
                (name, HeaderValue::from_bytes(value.unwrap_or_default()))
            {
                headers.append(name, value);
            }
        }
        let or_default = |headers: &mut HeaderMap, name, value| {
            if !headers.contains_key(&name) {
                headers.insert(name, HeaderValue::from_static(value));
            }
        };
        or_default(&mut headers, header::HOST, "localhost");
        or_default(&mut headers, header::CONTENT_TYPE, "application/json");
        Some(Self {
            listener: listener.to_owned(),
            method: Method::from_bytes(method.as_bytes()).ok()?,
            target: target.to_owned(),
            headers,
            body: body.unwrap_or_default().to_vec(),
        })
    }

    /// The request, with what was answered before put in; `None` if no client could send it.
    pub(super) fn request(&self, known: &Known) -> Option<Request<Body>> {
        let target = self.target.replace("{id}", &known.id).replace("{cursor}", &known.cursor);
        let mut headers = self.headers.clone();
        if headers.get(SIGNATURE_HEADER).is_some_and(|value| value == "valid") {
            let now = HeaderValue::from(clock::now().millis());
            let timestamp = headers.entry(TIMESTAMP_HEADER).or_insert(now);
            let signature = sign(SECRET, timestamp.to_str().ok()?, &self.body);
            headers.insert(SIGNATURE_HEADER, signature.parse().ok()?);
        }
        let mut request = Request::new(Body::from(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = target.parse::<Uri>().ok().filter(|uri| !uri.path().is_empty())?;
        *request.headers_mut() = headers;
        Some(request)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listener, method, target, headers, body } = self;
        write!(f, "{listener} {method} {target} {headers:?} {:?}", String::from_utf8_lossy(body))
    }
}

/// What was answered last, for requests that name it.
#[derive(Debug, Default)]
pub(super) struct Known {
    id: String,
    cursor: String,
}

impl Known {
    /// Notes what an answer gave out.
    pub(super) fn note(&mut self, answer: &Answer) {
        let Some(body) = answer.json() else { return };
        let first = body.get("items").and_then(|items| items.get(0));
        let id = [Some(&body), first].into_iter().flatten().find_map(|value| value.get("id"));
        if let Some(id) = id.and_then(Value::as_str) {
            id.clone_into(&mut self.id);
        }
        let cursors = ["next_cursor", "holds_next_cursor", "cursor"];
        let of_first = first.and_then(|first| first.get("cursor"));
        let cursor = cursors.iter().find_map(|name| body.get(name)).or(of_first);
        if let Some(cursor) = cursor.and_then(Value::as_str) {
            cursor.clone_into(&mut self.cursor);
        }
    }
}

/// What a router answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Empty for a stream.
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// What stands before a mark, and what stands behind it if it is there.
fn cut<'t>(text: &'t [u8], mark: &[u8]) -> (&'t [u8], Option<&'t [u8]>) {
    match text.windows(mark.len()).position(|window| window == mark) {
        Some(place) => {
            let (before, after) = text.split_at(place);
            (before, Some(after.split_at(mark.len()).1))
        }
        None => (text, None),
    }
}
