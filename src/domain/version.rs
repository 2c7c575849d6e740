//! An event's place among the events of its entity.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::Timestamp;
use super::named::named;

/// The version of an event; versions are compared field by field, in this order.
///
/// A creation precedes everything else, whatever the clocks say. Timestamps tie in practice (an
/// update and a deletion often have the same one), so the rank and the status come next, and a
/// fingerprint of the content comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Whether it is the creation of its order.
    pub class: Class,
    /// `event_timestamp`, in milliseconds.
    pub event_timestamp: i64,
    /// When the store was queried, in milliseconds; 0 for what the store sent unasked.
    pub observed_at: i64,
    /// The kind of event.
    pub rank: Rank,
    /// How far the order has come, according to its status.
    pub status: Status,
    /// The first eight bytes of a hash of the parts of the event that the state keeps.
    pub fingerprint: Fingerprint,
}

impl Version {
    /// Returns whether only the fingerprint distinguishes the two.
    pub fn ties_with(&self, other: &Self) -> bool {
        self.place() == other.place() && self.fingerprint != other.fingerprint
    }

    /// Returns all fields but the fingerprint.
    pub(super) const fn place(&self) -> (Class, i64, i64, Rank, Status) {
        (self.class, self.event_timestamp, self.observed_at, self.rank, self.status)
    }

    /// Returns a text that sorts as versions do.
    pub fn sort_key(&self) -> String {
        // With the sign bit flipped, negative numbers come first as text too.
        let turned = |number: i64| number.cast_unsigned() ^ (1 << 63);
        format!(
            "{:x}{:016x}{:016x}{:x}{:x}{:016x}",
            self.class as u8,
            turned(self.event_timestamp),
            turned(self.observed_at),
            self.rank as u8,
            self.status as u8,
            self.fingerprint.0
        )
    }

    /// Returns when the event happened.
    pub const fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.event_timestamp)
    }

    /// Parses what [`Display`](fmt::Display) writes.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let version = Self {
            class: Class::parse(words.next()?)?,
            event_timestamp: words.next()?.parse().ok()?,
            observed_at: words.next()?.parse().ok()?,
            rank: Rank::parse(words.next()?)?,
            status: Status::parse(words.next()?)?,
            fingerprint: Fingerprint(u64::from_str_radix(words.next()?, 16).ok()?),
        };
        words.next().is_none().then_some(version)
    }
}

/// The human-readable form in a state: `later 1700000000000 0 updated PROCESSED 00000000000000ff`.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, event_timestamp, observed_at, rank, status, fingerprint } = self;
        let (class, rank, status) = (class.as_str(), rank.as_str(), status.as_str());
        let fingerprint = fingerprint.0;
        write!(f, "{class} {event_timestamp} {observed_at} {rank} {status} {fingerprint:016x}")
    }
}

/// Writes one text per version in human-readable formats, and field after field in others: a record
/// has several versions.
impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            (self.place(), self.fingerprint).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            Self::parse(&text).ok_or_else(|| D::Error::custom("it is no version"))
        } else {
            let (place, fingerprint) = Deserialize::deserialize(deserializer)?;
            let (class, event_timestamp, observed_at, rank, status) = place;
            Ok(Self { class, event_timestamp, observed_at, rank, status, fingerprint })
        }
    }
}

named! {
    /// Whether an event creates its order. A creation precedes all other events of the order.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Class {
        /// The creation of an order.
        Creation = "creation",
        /// Anything else.
        Later = "later",
    }
}

/// The first eight bytes of a SHA-256; as text, sixteen hexadecimal digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u64);

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&format_args!("{:016x}", self.0))
        } else {
            self.0.to_be_bytes().serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            u64::from_str_radix(&text, 16).map(Self).map_err(D::Error::custom)
        } else {
            <[u8; 8]>::deserialize(deserializer).map(|bytes| Self(u64::from_be_bytes(bytes)))
        }
    }
}

/// Returns the fingerprint of a canonical form, computed from its JSON text.
pub(super) fn fingerprint(canonical: &impl Serialize) -> Fingerprint {
    let text = serde_json::to_vec(canonical).expect("canonical forms have text keys only");
    Fingerprint::of(&text)
}

impl Fingerprint {
    /// Returns the fingerprint of bytes as they are.
    pub fn of(bytes: &[u8]) -> Self {
        let mut first = [0; 8];
        first.copy_from_slice(Sha256::digest(bytes).split_at(8).0);
        Self(u64::from_be_bytes(first))
    }
}

named! {
    /// The kind of an event. Of two events with the same timestamp, the one whose kind comes later
    /// in this list is the later event.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Rank {
        /// A creation.
        Created = "created",
        /// An update.
        Updated = "updated",
        /// An update that says CANCELLED.
        Cancelled = "cancelled",
        /// A deletion.
        Deleted = "deleted",
    }
}

named! {
    /// An order's status, in the sequence in which an order passes through them.
    #[derive(
        Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
    )]
    #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
    pub enum Status {
        /// A status that is not listed below, or none at all.
        #[default]
        Unknown = "UNKNOWN",
        /// Started, and not placed yet.
        Incomplete = "INCOMPLETE",
        /// Not paid yet.
        Pending = "PENDING",
        /// Being worked on.
        InProgress = "IN_PROGRESS",
        /// Paid.
        Processed = "PROCESSED",
        /// Handed to the carrier.
        Dispatched = "DISPATCHED",
        /// On its way.
        Shipped = "SHIPPED",
        /// With the customer.
        Delivered = "DELIVERED",
        /// The payment is disputed.
        Disputed = "DISPUTED",
        /// The money was refunded; a status of third-party stores.
        Refunded = "REFUNDED",
        /// Called off.
        Cancelled = "CANCELLED",
    }
}

impl Status {
    /// Parses a status as a sender writes it: in any case, and with "CANCELED" accepted too. Any
    /// other name is [`Status::Unknown`].
    pub fn of_sender(name: &str) -> Self {
        let name = name.trim();
        if name.eq_ignore_ascii_case("CANCELED") {
            return Self::Cancelled;
        }
        Self::ALL
            .into_iter()
            .find(|status| status.as_str().eq_ignore_ascii_case(name))
            .unwrap_or_default()
    }

    /// Returns whether the goods have left.
    pub const fn is_shipped(self) -> bool {
        matches!(self, Self::Dispatched | Self::Shipped | Self::Delivered)
    }

    /// Returns whether the goods are still here, according to the shop.
    pub const fn is_unshipped(self) -> bool {
        matches!(self, Self::Pending | Self::InProgress | Self::Processed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_versions_sort_as_versions_do() {
        let mut versions = Vec::new();
        for class in [Class::Creation, Class::Later] {
            for event_timestamp in [i64::MIN, -1, 0, 9, 10, i64::MAX] {
                for observed_at in [0, 1] {
                    for rank in [Rank::Created, Rank::Updated, Rank::Cancelled, Rank::Deleted] {
                        for status in Status::ALL {
                            let fingerprints = [0, 0xf, 0x10, u64::MAX].map(Fingerprint);
                            versions.extend(fingerprints.map(|fingerprint| Version {
                                class,
                                event_timestamp,
                                observed_at,
                                rank,
                                status,
                                fingerprint,
                            }));
                        }
                    }
                }
            }
        }
        assert!(versions.is_sorted());
        for version in &versions {
            assert_eq!(Version::parse(&version.to_string()), Some(*version));
        }
        let texts: Vec<_> = versions.iter().map(Version::sort_key).collect();
        assert!(texts.is_sorted_by(|one, next| one < next));
    }
}
