//! Third-party stores: notices that name an order without saying what is in it.

use serde::{Deserialize, Serialize};

use super::{Identifier, OrderId, Version};

/// A third-party store's word that an order changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeEvent {
    /// The order, by its canonical key.
    pub order: OrderId,
    /// Every name that the notice gives the order.
    pub aliases: Vec<OrderId>,
    /// Its place among the order's notices.
    pub version: Version,
    /// What the notice says of the order.
    pub status: NoticeStatus,
}

/// The two statuses that a notice carries, as the store writes them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeStatus {
    /// `newPaymentStatus`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<Identifier>,
    /// `newFulfillmentStatus`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fulfillment: Option<Identifier>,
}
