//! The names of orders.

use serde::{Deserialize, Serialize};

use super::identifier::{Identifier, kind_and_identifier};

/// Which field named the order: id "X" is not invoice "X".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderIdKind {
    /// `data.id`
    Id,
    /// `data.external_id`
    ExternalId,
    /// `data.invoice_number`
    InvoiceNumber,
    /// A third-party store's order by its entity id: `<storeId>/<entityId>`.
    StoreOrder,
    /// A third-party store's order of which only the order id is known: `<storeId>/<orderId>`.
    StoreOrderId,
}

impl OrderIdKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Id, Self::ExternalId, Self::InvoiceNumber, Self::StoreOrder, Self::StoreOrderId];

    /// The kind's name in keys, paths and commands.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::ExternalId => "external-id",
            Self::InvoiceNumber => "invoice-number",
            Self::StoreOrder => "store-order",
            Self::StoreOrderId => "store-order-id",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether it is the order's id: two ids are never one order.
    pub const fn is_id(self) -> bool {
        matches!(self, Self::Id | Self::StoreOrder)
    }

    /// Whether it may lead to an id.
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
