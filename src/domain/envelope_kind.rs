//! The kinds of envelopes, by the name that travels with each.

use serde::{Deserialize, Serialize};

use super::named::named;

named! {
    /// The kind of an envelope's body: the AMQP `type`, which only our own publishers set.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
    pub enum EnvelopeKind {
        /// A webhook as Duda sent it.
        #[serde(rename = "duda.webhook")]
        Webhook = "duda.webhook",
        /// Goods that came in, or a count.
        #[serde(rename = "storekeeper.receipt")]
        Receipt = "storekeeper.receipt",
        /// A person's correction of what an order holds.
        #[serde(rename = "storekeeper.correction")]
        Correction = "storekeeper.correction",
        /// A new body for a dead letter.
        #[serde(rename = "storekeeper.edit")]
        Edit = "storekeeper.edit",
        /// The discard of a dead letter that nobody wants applied.
        #[serde(rename = "storekeeper.discard")]
        Discard = "storekeeper.discard",
        /// What a process reports about itself; it is never journalled.
        #[serde(rename = "storekeeper.heartbeat")]
        Heartbeat = "storekeeper.heartbeat",
    }
}
