//! The policy in force, by the names of its settings.

use serde::Serialize;
use serde_json::Value;

use crate::domain::PolicyOrigin;
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
    pub test_mode: String,
    /// What cancelled orders hold.
    #[serde(rename = "orders.cancelled")]
    pub cancelled: String,
    /// What deleted orders hold.
    #[serde(rename = "orders.deleted")]
    pub deleted: String,
    /// Whether refunded goods are restocked.
    #[serde(rename = "refunds.restock")]
    pub restock: String,
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
            test_mode: setting(&policy.test_mode),
            cancelled: setting(&policy.cancelled),
            deleted: setting(&policy.deleted),
            restock: setting(&policy.restock),
        }
    }
}

/// A choice as it is written in the configuration.
fn setting(choice: &impl Serialize) -> String {
    let text = serde_json::to_value(choice).ok();
    text.as_ref().and_then(Value::as_str).expect("every choice is a text").to_owned()
}
