//! The history of an order: events, refunds, corrections.

use serde::Serialize;
use utoipa::ToSchema;

use super::status_of_event;
use crate::domain::{Action, Correction, Identifier, Reason, Record, RefundEntry, TimelineEntry};

/// A refund of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Refund)]
pub struct RefundView {
    /// The refund's id.
    #[schema(example = "R1")]
    pub id: String,
    /// When it was made, as far as it is known.
    #[schema(example = "2023-01-12T18:14:23.361Z")]
    pub at: String,
    /// The lines that it refunds; empty while only its id is known, or if it refunds money only.
    pub lines: Vec<RefundLineView>,
}

/// A refunded line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RefundLine)]
pub struct RefundLineView {
    /// The id of the order's line; null if the refund does not name it.
    #[schema(required, example = "L1")]
    pub id: Option<String>,
    /// Units refunded.
    #[schema(example = "1.25")]
    pub quantity: String,
    /// Whether exactly one line of the latest snapshot has this id; otherwise this refund restocks
    /// nothing.
    pub matched: bool,
}

/// The refunds, in order of id.
pub(super) fn refunds(record: &Record) -> Vec<RefundView> {
    let lines = record.latest.iter().flat_map(|latest| &latest.snapshot.lines);
    let ids: Vec<&Identifier> = lines.filter_map(|line| line.id.as_ref()).collect();
    let is_unique = |id: &Identifier| ids.iter().filter(|other| **other == id).count() == 1;
    let view = |(id, entry): (&Identifier, &RefundEntry)| RefundView {
        id: id.to_string(),
        at: entry.at().to_string(),
        lines: entry
            .lines
            .iter()
            .map(|line| RefundLineView {
                id: line.id.as_ref().map(ToString::to_string),
                quantity: line.quantity.to_string(),
                matched: line.id.as_ref().is_some_and(is_unique),
            })
            .collect(),
    };
    record.refunds.iter().map(view).collect()
}

/// A person's correction of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Correction)]
pub struct CorrectionView {
    /// The name under which it counts once.
    #[schema(example = "TICKET-7")]
    pub reference: String,
    /// What it does: release, hold or ship.
    #[schema(example = "release")]
    pub action: &'static str,
    /// Why; null if unknown.
    #[schema(required, example = "paid in cash and taken along")]
    pub reason: Option<String>,
    /// Who; null if unknown.
    #[schema(required, example = "anna")]
    pub actor: Option<String>,
    /// When it was received.
    #[schema(example = "2023-01-13T09:00:00.000Z")]
    pub received_at: String,
    /// Whether it is in force: not if a later correction replaced it, nor if the order has changed
    /// since.
    pub in_force: bool,
}

/// The corrections, in the order in which they were received.
pub(super) fn corrections(record: &Record) -> Vec<CorrectionView> {
    let place = |correction: &Correction| (correction.received_at, correction.message_id);
    let mut all: Vec<(&Identifier, &Correction)> = record.corrections.iter().collect();
    all.sort_by_key(|(_, correction)| place(correction));
    let is_ship = |correction: &Correction| correction.content.action == Action::Ship;
    let last =
        all.iter().rev().map(|(_, correction)| *correction).find(|it| !is_ship(it)).map(place);
    let decides = record.corrections_in_force().decides;
    let in_force = |correction: &Correction| {
        if is_ship(correction) {
            ships(record, correction)
        } else {
            Some(correction.content.action) == decides && Some(place(correction)) == last
        }
    };
    let view = |(reference, correction): (&Identifier, &Correction)| CorrectionView {
        reference: reference.to_string(),
        action: correction.content.action.as_str(),
        reason: correction.content.reason.as_ref().map(ToString::to_string),
        actor: correction.content.actor.as_ref().map(ToString::to_string),
        received_at: correction.received_at.to_string(),
        in_force: in_force(correction),
    };
    all.into_iter().map(view).collect()
}

/// Whether the goods would have left by this correction alone.
fn ships(record: &Record, correction: &Correction) -> bool {
    let counts = |other: &Correction| {
        other.content.action != Action::Ship || other.message_id == correction.message_id
    };
    let others = record.corrections.iter().filter(|(_, other)| counts(other));
    let alone = Record {
        unshipped: record.unshipped,
        corrections: others.map(|(name, other)| (name.clone(), other.clone())).collect(),
        ..Record::default()
    };
    alone.departure().is_some()
}

/// One event of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = TimelineEntry)]
pub struct TimelineEntryView {
    /// The first message that carried it.
    #[schema(example = "01890a5d-ac96-774b-bcce-b302099a8057")]
    pub message_id: String,
    /// Its type.
    #[schema(example = "ECOMM_ORDER_UPDATED")]
    pub event_type: String,
    /// When it happened.
    #[schema(example = "2023-01-12T18:14:23.361Z")]
    pub event_timestamp: String,
    /// When that message was received.
    #[schema(example = "2023-01-12T18:14:24.002Z")]
    pub received_at: String,
    /// Its status, as it was written if it is not a known one; null if it has none.
    #[schema(required, example = "PROCESSED")]
    pub status: Option<String>,
    /// Its outcome: applied, superseded, duplicate or ignored.
    #[schema(example = "applied")]
    pub outcome: &'static str,
    /// Why; left out if there is no reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "after_deletion")]
    pub reason: Option<&'static str>,
    /// How many of its lines had another stock key than in the latest snapshot before it; left out
    /// if none had.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 1)]
    pub rekeyed_lines: Option<u32>,
}

impl From<&TimelineEntry> for TimelineEntryView {
    fn from(entry: &TimelineEntry) -> Self {
        Self {
            message_id: entry.message_id.to_string(),
            event_type: entry.event_type.to_string(),
            event_timestamp: entry.version.at().to_string(),
            received_at: entry.received_at.to_string(),
            status: status_of_event(entry),
            outcome: entry.outcome.as_str(),
            reason: entry.reason.map(Reason::as_str),
            rekeyed_lines: (entry.rekeyed_lines > 0).then_some(entry.rekeyed_lines),
        }
    }
}
