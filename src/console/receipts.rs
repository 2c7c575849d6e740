//! Changes of a stock item that no order causes: receipts of goods, adjustments, counts, and voids
//! of any of these.

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::items::{self, ItemPath, Purpose};
use super::refusals::{BodyRefusals, ItemRefusals, Refusals};
use super::request::{ChangeRequest, JsonBody};
use super::views::ReceiptView;
use crate::domain::{Identifier, Note, Quantity, QuantityError, ReceiptId};
use crate::http::problem::Problem;
use crate::requests::Progress;
use crate::requests::items::Create;
use crate::requests::receipts::{self, Amount, ReceiptRequest};

/// The source that the envelopes name.
pub(super) const SOURCE: &str = "console";

/// The answer to a change.
type Answered = (StatusCode, Json<ReceiptView>);

/// Goods that were received.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Goods)]
pub(super) struct GoodsBody {
    /// Units that were received: a decimal string, or a whole number.
    #[serde(deserialize_with = "quantity")]
    #[schema(value_type = String, example = "12.5")]
    quantity: Quantity,
    /// The name under which the goods are counted once for this item, such as the number of a
    /// delivery note.
    #[schema(value_type = String, max_length = 256, example = "PO-1234")]
    reference: Identifier,
    /// Why; kept with the receipt.
    #[schema(value_type = Option<String>, max_length = 256)]
    reason: Option<Identifier>,
    /// Whether an item or site that does not exist is created.
    #[serde(default)]
    create: bool,
}

/// An adjustment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Adjustment)]
pub(super) struct AdjustmentBody {
    /// Units to add, or to remove if it is below zero: a decimal string, or a whole
    /// number.
    #[serde(deserialize_with = "difference")]
    #[schema(value_type = String, example = "-2")]
    quantity: Quantity,
    /// The name under which the adjustment is counted once for this item.
    #[schema(value_type = String, max_length = 256, example = "DAMAGE-7")]
    reference: Identifier,
    /// Why; kept with the adjustment.
    #[schema(value_type = String, max_length = 256, example = "broken in the warehouse")]
    reason: Identifier,
    /// Whether an item or site that does not exist is created.
    #[serde(default)]
    create: bool,
}

/// What a count found.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Count)]
pub(super) struct CountBody {
    /// Units that are on the shelf: a decimal string, or a whole number.
    #[serde(deserialize_with = "counted")]
    #[schema(value_type = String, example = "40")]
    on_hand: Quantity,
    /// The name under which the count is counted once for this item.
    #[schema(value_type = String, max_length = 256, example = "stocktaking-2026")]
    reference: Identifier,
    /// Why; kept with the count.
    #[schema(value_type = Option<String>, max_length = 256)]
    reason: Option<Identifier>,
    /// Whether an item or site that does not exist is created.
    #[serde(default)]
    create: bool,
}

/// What is voided.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Void)]
pub(super) struct VoidBody {
    /// The reference of the item's receipt, adjustment or count that is voided for good.
    #[schema(value_type = String, max_length = 256, example = "PO-1234")]
    reference: Identifier,
    /// Why; kept with the void.
    #[schema(value_type = Option<String>, max_length = 256)]
    reason: Option<Identifier>,
}

/// Counts goods that were received
///
/// Once for each item and reference: a repeated request is safe, and returns the first message.
#[utoipa::path(
    post,
    path = "/v1/sites/{site}/stock/{key}/receipts",
    tag = "stock",
    params(ItemPath),
    request_body = GoodsBody,
    responses(
        (status = 200, description = "The goods are in the stock.", body = ReceiptView),
        (status = 202, description = "The receipt is durable, but was not applied within 5 s.", body = ReceiptView),
        ItemRefusals,
        BodyRefusals,
        Refusals,
    ),
)]
pub(super) async fn receive_goods(
    request: ChangeRequest<ItemPath>,
    JsonBody(body): JsonBody<GoodsBody>,
) -> Result<Answered, Problem> {
    let GoodsBody { quantity, reference, reason, create } = body;
    ask(request, Amount::Received(quantity), reference, reason, Create::asked(create)).await
}

/// Corrects what was received of an item, for a reason such as damage
///
/// Once for each item and reference: a repeated request is safe, and returns the first message.
#[utoipa::path(
    post,
    path = "/v1/sites/{site}/stock/{key}/adjustments",
    tag = "stock",
    params(ItemPath),
    request_body = AdjustmentBody,
    responses(
        (status = 200, description = "The adjustment is in the stock.", body = ReceiptView),
        (status = 202, description = "The adjustment is durable, but was not applied within 5 s.", body = ReceiptView),
        ItemRefusals,
        BodyRefusals,
        Refusals,
    ),
)]
pub(super) async fn adjust_stock(
    request: ChangeRequest<ItemPath>,
    JsonBody(body): JsonBody<AdjustmentBody>,
) -> Result<Answered, Problem> {
    let AdjustmentBody { quantity, reference, reason, create } = body;
    ask(request, Amount::Received(quantity), reference, Some(reason), Create::asked(create)).await
}

/// Sets what is on the shelf to what a count found
///
/// The difference from the known quantity is computed once, on the first request; `pending` is the
/// number of events that were not in the stock at that time.
#[utoipa::path(
    put,
    path = "/v1/sites/{site}/stock/{key}/count",
    tag = "stock",
    params(ItemPath),
    request_body = CountBody,
    responses(
        (status = 200, description = "The count is in the stock.", body = ReceiptView),
        (status = 202, description = "The count is durable, but was not applied within 5 s.", body = ReceiptView),
        ItemRefusals,
        BodyRefusals,
        Refusals,
    ),
)]
pub(super) async fn count_stock(
    request: ChangeRequest<ItemPath>,
    JsonBody(body): JsonBody<CountBody>,
) -> Result<Answered, Problem> {
    let CountBody { on_hand, reference, reason, create } = body;
    ask(request, Amount::OnHand(on_hand), reference, reason, Create::asked(create)).await
}

/// Voids a receipt, an adjustment or a count by its reference
///
/// For good, and also if the receipt itself arrives later. A repeated request is safe.
#[utoipa::path(
    post,
    path = "/v1/sites/{site}/stock/{key}/voids",
    tag = "stock",
    params(ItemPath),
    request_body = VoidBody,
    responses(
        (status = 200, description = "The reference counts for nothing.", body = ReceiptView),
        (status = 202, description = "The void is durable, but was not applied within 5 s.", body = ReceiptView),
        ItemRefusals,
        BodyRefusals,
        Refusals,
    ),
)]
pub(super) async fn void_receipt(
    request: ChangeRequest<ItemPath>,
    JsonBody(body): JsonBody<VoidBody>,
) -> Result<Answered, Problem> {
    ask(request, Amount::Void, body.reference, body.reason, Create::Never).await
}

async fn ask(
    ChangeRequest { backends, path, caller, timeout }: ChangeRequest<ItemPath>,
    amount: Amount,
    reference: Identifier,
    reason: Option<Identifier>,
    create: Create,
) -> Result<Answered, Problem> {
    let (site, key) = items::resolve(&backends, &path, Purpose::Change(create)).await?;
    let receipt = ReceiptId { key, reference };
    let note = Note { reason, actor: Some(caller.name.clone()) };
    let request = ReceiptRequest { site, receipt, amount, note };
    let (broker, store) = (&*backends.broker, &*backends.store);
    let mut answer = receipts::ask(broker, store, &request, SOURCE, timeout).await?;
    // The queues hold events of all sites.
    answer.pending = answer.pending.filter(|_| caller.sees_all());
    Ok((status_of(answer.progress), Json(ReceiptView::new(&request, &answer))))
}

/// The status of an answer to a change.
pub(super) const fn status_of(progress: Progress) -> StatusCode {
    match progress {
        Progress::Applied | Progress::Repeated => StatusCode::OK,
        Progress::Queued => StatusCode::ACCEPTED,
    }
}

/// Reads what a count found; may be zero.
fn counted<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Quantity, D::Error> {
    read(deserializer, Quantity::written)
}

/// Reads the text of a number, in quotes or not: a float would lose units. Clients are told to write
/// numbers without quotes only if they are whole, as theirs may be floats.
fn quantity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Quantity, D::Error> {
    read(deserializer, Quantity::written_some)
}

/// As [`quantity`], and it may be below zero.
fn difference<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Quantity, D::Error> {
    read(deserializer, Quantity::written_difference)
}

fn read<'de, D: Deserializer<'de>>(
    deserializer: D,
    parse: impl FnOnce(&str) -> Result<Quantity, QuantityError>,
) -> Result<Quantity, D::Error> {
    use serde::de::Error;
    let raw = <&RawValue>::deserialize(deserializer)?.get();
    let text = if raw.starts_with('"') {
        serde_json::from_str(raw).map_err(D::Error::custom)?
    } else {
        raw.to_owned()
    };
    parse(&text).map_err(|error| D::Error::custom(format!("the quantity {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_a_number_or_its_text_and_exact() {
        let read = |quantity: &str| {
            let body = format!(r#"{{"quantity": {quantity}, "reference": "R"}}"#);
            let read = serde_json::from_str::<GoodsBody>(&body);
            read.map(|body| body.quantity.to_string()).map_err(|error| error.to_string())
        };
        for (written, expected) in [
            ("1", "1"),
            (r#""1.250""#, "1.25"),
            ("0.1", "0.1"),
            ("999999999.999999", "999999999.999999"),
            ("7.0", "7"),
            (r#""\u0031""#, "1"),
        ] {
            assert_eq!(read(written).unwrap(), expected, "{written}");
        }
        for written in
            ["-1", "0", "1e2", "null", "true", "[1]", "{}", r#"" 1""#, "0.0000001", r#""\ud800""#]
        {
            assert!(read(written).is_err(), "{written}");
        }
    }

    #[test]
    fn an_adjustment_may_be_below_zero() {
        let read = |quantity: &str| {
            let body = format!(r#"{{"quantity": {quantity}, "reference": "R", "reason": "lost"}}"#);
            let read = serde_json::from_str::<AdjustmentBody>(&body);
            read.map(|body| body.quantity.to_string()).map_err(|error| error.to_string())
        };
        for (written, expected) in
            [("-1.5", "-1.5"), (r#""-2""#, "-2"), ("3", "3"), (r#""+1""#, "1")]
        {
            assert_eq!(read(written).unwrap(), expected, "{written}");
        }
        for written in [r#""--1""#, r#""-""#, "0", "-1e1", "-0.0000001"] {
            assert!(read(written).is_err(), "{written}");
        }
    }

    #[test]
    fn a_body_has_its_members_once_and_no_others() {
        let read = |body: &str| serde_json::from_str::<CountBody>(body).is_ok();
        assert!(read(r#"{"on_hand": 1, "reference": "R"}"#));
        assert!(read(r#"{"on_hand": "0", "reference": "R"}"#));
        for body in [
            r#"{"on_hand": 1}"#,
            r#"{"on_hand": 1, "reference": ""}"#,
            r#"{"on_hand": 1, "reference": "R", "quantity": 1}"#,
            r#"{"on_hand": 1, "on_hand": 1, "reference": "R"}"#,
        ] {
            assert!(!read(body), "{body}");
        }
    }
}
