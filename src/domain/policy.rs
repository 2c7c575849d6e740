//! The policy: the five settings that determine what an order means for stock.

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::stock_key::StockKeyKind;

/// What determines how much an order holds, apart from the order itself.
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

/// The policy that the configuration proposes. A setting that is not configured proposes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProposedPolicy {
    /// `stock.key_precedence`
    pub key_precedence: Option<Vec<StockKeyKind>>,
    /// `orders.test_mode`
    pub test_mode: Option<TestMode>,
    /// `orders.cancelled`
    pub cancelled: Option<Cancelled>,
    /// `orders.deleted`
    pub deleted: Option<Deleted>,
    /// `refunds.restock`
    pub restock: Option<Restock>,
}

impl ProposedPolicy {
    /// Returns a policy with the proposed settings in place of its own.
    #[must_use]
    pub fn over(&self, policy: &Policy) -> Policy {
        Policy {
            key_precedence: self
                .key_precedence
                .clone()
                .unwrap_or_else(|| policy.key_precedence.clone()),
            test_mode: self.test_mode.unwrap_or(policy.test_mode),
            cancelled: self.cancelled.unwrap_or(policy.cancelled),
            deleted: self.deleted.unwrap_or(policy.deleted),
            restock: self.restock.unwrap_or(policy.restock),
        }
    }
}

/// What orders in mode TEST hold.
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
    /// Nothing, unless the goods have left.
    #[default]
    ReleaseUnlessShipped,
    /// Nothing.
    Release,
    /// What they held before.
    Keep,
}

/// What deleted orders hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deleted {
    /// Nothing, unless the goods have left.
    #[default]
    ReleaseUnlessShipped,
    /// Nothing.
    Release,
}

/// Whether refunded goods go back on the shelf.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restock {
    /// Only units that were refunded before they left.
    #[default]
    Unshipped,
    /// Never: a refund is about money.
    Never,
    /// Only if every line is refunded up to its quantity.
    Full,
    /// Line by line.
    Lines,
}

impl Policy {
    /// Returns the settings in which two policies differ.
    pub fn differing(&self, other: &Self) -> Vec<&'static str> {
        [
            ("stock.key_precedence", self.key_precedence != other.key_precedence),
            ("orders.test_mode", self.test_mode != other.test_mode),
            ("orders.cancelled", self.cancelled != other.cancelled),
            ("orders.deleted", self.deleted != other.deleted),
            ("refunds.restock", self.restock != other.restock),
        ]
        .into_iter()
        .filter_map(|(name, differs)| differs.then_some(name))
        .collect()
    }
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

/// The number of a policy among those that a Store has had; the first is 1.
pub type PolicyRevision = u64;

/// The policy with which every order is computed, and its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyInForce {
    /// Its number.
    pub revision: PolicyRevision,
    /// The policy.
    pub policy: Policy,
}

/// Who put a policy in force, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyOrigin {
    /// The person.
    pub actor: String,
    /// The time.
    pub at: Timestamp,
}
