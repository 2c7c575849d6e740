//! The five settings as the model reads them.
//!
//! They are its own types, so that it shares nothing with the rules it checks. Their serde forms
//! are those of the settings, so one converts into the other by way of JSON.

use serde::Deserialize;

/// Under which policy stock is computed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ModelPolicy {
    /// `stock.key_precedence`
    pub key_precedence: Vec<KeyKind>,
    /// `orders.test_mode`
    pub test_mode: TestOrders,
    /// `orders.cancelled`
    pub cancelled: CancelledOrders,
    /// `orders.deleted`
    pub deleted: DeletedOrders,
    /// `refunds.restock`
    pub restock: RestockedRefunds,
}

impl Default for ModelPolicy {
    fn default() -> Self {
        Self {
            key_precedence: KeyKind::ALL.to_vec(),
            test_mode: TestOrders::Ignore,
            cancelled: CancelledOrders::ReleaseUnlessShipped,
            deleted: DeletedOrders::ReleaseUnlessShipped,
            restock: RestockedRefunds::Unshipped,
        }
    }
}

/// The names that a line can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
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

impl KeyKind {
    /// Every kind, in the default precedence.
    pub const ALL: [Self; 6] = [
        Self::Variation,
        Self::Product,
        Self::ExternalVariation,
        Self::ExternalProduct,
        Self::Sku,
        Self::Line,
    ];

    /// The word before the colon of a stock key.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Variation => "variation",
            Self::Product => "product",
            Self::ExternalVariation => "external-variation",
            Self::ExternalProduct => "external-product",
            Self::Sku => "sku",
            Self::Line => "line",
        }
    }

    /// The field of a line that holds the name.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Variation => "variation_id",
            Self::Product => "product_id",
            Self::ExternalVariation => "external_variation_id",
            Self::ExternalProduct => "external_product_id",
            Self::Sku => "sku",
            Self::Line => "id",
        }
    }
}

/// What orders of mode TEST hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TestOrders {
    /// Nothing.
    Ignore,
    /// The same as others.
    Count,
}

/// What cancelled orders hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CancelledOrders {
    /// Nothing.
    Release,
    /// The same as others.
    Keep,
    /// The same as others if the goods have left, else nothing.
    ReleaseUnlessShipped,
}

/// What deleted orders hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeletedOrders {
    /// Nothing.
    Release,
    /// The same as others if the goods have left, else nothing.
    ReleaseUnlessShipped,
}

/// Whether refunded goods come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestockedRefunds {
    /// Those that are refunded before the goods left; later refunds are about money.
    Unshipped,
    /// Never.
    Never,
    /// All of the order's, once every line is refunded.
    Full,
    /// Those that are refunded.
    Lines,
}
