//! Catalogue entries, which give stock items their names.

use serde::Serialize;
use utoipa::ToSchema;

use crate::store::Catalogue;

/// A product or category.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CatalogueEntry)]
pub struct CatalogueEntryView {
    /// Its name within the shop.
    #[schema(example = "product:P1")]
    pub entry: String,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// Its name in another system.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub external_id: Option<String>,
    /// The stock keeping unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sku: Option<String>,
    /// The stock items that have its name.
    #[schema(example = json!(["product:P1", "variation:V1"]))]
    pub stock_keys: Vec<String>,
    /// Whether it is deleted.
    pub deleted: bool,
    /// The time of its latest event; null if none is known.
    #[schema(required, example = "2023-01-12T18:14:23.361Z")]
    pub changed_at: Option<String>,
}

impl From<&Catalogue> for CatalogueEntryView {
    fn from(catalogue: &Catalogue) -> Self {
        let entry = &catalogue.entry;
        let description = &entry.description;
        Self {
            entry: catalogue.id.to_string(),
            name: description.name.clone(),
            external_id: description.external_id.as_ref().map(ToString::to_string),
            sku: description.sku.as_ref().map(ToString::to_string),
            stock_keys: description.stock_keys().iter().map(ToString::to_string).collect(),
            deleted: entry.is_deleted(),
            changed_at: entry.described.max(entry.deleted).map(|version| version.at().to_string()),
        }
    }
}
