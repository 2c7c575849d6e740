//! Corrections: what a person says about an order, once, on the basis of what they saw.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::named::named;
use super::{Fingerprint, Identifier, MessageId, OrderId, Timestamp, Version};

/// The most corrections that a record keeps.
pub const CORRECTIONS_MAX: usize = 64;

/// A person's correction of what an order holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorrectionEvent {
    /// The record that the correction is joined into.
    pub order: OrderId,
    /// The reference that the person chose for it.
    pub reference: Identifier,
    /// Its content.
    pub content: CorrectionContent,
}

/// The content of a correction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorrectionContent {
    /// The action to take.
    pub action: Action,
    /// What the person saw.
    pub shown: Shown,
    /// The reason.
    pub reason: Option<Identifier>,
    /// The person.
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

/// The text is not a `shown` that was returned when an order was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not what showing an order answers as `shown`")]
pub struct ShownError;

impl Shown {
    /// Returns the opaque text that represents it.
    pub fn token(&self) -> String {
        let json = serde_json::to_vec(self).expect("it has no maps");
        BASE64_URL_SAFE_NO_PAD.encode(json)
    }

    /// Parses a text that [`token`](Self::token) returned.
    pub fn parse(token: &str) -> Result<Self, ShownError> {
        let json = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| ShownError)?;
        serde_json::from_slice(&json).map_err(|_| ShownError)
    }

    /// Returns whether the order still says what was shown: the same words, in a snapshot that is
    /// not older, and the same deletion.
    pub fn is_still(&self, now: &Self) -> bool {
        self.words == now.words && self.version <= now.version && self.deleted == now.deleted
    }
}

/// A correction as a record stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// Its content.
    pub content: CorrectionContent,
    /// The message that brought it.
    pub message_id: MessageId,
    /// When that message was received.
    pub received_at: Timestamp,
}

impl Correction {
    /// Returns the sort key that decides which of two corrections of an order is later. It does not
    /// depend on the clock of a store.
    pub(super) const fn place(&self) -> (Timestamp, MessageId) {
        (self.received_at, self.message_id)
    }
}
