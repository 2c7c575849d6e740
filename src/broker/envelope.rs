//! What travels: a raw body and what was recorded when it was received.

use bytes::Bytes;

use crate::domain::{EnvelopeKind, MessageId, Timestamp};

/// A raw body and what was recorded on receipt; the body has not been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The name of the message; it stays through retries, dead-lettering, edits and replays.
    pub message_id: MessageId,
    /// What the body is, according to the publisher; never read from the body.
    pub kind: EnvelopeKind,
    /// When the body was received.
    pub received_at: Timestamp,
    /// The configured source that it came from.
    pub source: String,
    /// How often it was replayed as a dead letter.
    pub replays: u32,
    /// The W3C `traceparent` of the request that brought it.
    pub traceparent: Option<String>,
    /// The W3C `tracestate` beside it.
    pub tracestate: Option<String>,
    /// The body, byte for byte.
    pub body: Bytes,
}
