//! What people decided about an order after they had seen it.

use super::statement::Statement;

/// What a person decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The order holds nothing.
    Release,
    /// The order holds what its latest snapshot says.
    Hold,
    /// The goods have left.
    Ship,
}

/// What a person was shown of an order: its latest snapshot and its deletion.
#[derive(Debug, Clone)]
pub struct Shown {
    pub(super) snapshot: Statement,
    pub(super) deletion: Option<Statement>,
}

/// A person's decision about an order.
#[derive(Debug, Clone)]
pub struct Correction {
    /// The shop.
    pub site: String,
    /// The record that it joins, by name.
    pub order: String,
    /// What was decided.
    pub action: Action,
    /// What the person had seen.
    pub shown: Shown,
    /// The correction's reference: it counts once for each order.
    pub reference: String,
    /// The message that carried it; of two different contents, the one with the lower message id
    /// counts.
    pub message_id: String,
    /// When it was received, in microseconds.
    pub received_at_us: i64,
}

impl Correction {
    /// Returns the place of the correction among others: the one received later is higher.
    pub(super) fn turn(&self) -> (i64, &str) {
        (self.received_at_us, &self.message_id)
    }
}
