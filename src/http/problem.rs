//! Error answers: RFC 9457 problem details with a stable code.
//!
//! A request that is not valid HTTP reaches no route: hyper answers it with a bare status (400,
//! 414 or 431) and closes the connection.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Declares the codes once: variant, text and HTTP status.
macro_rules! problems {
    ($($variant:ident = $text:literal, $status:ident, $doc:literal;)*) => {
        /// What went wrong with a request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ProblemCode {
            $(#[doc = $doc] $variant,)*
        }

        impl ProblemCode {
            /// The code as it is answered.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The HTTP status that goes with it.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }
        }
    };
}

problems! {
    RequestInvalid = "request.invalid", BAD_REQUEST, "The request is malformed.";
    SignatureMissing = "signature.missing", UNAUTHORIZED, "A signature header is missing.";
    SignatureMalformed = "signature.malformed", UNAUTHORIZED, "A signature header is malformed.";
    SignatureMismatch = "signature.mismatch", UNAUTHORIZED, "No secret made this signature.";
    SignatureExpired = "signature.expired", UNAUTHORIZED, "The signature is outside the replay window.";
    AuthMissing = "auth.missing", UNAUTHORIZED, "A token is missing.";
    AuthForbidden = "auth.forbidden", FORBIDDEN, "The caller may not do this.";
    RouteUnknown = "route.unknown", NOT_FOUND, "There is nothing at this path.";
    StockUnknown = "stock.unknown", NOT_FOUND, "There is no such stock item.";
    StockAmbiguous = "stock.ambiguous", CONFLICT, "Several stock items go by the name.";
    StockCreateNeeded = "stock.create_needed", CONFLICT, "The stock item or its site does not exist yet, and is created on request only.";
    SiteUnknown = "site.unknown", NOT_FOUND, "There is no such site.";
    OrderUnknown = "order.unknown", NOT_FOUND, "There is no such order.";
    OrderAmbiguous = "order.ambiguous", CONFLICT, "Several orders go by the name.";
    OrderClosed = "order.closed", GONE, "The order was closed: its details are gone.";
    DeadLetterUnknown = "dead_letter.unknown", NOT_FOUND, "There is no such dead letter.";
    DeadLetterInReplay = "dead_letter.in_replay", CONFLICT, "The dead letter is being replayed.";
    ReceiptReferenceReused = "receipt.reference_reused", CONFLICT, "The reference of a receipt is taken.";
    ReceiptDeadLetter = "receipt.dead_letter", CONFLICT, "The receipt became a dead letter.";
    CorrectionOutdated = "correction.outdated", CONFLICT, "The order no longer says what was shown.";
    CorrectionNoSnapshot = "correction.no_snapshot", CONFLICT, "No snapshot of the order is known.";
    CorrectionReferenceReused = "correction.reference_reused", CONFLICT, "The reference of a correction is taken.";
    CorrectionDeadLetter = "correction.dead_letter", CONFLICT, "The correction became a dead letter.";
    ChangesCursorGone = "changes.cursor_gone", GONE, "Changes after the cursor are no longer kept.";
    ReplayUnknown = "replay.unknown", NOT_FOUND, "There is no such replay.";
    RequestMediaType = "request.media_type", UNSUPPORTED_MEDIA_TYPE, "The path does not accept bodies of this media type.";
    RequestEncoding = "request.encoding", UNSUPPORTED_MEDIA_TYPE, "The body is compressed or otherwise encoded.";
    Method = "request.method", METHOD_NOT_ALLOWED, "The path does not support this method.";
    BodySlow = "body.slow", REQUEST_TIMEOUT, "The body did not arrive in time.";
    BodyTooLarge = "body.too_large", PAYLOAD_TOO_LARGE, "The body is larger than allowed.";
    IngressQuota = "ingress.quota", TOO_MANY_REQUESTS, "The source has used up its quota.";
    IngressBusy = "ingress.busy", SERVICE_UNAVAILABLE, "Too many requests are under way.";
    ConsoleBusy = "console.busy", SERVICE_UNAVAILABLE, "Too many streams are open.";
    BrokerUnavailable = "broker.unavailable", SERVICE_UNAVAILABLE, "The broker is away.";
    BrokerBlocked = "broker.blocked", SERVICE_UNAVAILABLE, "The broker accepts nothing for now.";
    BrokerFull = "broker.full", SERVICE_UNAVAILABLE, "The broker has no room left.";
    StoreUnavailable = "store.unavailable", SERVICE_UNAVAILABLE, "The store is away.";
    Internal = "internal", INTERNAL_SERVER_ERROR, "The program failed; the log says more.";
}

/// Seconds after which a refused sender should try again.
const RETRY_AFTER_SECONDS: &str = "5";

/// An error answer.
#[derive(Debug, Clone)]
pub struct Problem {
    code: ProblemCode,
    detail: String,
    candidates: Vec<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem with a detail for the person who reads the answer; it must not contain a secret or
    /// any part of a body.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), candidates: Vec::new(), headers: Vec::new() }
    }

    /// Adds the names that the caller can choose from.
    #[must_use]
    pub fn with_candidates(mut self, candidates: Vec<String>) -> Self {
        self.candidates = candidates;
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// What went wrong.
    pub const fn code(&self) -> ProblemCode {
        self.code
    }

    /// What was wrong, for a person.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The problem details as JSON, on one line.
    pub fn body(&self) -> Vec<u8> {
        let status = self.code.status();
        let body = Body {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: &self.detail,
            code: self.code.as_str(),
            candidates: &self.candidates,
        };
        serde_json::to_vec(&body).expect("texts and a number are always JSON")
    }
}

/// The body of an error answer, as RFC 9457 names its members.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Body<'a> {
    /// Always `about:blank`; `code` identifies the problem.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The HTTP status in words.
    #[schema(example = "Bad Request")]
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 400)]
    status: u16,
    /// What was wrong, for a person.
    detail: &'a str,
    /// What was wrong, for a program; stable.
    #[schema(example = "request.invalid")]
    code: &'static str,
    /// The names to choose from, if one name fits several orders or items, or the most similar
    /// names of items or sites that exist, if one does not; otherwise left out.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    #[schema(value_type = Vec<String>, required = false, example = json!(["id:1001", "id:1002"]))]
    candidates: &'a [String],
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let mut response = (status, self.body()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        headers.extend(self.headers);
        response
    }
}
