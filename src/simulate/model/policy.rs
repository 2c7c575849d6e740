//! The five policy settings as the model reads them.
//!
//! They are types of their own, so that the model shares nothing with the rules that it checks.
//! Their serde forms are those of the settings, so one converts into the other through JSON.

use serde::Deserialize;

/// The policy under which stock is computed.
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
    /// All kinds, in the default precedence.
    pub const ALL: [Self; 6] = [
        Self::Variation,
        Self::Product,
        Self::ExternalVariation,
        Self::ExternalProduct,
        Self::Sku,
        Self::Line,
    ];

    /// Returns the word before the colon of a stock key.
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

    /// Returns the field of a line that contains the name.
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

/// What orders with mode TEST hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TestOrders {
    /// Nothing.
    Ignore,
    /// The same as other orders.
    Count,
}

/// What cancelled orders hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CancelledOrders {
    /// Nothing.
    Release,
    /// The same as other orders.
    Keep,
    /// The same as other orders if the goods have left, otherwise nothing.
    ReleaseUnlessShipped,
}

/// What deleted orders hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeletedOrders {
    /// Nothing.
    Release,
    /// The same as other orders if the goods have left, otherwise nothing.
    ReleaseUnlessShipped,
}

/// Which refunded goods return to stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestockedRefunds {
    /// Those refunded before the goods left; later refunds are only about money.
    Unshipped,
    /// Never.
    Never,
    /// All goods of the order, once every line is refunded.
    Full,
    /// Each refunded line.
    Lines,
}
