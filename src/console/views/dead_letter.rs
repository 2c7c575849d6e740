//! Dead letters. A list never shows bodies: they are personal data.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::Rejection;
use crate::store::{DeadLetter, DeadLetterSummary};

/// A dead letter: an envelope that could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub struct DeadLetterView {
    /// The message's id.
    #[schema(example = "01890a5d-ac96-774b-bcce-b302099a8057")]
    pub id: String,
    /// The generation of the envelope: 1, and one more for every replay.
    pub generation: u32,
    /// The stable reason.
    #[schema(example = "decode.invalid_quantity")]
    pub reason: &'static str,
    /// What was wrong, and where.
    #[schema(example = "data.items[0].quantity: expected a number, found a list")]
    pub detail: String,
    /// The shop, as far as the body was understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub site: Option<String>,
    /// The event's name, as far as the body was understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub event_type: Option<String>,
    /// The order, as far as the body was understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub order: Option<String>,
    /// When the message first failed, in any generation: a dead letter that fails again in a replay
    /// keeps it. `older_than` and the retention of dead letters use it.
    #[schema(example = "2023-01-12T18:14:24.002Z")]
    pub first_failed_at: String,
    /// How many attempts were made in this generation: since it was received or last replayed.
    pub attempts: u32,
    /// How often it was replayed before: `reason` and `detail` are those of the last time.
    pub replays: u32,
    /// Whether its body was edited.
    pub edited: bool,
}

impl From<&DeadLetterSummary> for DeadLetterView {
    fn from(letter: &DeadLetterSummary) -> Self {
        let Rejection { code, detail, site, event_type, order } = &letter.rejection;
        Self {
            id: letter.id.to_string(),
            generation: letter.generation,
            reason: code.as_str(),
            detail: detail.clone(),
            site: site.as_ref().map(ToString::to_string),
            event_type: event_type.as_ref().map(ToString::to_string),
            order: order.as_ref().map(ToString::to_string),
            first_failed_at: letter.failed_at.to_string(),
            attempts: letter.attempts,
            replays: letter.replays,
            edited: letter.is_edited,
        }
    }
}

/// A dead letter with its headers and bodies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = DeadLetterDetail)]
pub struct DeadLetterDetailView {
    /// The dead letter.
    #[serde(flatten)]
    pub letter: DeadLetterView,
    /// The headers.
    pub headers: HeadersView,
    /// The body, byte for byte; personal data.
    pub body: BodyView,
    /// The body as received, if it was edited since.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub original_body: Option<BodyView>,
}

impl From<&DeadLetter> for DeadLetterDetailView {
    fn from(letter: &DeadLetter) -> Self {
        let envelope = &letter.envelope;
        let summary = DeadLetterSummary {
            id: envelope.message_id,
            generation: letter.generation(),
            rejection: letter.rejection.clone(),
            failed_at: letter.failed_at,
            attempts: letter.attempts,
            replays: envelope.replays,
            is_edited: letter.original.is_some(),
        };
        Self {
            letter: DeadLetterView::from(&summary),
            headers: HeadersView {
                kind: envelope.kind.as_str(),
                received_at: envelope.received_at.to_string(),
                source: envelope.source.clone(),
                traceparent: envelope.traceparent.clone(),
                tracestate: envelope.tracestate.clone(),
            },
            body: BodyView::from(envelope.body.as_ref()),
            original_body: letter.original.as_deref().map(BodyView::from),
        }
    }
}

/// The headers of an envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Headers)]
pub struct HeadersView {
    /// The type of the body.
    #[serde(rename = "type")]
    #[schema(example = "duda.webhook")]
    pub kind: &'static str,
    /// When it was received.
    #[schema(example = "2023-01-12T18:14:24.002Z")]
    pub received_at: String,
    /// The configured source that sent it.
    #[schema(example = "default")]
    pub source: String,
    /// The W3C `traceparent` of its request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub traceparent: Option<String>,
    /// The W3C `tracestate` of its request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tracestate: Option<String>,
}

/// A body: its text if it is UTF-8, else its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Body)]
pub enum BodyView {
    /// The text.
    Text(String),
    /// The bytes in standard base64.
    Base64(String),
}

impl From<&[u8]> for BodyView {
    fn from(body: &[u8]) -> Self {
        match std::str::from_utf8(body) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(STANDARD.encode(body)),
        }
    }
}
