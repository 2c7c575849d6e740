//! The policy: the five settings on which the meaning of an order for stock depends.

use serde::{Deserialize, Serialize};

use super::stock_key::StockKeyKind;

/// What decides how much an order holds, beside the order itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// `stock.key_precedence`: the first of these names that a line has is its stock key.
    pub key_precedence: Vec<StockKeyKind>,
    /// `orders.test_mode`
    pub test_mode: TestMode,
    /// `orders.cancelled`
    pub cancelled: Cancelled,
    /// `orders.deleted`
    pub deleted: Deleted,
    /// `refunds.restock`
    pub restock: Restock,
}

/// What orders of mode TEST hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TestMode {
    /// Nothing.
    #[default]
    Ignore,
    /// What they would hold in mode LIVE.
    Count,
}

/// What cancelled orders hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cancelled {
    /// Nothing.
    #[default]
    Release,
    /// What they held, as a disputed order does.
    Keep,
    /// Nothing, unless the goods had left.
    ReleaseUnlessShipped,
}

/// What deleted orders hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deleted {
    /// Nothing.
    #[default]
    Release,
    /// Nothing, unless the goods had left.
    ReleaseUnlessShipped,
}

/// Whether refunded goods come back on the shelf.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restock {
    /// Never: a refund is about money.
    #[default]
    Never,
    /// When every line is refunded to its quantity.
    Full,
    /// Line by line.
    Lines,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            key_precedence: StockKeyKind::ALL.to_vec(),
            test_mode: TestMode::default(),
            cancelled: Cancelled::default(),
            deleted: Deleted::default(),
            restock: Restock::default(),
        }
    }
}

/// A count of the policies that a Store has had; the first is 1.
pub type PolicyRevision = u64;

/// The policy that every order is computed with, and its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyInForce {
    /// Its number.
    pub revision: PolicyRevision,
    /// The policy.
    pub policy: Policy,
}
