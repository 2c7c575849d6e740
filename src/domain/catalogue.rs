//! Catalogue entries: products and categories, which never touch stock and give it its names.

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
    /// What the entry says; `None` for a deletion.
    pub description: Option<Description>,
}

/// What is kept of a product or category.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// A product's `name`, a category's `title`; cut to the length of an identifier.
    pub name: Option<String>,
    /// `external_id`
    pub external_id: Option<Identifier>,
    /// `sku`
    pub sku: Option<Identifier>,
    /// Whether nobody counts its stock: the shop does not manage it, or it is of a type that has
    /// none.
    pub is_untracked: bool,
    /// What goods of this entry may be called: those of the product itself, and of each variation.
    pub goods: Vec<LineNames>,
}

impl Description {
    /// The stock keys that this entry gives its name to, each once.
    pub fn stock_keys(&self) -> BTreeSet<StockKey> {
        self.goods.iter().flat_map(LineNames::keys).collect()
    }
}

/// The state of a catalogue entry: the latest of each, so that a deletion that comes first does
/// not cost the name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogueEntry {
    /// The highest version of a creation or update.
    pub described: Option<Version>,
    /// What that event said.
    pub description: Description,
    /// The highest version of a deletion.
    pub deleted: Option<Version>,
}

impl CatalogueEntry {
    /// Whether the deletion is the last word; a later creation brings the entry back.
    pub fn is_deleted(&self) -> bool {
        self.deleted > self.described
    }
}
