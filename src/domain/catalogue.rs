//! Catalogue entries: products and categories. They never change stock; they give it its names.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::identifier::{Identifier, kind_and_identifier};
use super::named::named;
use super::{LineNames, StockKey, Version};

named! {
    /// Which identity space an entry is in.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum CatalogueKind {
        /// A product of the native store.
        Product = "product",
        /// A category of the native store.
        Category = "category",
        /// A third-party store's product: `<storeId>/<entityId>`.
        StoreProduct = "store-product",
        /// A third-party store's category: `<storeId>/<entityId>`.
        StoreCategory = "store-category",
    }
}

/// The name of a catalogue entry within its site, written `kind:identifier`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CatalogueId {
    /// Which identity space it is in.
    pub kind: CatalogueKind,
    /// The name.
    pub identifier: Identifier,
}

kind_and_identifier!(CatalogueId, CatalogueKind, "a catalogue entry's id");

/// A product or category was created, updated or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueEvent {
    /// The entry.
    pub entry: CatalogueId,
    /// Its place among the entry's events.
    pub version: Version,
    /// The entry's description; `None` for a deletion.
    pub description: Option<Description>,
}

/// The parts of a product or category that are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// A product's `name` or a category's `title`, cut to the length of an identifier.
    pub name: Option<String>,
    /// `external_id`
    pub external_id: Option<Identifier>,
    /// `sku`
    pub sku: Option<Identifier>,
    /// Whether its stock is not counted: the shop does not manage it, or its type has no stock.
    pub is_untracked: bool,
    /// The names of its goods: those of the product itself, and those of each variation.
    pub goods: Vec<LineNames>,
}

impl Description {
    /// Returns the stock keys that this entry gives its name to, each once.
    pub fn stock_keys(&self) -> BTreeSet<StockKey> {
        self.goods.iter().flat_map(LineNames::keys).collect()
    }
}

/// The state of a catalogue entry: the latest description and the latest deletion, so that the name
/// is not lost if the deletion arrives first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogueEntry {
    /// The highest version of a creation or update.
    pub described: Option<Version>,
    /// The description in that event.
    pub description: Description,
    /// The highest version of a deletion.
    pub deleted: Option<Version>,
}

impl CatalogueEntry {
    /// Returns whether the deletion is the latest event; a later creation restores the entry.
    pub fn is_deleted(&self) -> bool {
        self.deleted > self.described
    }
}
