//! What an envelope carries, by the name that travels with it.

use serde::{Deserialize, Serialize};

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
