//! The names of counted things, and the choice of one for an order's line.

use serde::{Deserialize, Serialize};

use super::identifier::{Identifier, kind_and_identifier};

/// Which of a line's names a stock key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StockKeyKind {
    /// `variation_id`
    Variation,
    /// `product_id`
    Product,
    /// `external_variation_id`
    ExternalVariation,
    /// `external_product_id`
    ExternalProduct,
    /// `sku`
    Sku,
    /// The line's own `id`.
    Line,
}

impl StockKeyKind {
    /// Every kind, in the default precedence.
    pub const ALL: [Self; 6] = [
        Self::Variation,
        Self::Product,
        Self::ExternalVariation,
        Self::ExternalProduct,
        Self::Sku,
        Self::Line,
    ];

    /// The kind's name in keys and settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Variation => "variation",
            Self::Product => "product",
            Self::ExternalVariation => "external-variation",
            Self::ExternalProduct => "external-product",
            Self::Sku => "sku",
            Self::Line => "line",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
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
