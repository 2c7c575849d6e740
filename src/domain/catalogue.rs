//! Catalogue entries: products and categories, which never touch stock and give it its names.

use serde::{Deserialize, Serialize};

use super::identifier::{Identifier, kind_and_identifier};
use super::{StockKey, Version};

/// Which identity space an entry is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CatalogueKind {
    /// A product of the native store.
    Product,
    /// A category of the native store.
    Category,
    /// A third-party store's product: `<storeId>/<entityId>`.
    StoreProduct,
    /// A third-party store's category: `<storeId>/<entityId>`.
    StoreCategory,
}

impl CatalogueKind {
    /// Every kind.
    pub const ALL: [Self; 4] =
        [Self::Product, Self::Category, Self::StoreProduct, Self::StoreCategory];

    /// The kind's name in keys and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::Category => "category",
            Self::StoreProduct => "store-product",
            Self::StoreCategory => "store-category",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `external_id`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<Identifier>,
    /// `sku`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<Identifier>,
    /// The stock keys that this entry gives its name to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stock_keys: Vec<StockKey>,
}

/// The state of a catalogue entry: the latest of each, so that a deletion that comes first does
/// not cost the name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogueEntry {
    /// The highest version of a creation or update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub described: Option<Version>,
    /// What that event said.
    #[serde(default)]
    pub description: Description,
    /// The highest version of a deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<Version>,
}

impl CatalogueEntry {
    /// Whether the deletion is the last word; a later creation brings the entry back.
    pub fn is_deleted(&self) -> bool {
        self.deleted > self.described
    }
}
