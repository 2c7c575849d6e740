//! Entries of the change feed.

use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{Cause, Counts, Site};
use crate::store::Change;
use crate::store::changes::Cursor;

/// A change of a stock item's counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Change)]
pub struct ChangeView {
    /// The place after this change: the `after` to continue from here.
    pub cursor: String,
    /// Its number within the shop, without gaps.
    #[schema(example = 42)]
    pub sequence: u64,
    /// The name of the feed: numbers of another epoch belong to another feed.
    pub epoch: String,
    /// When it was committed.
    #[schema(example = "2024-05-31T12:00:00.000Z")]
    pub at: String,
    /// The shop.
    #[schema(example = "my_site_1")]
    pub site: String,
    /// The item.
    #[schema(example = "product:P1")]
    pub key: String,
    /// The order that caused it; left out if something else did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "id:1001")]
    pub order: Option<String>,
    /// The reference of the receipt that caused it; left out if something else did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "PO-1234")]
    pub reference: Option<String>,
    /// Who repaired the counts after an audit found them wrong; left out if something else caused
    /// the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "anna")]
    pub repair: Option<String>,
    /// The message that caused it; a repair has an id of its own.
    pub message_id: String,
    /// What was added to the counts; by a repair, to the counts that the feed reported last.
    pub delta: CountsView,
    /// The counts after it.
    pub after: CountsView,
}

impl ChangeView {
    /// A change of this site.
    pub fn new(site: &Site, change: &Change) -> Self {
        let (mut order, mut reference, mut repair) = (None, None, None);
        match &change.cause {
            Cause::Order(name) => order = Some(name.to_string()),
            Cause::Receipt(name) => reference = Some(name.to_string()),
            Cause::Repair(actor) => repair = Some(actor.to_string()),
        }
        Self {
            cursor: Cursor::after(change).to_string(),
            sequence: change.sequence,
            epoch: change.epoch.clone(),
            at: change.at.to_string(),
            site: site.to_string(),
            key: change.key.to_string(),
            order,
            reference,
            repair,
            message_id: change.message_id.to_string(),
            delta: CountsView::from(change.delta),
            after: CountsView::from(change.after),
        }
    }
}

/// Counts of a stock item, or differences of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Counts)]
pub struct CountsView {
    /// Units that were received.
    #[schema(example = "100")]
    pub received: String,
    /// Units that are promised to orders and have not left yet.
    #[schema(example = "3")]
    pub committed: String,
    /// Units that have left.
    #[schema(example = "40.5")]
    pub fulfilled: String,
    /// Units that should be on the shelf: received - fulfilled.
    #[schema(example = "59.5")]
    pub on_hand: String,
    /// Units that can still be promised: received - committed - fulfilled.
    #[schema(example = "56.5")]
    pub available: String,
}

impl From<Counts> for CountsView {
    fn from(counts: Counts) -> Self {
        // Decimals keep the scale of their operands; quantities are written without trailing zeros.
        let text = |difference: Decimal| difference.normalize().to_string();
        Self {
            received: counts.received.to_string(),
            committed: counts.committed.to_string(),
            fulfilled: counts.fulfilled.to_string(),
            on_hand: text(counts.on_hand()),
            available: text(counts.available()),
        }
    }
}
