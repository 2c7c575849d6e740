//! What travels: a raw body and what was noted when it was received.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::domain::{MessageId, Timestamp};

/// A raw body and what was noted on receipt; nothing of the body has been looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The name of the message; it stays through retries, dead-lettering, edits and replays.
    pub message_id: MessageId,
    /// What the body is; said by the publisher, never by the body.
    pub kind: EnvelopeKind,
    /// When the body was received.
    pub received_at: Timestamp,
    /// The configured source that it came from.
    pub source: String,
    /// How often it was put back after it had been a dead letter.
    pub replays: u32,
    /// The W3C `traceparent` of the request that brought it.
    pub traceparent: Option<String>,
    /// The W3C `tracestate` beside it.
    pub tracestate: Option<String>,
    /// The body, byte for byte.
    pub body: Bytes,
}

/// What an envelope's body is: the AMQP `type`, which only our own publishers set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EnvelopeKind {
    /// A webhook as Duda sent it.
    #[serde(rename = "duda.webhook")]
    Webhook,
    /// Goods that came in, or a count.
    #[serde(rename = "storekeeper.receipt")]
    Receipt,
    /// A person corrects what an order holds.
    #[serde(rename = "storekeeper.correction")]
    Correction,
    /// Another body for a dead letter.
    #[serde(rename = "storekeeper.edit")]
    Edit,
    /// The end of a dead letter that nobody wants applied.
    #[serde(rename = "storekeeper.discard")]
    Discard,
}

impl EnvelopeKind {
    /// The kind's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "duda.webhook",
            Self::Receipt => "storekeeper.receipt",
            Self::Correction => "storekeeper.correction",
            Self::Edit => "storekeeper.edit",
            Self::Discard => "storekeeper.discard",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::Webhook, Self::Receipt, Self::Correction, Self::Edit, Self::Discard];
        all.into_iter().find(|kind| kind.as_str() == name)
    }
}
