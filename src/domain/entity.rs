//! The entities that events act on: records of orders, catalogue entries and receipts.

use super::{CatalogueEntry, CatalogueId, OrderId, Receipt, ReceiptId, Record};

/// The name of an entity within its site.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityName {
    /// A record of an order.
    Order(OrderId),
    /// A product or category.
    Catalogue(CatalogueId),
    /// A receipt.
    Receipt(ReceiptId),
}

/// An entity's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntityState {
    /// A record's state.
    Order(Box<Record>),
    /// A product's or category's state.
    Catalogue(CatalogueEntry),
    /// A receipt's state.
    Receipt(Receipt),
}

impl EntityState {
    /// Returns the state of a product or category, if it is one.
    pub const fn catalogue(&self) -> Option<&CatalogueEntry> {
        if let Self::Catalogue(entry) = self { Some(entry) } else { None }
    }

    /// Returns the state of a receipt, if it is one.
    pub const fn receipt(&self) -> Option<&Receipt> {
        if let Self::Receipt(receipt) = self { Some(receipt) } else { None }
    }
}
