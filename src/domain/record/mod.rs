//! The record: everything known about an order under one of its names.
//!
//! A record is a join, so the order of arrival leaves no trace in any field that a rule reads. An
//! order is the join of the record of its id and the records of the second names that lead to it. A
//! join of records has the form of a record too, so the rules read both alike.

mod deed;
mod remembered;
mod shipment;
mod sparse;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    Correction, Fingerprint, Identifier, Lists, MessageId, Mode, OrderId, Outcome, PolicyRevision,
    Quantity, Reason, RefundEntry, Snapshot, StockKey, Timestamp, Version,
};

pub use deed::CorrectionsInForce;
pub use remembered::Remembered;
pub(super) use remembered::told_apart;
pub use shipment::Departure;
use sparse::serialize_sparsely;

/// The most events that the timeline keeps.
pub const TIMELINE_LENGTH_MAX: usize = 64;
/// The most refunds that a record may have.
pub const REFUNDS_MAX: usize = 1000;
/// The most lines that the refunds of a record may have together.
pub const REFUNDED_LINES_MAX: usize = 10_000;
/// The most invoice numbers that are kept, for people.
pub const INVOICES_MAX: usize = 16;

/// Everything known about an order under one name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The snapshot with the highest version.
    pub latest: Option<Latest>,
    /// The highest version of a deletion.
    pub deleted: Option<Version>,
    /// The mode of the highest version that has one.
    pub mode: Option<(Version, Mode)>,
    /// Earlier names of lines, where the latest snapshot does not have them; newest first.
    pub remembered: Vec<Remembered>,
    /// What is known of each refund.
    pub refunds: BTreeMap<Identifier, RefundEntry>,
    /// The lowest versions, and the highest, of bodies that said that the goods had left.
    pub shipped: Vec<Version>,
    /// The highest version of a snapshot that said that the goods had not left, and its words.
    pub unshipped: Option<(Version, Fingerprint)>,
    /// The corrections, by reference.
    pub corrections: BTreeMap<Identifier, Correction>,
    /// The second names seen beside this id.
    pub second_names: BTreeSet<OrderId>,
    /// The newest invoice numbers, for people.
    pub invoices: Vec<(Version, OrderId)>,
    /// The events with the highest versions, highest first. For people: no rule reads it.
    pub timeline: Vec<TimelineEntry>,
    /// What the order now holds of each stock item; only in the record that leads the order.
    pub applied: BTreeMap<StockKey, Hold>,
    /// The revision of the policy with which `applied` was computed.
    pub policy: PolicyRevision,
    /// The lists that the order is in.
    pub lists: Lists,
}

serialize_sparsely!(Record {
    ;
    latest, deleted, mode, remembered, refunds, shipped, unshipped, corrections, second_names,
    invoices, timeline, applied, policy, lists
});

/// The snapshot with the highest version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latest {
    /// Its place among the order's events.
    pub version: Version,
    /// Whether it is the latest by its fingerprint alone.
    pub is_ambiguous: bool,
    /// The order's snapshot.
    pub snapshot: Snapshot,
}

/// What one order keeps of one stock item.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Hold {
    /// Units that are promised and still here.
    pub committed: Quantity,
    /// Units that have left.
    pub fulfilled: Quantity,
}

serialize_sparsely!(Hold { ; committed, fulfilled });

/// One event of an order, as shown to people.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TimelineEntry {
    /// Its place among the order's events.
    pub version: Version,
    /// The message that brought it; if there were several, the lowest.
    pub message_id: MessageId,
    /// The event's name.
    pub event_type: Identifier,
    /// When that message was received.
    pub received_at: Timestamp,
    /// Its outcome.
    pub outcome: Outcome,
    /// The reason, if there is a particular one.
    #[serde(default)]
    pub reason: Option<Reason>,
    /// The status as the sender wrote it, if that is not how we write it.
    #[serde(default)]
    pub said: Option<String>,
    /// How many of its lines had a stock key that differed from the one in the latest snapshot at
    /// its arrival.
    #[serde(default)]
    pub rekeyed_lines: u32,
}

serialize_sparsely!(TimelineEntry {
    version, message_id, event_type, received_at, outcome;
    reason, said, rekeyed_lines
});

impl Record {
    /// Returns the order that these records make: their join.
    pub fn union<'a>(records: &[&'a Self]) -> Cow<'a, Self> {
        match records {
            [] => Cow::Owned(Self::default()),
            [only] => Cow::Borrowed(only),
            [first, others @ ..] => {
                let mut all = Self::clone(first);
                for other in others {
                    all.join(other);
                }
                Cow::Owned(all)
            }
        }
    }

    /// Joins another record of the same order.
    fn join(&mut self, other: &Self) {
        match &other.latest {
            Some(latest) => self.join_latest(latest.clone(), &other.remembered),
            None => self.remember(&[], &other.remembered),
        }
        self.deleted = self.deleted.max(other.deleted);
        self.mode = self.mode.max(other.mode);
        for (id, entry) in &other.refunds {
            self.join_refund(id, entry);
        }
        self.join_shipped(&other.shipped);
        self.unshipped = self.unshipped.max(other.unshipped);
        for (reference, correction) in &other.corrections {
            self.join_correction(reference, correction);
        }
        for (version, invoice) in &other.invoices {
            self.join_invoice(*version, invoice);
        }
        for entry in &other.timeline {
            self.join_entry(entry.clone());
        }
    }

    /// Joins a snapshot.
    pub(super) fn join_snapshot(&mut self, version: Version, snapshot: &Snapshot) {
        if self.latest.as_ref().is_none_or(|latest| latest.version != version) {
            let latest = Latest { version, is_ambiguous: false, snapshot: snapshot.clone() };
            self.join_latest(latest, &[]);
        }
    }

    fn join_latest(&mut self, mut other: Latest, remembered: &[Remembered]) {
        let Some(mut mine) = self.latest.take() else {
            self.remember(&[&other], remembered);
            self.latest = Some(other);
            return;
        };
        // A tie with an older version says nothing about a newer one.
        if mine.version.place() == other.version.place() {
            let is_ambiguous =
                mine.is_ambiguous || other.is_ambiguous || mine.version != other.version;
            (mine.is_ambiguous, other.is_ambiguous) = (is_ambiguous, is_ambiguous);
        }
        self.remember(&[&mine, &other], remembered);
        self.latest = Some(if other.version > mine.version { other } else { mine });
    }

    /// Joins a statement about a refund, and returns whether that changed what is refunded, or
    /// when.
    pub(super) fn join_refund(&mut self, id: &Identifier, entry: &RefundEntry) -> bool {
        let Some(known) = self.refunds.get_mut(id) else {
            self.refunds.insert(id.clone(), entry.clone());
            return true;
        };
        let before = (known.lines.clone(), known.at());
        known.join(entry);
        before != (known.lines.clone(), known.at())
    }

    /// Joins a correction. Of two with one reference, the one with the lower message id counts.
    /// Returns whether this one counts now and did not before.
    pub(super) fn join_correction(
        &mut self,
        reference: &Identifier,
        correction: &Correction,
    ) -> bool {
        match self.corrections.get_mut(reference) {
            Some(known) if known.message_id <= correction.message_id => false,
            Some(known) => {
                known.clone_from(correction);
                true
            }
            None => {
                self.corrections.insert(reference.clone(), correction.clone());
                true
            }
        }
    }

    /// Joins an invoice number, and keeps the newest ones.
    pub(super) fn join_invoice(&mut self, version: Version, invoice: &OrderId) {
        match self.invoices.iter_mut().find(|(_, known)| known == invoice) {
            Some((known, _)) => *known = (*known).max(version),
            None => self.invoices.push((version, invoice.clone())),
        }
        self.invoices.sort_unstable_by(|a, b| b.cmp(a));
        self.invoices.truncate(INVOICES_MAX);
    }

    /// Returns whether an event with this version and name is in the timeline.
    pub(super) fn knows(&self, version: Version, event_type: &Identifier) -> bool {
        self.timeline
            .iter()
            .any(|entry| entry.version == version && entry.event_type == *event_type)
    }

    /// Adds an event, highest version first. A full timeline drops the lowest.
    pub(super) fn join_entry(&mut self, entry: TimelineEntry) {
        let at = |known: &TimelineEntry| {
            entry.version.cmp(&known.version).then_with(|| known.event_type.cmp(&entry.event_type))
        };
        match self.timeline.binary_search_by(at) {
            Ok(place) => {
                if let Some(known) = self.timeline.get_mut(place)
                    && known.message_id > entry.message_id
                {
                    known.message_id = entry.message_id;
                    known.received_at = entry.received_at;
                    known.said = entry.said;
                }
            }
            Err(place) if place < TIMELINE_LENGTH_MAX => {
                self.timeline.insert(place, entry);
                self.timeline.truncate(TIMELINE_LENGTH_MAX);
            }
            Err(_) => {}
        }
    }

    /// Returns the highest version of the order's snapshot and deletion.
    pub(super) fn newest(&self) -> Option<Version> {
        self.latest.as_ref().map(|latest| latest.version).max(self.deleted)
    }
}
