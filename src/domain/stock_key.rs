//! Stock keys: the names of counted things, each being one of the names of an order's line.

use serde::{Deserialize, Serialize};

use super::identifier::{Identifier, kind_and_identifier};
use super::named::named;

named! {
    /// Which of a line's names a stock key is.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum StockKeyKind {
        /// `variation_id`
        Variation = "variation",
        /// `product_id`
        Product = "product",
        /// `external_variation_id`
        ExternalVariation = "external-variation",
        /// `external_product_id`
        ExternalProduct = "external-product",
        /// `sku`
        Sku = "sku",
        /// The line's own `id`.
        Line = "line",
    }
}

/// The name of a stock item within its site, written `kind:identifier`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StockKey {
    /// Which of a line's names it is.
    pub kind: StockKeyKind,
    /// The name.
    pub identifier: Identifier,
}

kind_and_identifier!(StockKey, StockKeyKind, "a stock key");
