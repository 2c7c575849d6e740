//! Corrections: what a person says of an order, once, against what they saw.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::named::named;
use super::{Fingerprint, Identifier, MessageId, OrderId, Timestamp, Version};

/// How many corrections a record keeps.
pub const CORRECTIONS_MAX: usize = 64;

/// A person corrects what an order holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorrectionEvent {
    /// The record that it is joined into.
    pub order: OrderId,
    /// The name that the person chose for it.
    pub reference: Identifier,
    /// What it says.
    pub content: CorrectionContent,
}

/// What a correction says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorrectionContent {
    /// What is to be done.
    pub action: Action,
    /// What the person saw.
    pub shown: Shown,
    /// Why.
    pub reason: Option<Identifier>,
    /// Who.
    pub actor: Option<Identifier>,
}

named! {
    /// What a correction does.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Action {
        /// The order holds nothing.
        Release = "release",
        /// The order holds what its latest snapshot says.
        Hold = "hold",
        /// The goods have left.
        Ship = "ship",
    }
}

/// What a person saw of an order: the snapshot, and the deletion if there was one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The snapshot's version.
    pub version: Version,
    /// The snapshot's words.
    pub words: Fingerprint,
    /// The deletion's version.
    pub deleted: Option<Version>,
}

/// Why a text is not what an order was shown as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not what showing an order answers as `shown`")]
pub struct ShownError;

impl Shown {
    /// The opaque text that stands for it.
    pub fn token(&self) -> String {
        let json = serde_json::to_vec(self).expect("it has no maps");
        BASE64_URL_SAFE_NO_PAD.encode(json)
    }

    /// Reads what [`token`](Self::token) wrote.
    pub fn parse(token: &str) -> Result<Self, ShownError> {
        let json = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| ShownError)?;
        serde_json::from_slice(&json).map_err(|_| ShownError)
    }

    /// Whether an order that was shown as this still says what it said: the same words, in no older
    /// snapshot, and the same deletion.
    pub fn is_still(&self, now: &Self) -> bool {
        self.words == now.words && self.version <= now.version && self.deleted == now.deleted
    }
}

/// A correction as a record keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// What it says.
    pub content: CorrectionContent,
    /// The message that brought it.
    pub message_id: MessageId,
    /// When that was received.
    pub received_at: Timestamp,
}

impl Correction {
    /// Of two corrections of an order the later one; no clock of a store has a say in it.
    pub(super) const fn place(&self) -> (Timestamp, MessageId) {
        (self.received_at, self.message_id)
    }
}
