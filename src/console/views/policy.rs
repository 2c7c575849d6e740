//! The policy in force, by the names of its settings.

use serde::Serialize;

use crate::domain::{Cancelled, Deleted, PolicyOrigin, Restock, TestMode};
use crate::store::PolicyInForce;

/// The policy by which every order is computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyView {
    /// Its number.
    pub revision: u64,
    /// Who put it in force; null if unknown.
    pub actor: Option<String>,
    /// When it was put in force; null if unknown.
    pub at: Option<String>,
    /// The kinds of names by precedence: the first that a line has is its stock key.
    #[serde(rename = "stock.key_precedence")]
    pub key_precedence: Vec<&'static str>,
    /// What orders of mode TEST hold.
    #[serde(rename = "orders.test_mode")]
    pub test_mode: &'static str,
    /// What cancelled orders hold.
    #[serde(rename = "orders.cancelled")]
    pub cancelled: &'static str,
    /// What deleted orders hold.
    #[serde(rename = "orders.deleted")]
    pub deleted: &'static str,
    /// Whether refunded goods are restocked.
    #[serde(rename = "refunds.restock")]
    pub restock: &'static str,
}

impl PolicyView {
    /// The policy in force, and who put it there.
    pub fn new(in_force: &PolicyInForce, origin: Option<&PolicyOrigin>) -> Self {
        let policy = &in_force.policy;
        Self {
            revision: in_force.revision,
            actor: origin.map(|origin| origin.actor.clone()),
            at: origin.map(|origin| origin.at.to_string()),
            key_precedence: policy.key_precedence.iter().map(|kind| kind.as_str()).collect(),
            test_mode: match policy.test_mode {
                TestMode::Ignore => "ignore",
                TestMode::Count => "count",
            },
            cancelled: match policy.cancelled {
                Cancelled::Release => "release",
                Cancelled::Keep => "keep",
                Cancelled::ReleaseUnlessShipped => "release-unless-shipped",
            },
            deleted: match policy.deleted {
                Deleted::Release => "release",
                Deleted::ReleaseUnlessShipped => "release-unless-shipped",
            },
            restock: match policy.restock {
                Restock::Unshipped => "unshipped",
                Restock::Never => "never",
                Restock::Full => "full",
                Restock::Lines => "lines",
            },
        }
    }
}
