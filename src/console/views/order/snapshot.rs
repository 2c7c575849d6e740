//! The latest snapshot of an order: its lines.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{Line, Policy, Record, StockKey, StockKeyKind};

/// The latest snapshot of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Snapshot)]
pub struct SnapshotView {
    /// When that event happened.
    #[schema(example = "2023-01-12T18:14:23.361Z")]
    pub event_timestamp: String,
    /// The order's lines.
    pub lines: Vec<LineView>,
}

impl SnapshotView {
    /// The latest snapshot of an order, if one is known.
    pub(super) fn new(record: &Record, policy: &Policy) -> Option<Self> {
        let latest = record.latest.as_ref()?;
        let lines = record.keyed_lines(&policy.key_precedence).into_iter();
        Some(Self {
            event_timestamp: latest.version.at().to_string(),
            lines: lines.map(|(line, key)| LineView::new(line, key.as_ref())).collect(),
        })
    }

    pub(super) fn unmapped_lines(&self) -> usize {
        self.lines.iter().filter(|line| line.key.is_none()).count()
    }
}

/// One line of an order; names that the order does not have are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Line)]
pub struct LineView {
    /// The stock item under the policy in force, remembered names included; null for an unmapped
    /// line.
    #[schema(required, example = "product:P1")]
    pub key: Option<String>,
    /// Units ordered.
    #[schema(example = "2")]
    pub quantity: String,
    /// The name of the goods.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "Blue mug")]
    pub name: Option<String>,
    /// The line's own id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub id: Option<String>,
    /// The product variation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub variation_id: Option<String>,
    /// The product.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub product_id: Option<String>,
    /// The product variation's name in another system.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub external_variation_id: Option<String>,
    /// The product's name in another system.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub external_product_id: Option<String>,
    /// The stock keeping unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sku: Option<String>,
}

impl LineView {
    fn new(line: &Line, key: Option<&StockKey>) -> Self {
        let named = |kind| line.names.get(kind).map(ToString::to_string);
        Self {
            key: key.map(ToString::to_string),
            quantity: line.quantity.to_string(),
            name: line.name.clone(),
            id: line.id.as_ref().map(ToString::to_string),
            variation_id: named(StockKeyKind::Variation),
            product_id: named(StockKeyKind::Product),
            external_variation_id: named(StockKeyKind::ExternalVariation),
            external_product_id: named(StockKeyKind::ExternalProduct),
            sku: named(StockKeyKind::Sku),
        }
    }
}
