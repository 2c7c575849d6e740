//! What events act on: orders, catalogue entries and receipts.

use super::event::Content;
use super::{CatalogueEntry, CatalogueId, OrderId, OrderState, Receipt, ReceiptId};

/// The name of an entity within its site.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityName {
    /// An order.
    Order(OrderId),
    /// A product or category.
    Catalogue(CatalogueId),
    /// A receipt.
    Receipt(ReceiptId),
}

/// An entity's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntityState {
    /// An order's.
    Order(Box<OrderState>),
    /// A product's or category's.
    Catalogue(CatalogueEntry),
    /// A receipt's.
    Receipt(Receipt),
}

impl Content {
    /// What the event acts on.
    pub fn entity(&self) -> EntityName {
        match self {
            Self::Order(event) => EntityName::Order(event.order.clone()),
            Self::Refund(event) => EntityName::Order(event.order.clone()),
            Self::Notice(event) => EntityName::Order(event.order.clone()),
            Self::Catalogue(event) => EntityName::Catalogue(event.entry.clone()),
            Self::Receipt(event) => EntityName::Receipt(event.receipt.clone()),
        }
    }
}
