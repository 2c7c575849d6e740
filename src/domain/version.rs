//! An event's place among the events of its entity.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Timestamp;

/// The version of an event; versions are compared field by field, in this order.
///
/// Timestamps tie in practice (a creation and its update often carry the same), so the class and
/// the status come next, and a fingerprint of the content last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// `event_timestamp`, in milliseconds.
    pub event_timestamp: i64,
    /// What kind of event it is.
    pub rank: Rank,
    /// How far the status says that the order has come.
    pub status: Status,
    /// The first eight bytes of a hash of what the state keeps of the event.
    pub fingerprint: Fingerprint,
}

impl Version {
    /// Whether only the fingerprint tells the two apart.
    pub fn ties_with(&self, other: &Self) -> bool {
        (self.event_timestamp, self.rank, self.status)
            == (other.event_timestamp, other.rank, other.status)
            && self.fingerprint != other.fingerprint
    }

    /// When the event happened.
    pub const fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.event_timestamp)
    }
}

/// The first eight bytes of a SHA-256, written as sixteen hexadecimal digits.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(pub u64);

impl TryFrom<String> for Fingerprint {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u64::from_str_radix(&text, 16).map(Self)
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        format!("{:016x}", fingerprint.0)
    }
}

/// The fingerprint of a canonical form: of what it is written as in JSON.
pub(super) fn fingerprint(canonical: &impl Serialize) -> Fingerprint {
    let text = serde_json::to_vec(canonical).expect("canonical forms have text keys only");
    let mut first = [0; 8];
    first.copy_from_slice(Sha256::digest(text).split_at(8).0);
    Fingerprint(u64::from_be_bytes(first))
}

/// The kind of an event; of two with the same timestamp, the later kind is the later event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rank {
    /// A creation.
    Created,
    /// An update.
    Updated,
    /// An update that says CANCELLED.
    Cancelled,
    /// A deletion.
    Deleted,
}

/// An order's status, in the order in which an order goes through them.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// None of those below, or none at all.
    #[default]
    Unknown,
    /// Not paid yet.
    Pending,
    /// Being worked on.
    InProgress,
    /// Paid.
    Processed,
    /// Handed to the carrier.
    Dispatched,
    /// On its way.
    Shipped,
    /// With the customer.
    Delivered,
    /// The payment is disputed.
    Disputed,
    /// Called off.
    Cancelled,
}

impl Status {
    const ALL: [Self; 9] = [
        Self::Unknown,
        Self::Pending,
        Self::InProgress,
        Self::Processed,
        Self::Dispatched,
        Self::Shipped,
        Self::Delivered,
        Self::Disputed,
        Self::Cancelled,
    ];

    /// The status as Duda writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Pending => "PENDING",
            Self::InProgress => "IN_PROGRESS",
            Self::Processed => "PROCESSED",
            Self::Dispatched => "DISPATCHED",
            Self::Shipped => "SHIPPED",
            Self::Delivered => "DELIVERED",
            Self::Disputed => "DISPUTED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// The status of that name; any other name is [`Status::Unknown`].
    pub fn parse(name: &str) -> Self {
        Self::ALL.into_iter().find(|status| status.as_str() == name).unwrap_or_default()
    }

    /// Whether the goods have left.
    pub const fn is_shipped(self) -> bool {
        matches!(self, Self::Dispatched | Self::Shipped | Self::Delivered)
    }
}
