//! The names of orders.

use serde::{Deserialize, Serialize};

use super::identifier::{Identifier, kind_and_identifier};
use super::named::named;

named! {
    /// Which field named the order: id "X" is not invoice "X".
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum OrderIdKind {
        /// `data.id`
        Id = "id",
        /// `data.external_id`
        ExternalId = "external-id",
        /// `data.invoice_number`
        InvoiceNumber = "invoice-number",
        /// A third-party store's order by its entity id: `<storeId>/<entityId>`.
        StoreOrder = "store-order",
        /// A third-party store's order, known only by its order id: `<storeId>/<orderId>`.
        StoreOrderId = "store-order-id",
    }
}

impl OrderIdKind {
    /// Returns whether it is the order's id: two ids never belong to one order.
    pub const fn is_id(self) -> bool {
        matches!(self, Self::Id | Self::StoreOrder)
    }

    /// Returns whether it may lead to an id.
    pub const fn is_second_name(self) -> bool {
        matches!(self, Self::ExternalId | Self::StoreOrderId)
    }
}

/// The name of an order within its site, written `kind:identifier`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OrderId {
    /// Which field named it.
    pub kind: OrderIdKind,
    /// The name.
    pub identifier: Identifier,
}

kind_and_identifier!(OrderId, OrderIdKind, "an order id");
