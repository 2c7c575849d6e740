//! What an envelope carries, by the name that travels with it.

use serde::{Deserialize, Serialize};

use super::named::named;

named! {
    /// What an envelope's body is: the AMQP `type`, which only our own publishers set.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
    pub enum EnvelopeKind {
        /// A webhook as Duda sent it.
        #[serde(rename = "duda.webhook")]
        Webhook = "duda.webhook",
        /// Goods that came in, or a count.
        #[serde(rename = "storekeeper.receipt")]
        Receipt = "storekeeper.receipt",
        /// A person corrects what an order holds.
        #[serde(rename = "storekeeper.correction")]
        Correction = "storekeeper.correction",
        /// Another body for a dead letter.
        #[serde(rename = "storekeeper.edit")]
        Edit = "storekeeper.edit",
        /// The end of a dead letter that nobody wants applied.
        #[serde(rename = "storekeeper.discard")]
        Discard = "storekeeper.discard",
    }
}
