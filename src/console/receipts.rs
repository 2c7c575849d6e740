//! What changes a stock item without an order: goods that came in, adjustments, counts, and voids
//! of any of these.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::access::Actor;
use super::guard::Patience;
use super::items::{self, Purpose};
use super::refusals::{BodyRefusals, PROBLEM_JSON, Refusals};
use super::request::{JsonBody, NoParameters, Path, Query, invalid};
use super::views::ReceiptView;
use super::{Backends, ask_problem};
use crate::domain::{Identifier, Note, Quantity, QuantityError, ReceiptId};
use crate::http::problem::{Body, Problem, ProblemCode};
use crate::requests::items::Create;
use crate::requests::receipts::{self, Amount, ReceiptError, ReceiptRequest};
use crate::requests::{AskError, Progress};

/// The source that the envelopes name.
pub(super) const SOURCE: &str = "console";

/// What is answered of what was asked for.
type Answered = (StatusCode, Json<ReceiptView>);

/// Goods that came in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Goods)]
pub(super) struct GoodsBody {
    /// Units that came in: a decimal string, or a number.
    #[serde(deserialize_with = "quantity")]
    #[schema(value_type = String, example = "12.5")]
    quantity: Quantity,
    /// The name under which the goods are counted once for this item, as of a delivery note.
    #[schema(value_type = String, max_length = 256, example = "PO-1234")]
    reference: Identifier,
    /// Why; kept with the receipt.
    #[schema(value_type = Option<String>, max_length = 256)]
    reason: Option<Identifier>,
    /// Whether an item or site that does not exist is made.
    #[serde(default)]
    create: bool,
}

/// An adjustment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Adjustment)]
pub(super) struct AdjustmentBody {
    /// Units that are there more than was known, or fewer, if it is below zero: a decimal string,
    /// or a number.
    #[serde(deserialize_with = "difference")]
    #[schema(value_type = String, example = "-2")]
    quantity: Quantity,
    /// The name under which the adjustment is counted once for this item.
    #[schema(value_type = String, max_length = 256, example = "DAMAGE-7")]
    reference: Identifier,
    /// Why; kept with the adjustment.
    #[schema(value_type = String, max_length = 256, example = "broken in the warehouse")]
    reason: Identifier,
    /// Whether an item or site that does not exist is made.
    #[serde(default)]
    create: bool,
}

/// What a count found.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Count)]
pub(super) struct CountBody {
    /// Units that are on the shelf: a decimal string, or a number.
    #[serde(deserialize_with = "quantity")]
    #[schema(value_type = String, example = "40")]
    on_hand: Quantity,
    /// The name under which the count is counted once for this item.
    #[schema(value_type = String, max_length = 256, example = "stocktaking-2026")]
    reference: Identifier,
    /// Why; kept with the count.
    #[schema(value_type = Option<String>, max_length = 256)]
    reason: Option<Identifier>,
    /// Whether an item or site that does not exist is made.
    #[serde(default)]
    create: bool,
}

/// What is taken back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Void)]
pub(super) struct VoidBody {
    /// The reference of this item whose receipt, adjustment or count is taken back for good.
    #[schema(value_type = String, max_length = 256, example = "PO-1234")]
    reference: Identifier,
    /// Why; kept with the void.
    #[schema(value_type = Option<String>, max_length = 256)]
    reason: Option<Identifier>,
}

/// Counts goods that came in
///
/// Once for each item and reference: to ask again is safe, and answers with the first message.
#[utoipa::path(
    post,
    path = "/v1/sites/{site}/stock/{key}/receipts",
    operation_id = "receive_goods",
    tag = "stock",
    params(
        ("site" = String, Path, description = "The shop."),
        ("key" = String, Path, description = "Any name of the stock item, bare or as `kind:identifier`, a slash as %2F.", example = "product:P1"),
    ),
    request_body = GoodsBody,
    responses(
        (status = 200, description = "The goods are in the stock.", body = ReceiptView),
        (status = 202, description = "They are durable, and not in the stock within 5 s.", body = ReceiptView),
        (status = 404, description = "No item goes by the name, which says no kind.", body = Body<'static>, content_type = PROBLEM_JSON),
        (status = 409, description = "The reference says something else already; several items go by the name, as `candidates` lists; the item or shop does not exist and `create` is not set; or it became a dead letter.", body = Body<'static>, content_type = PROBLEM_JSON),
        BodyRefusals,
        Refusals,
    ),
)]
pub(super) async fn receive(
    State(backends): State<Backends>,
    Path((site, key)): Path<(String, String)>,
    _: Query<NoParameters>,
    Extension(patience): Extension<Patience>,
    Extension(actor): Extension<Actor>,
    JsonBody(body): JsonBody<GoodsBody>,
) -> Result<Answered, Problem> {
    let said = Said {
        amount: Amount::Received(body.quantity),
        reference: body.reference,
        note: Note { reason: body.reason, actor: Some(actor.name()) },
        create: create(body.create),
    };
    said.ask(&backends, (&site, &key), patience).await
}

/// Corrects what was received of an item, for a reason such as damage
///
/// Once for each item and reference: to ask again is safe, and answers with the first message.
#[utoipa::path(
    post,
    path = "/v1/sites/{site}/stock/{key}/adjustments",
    operation_id = "adjust_stock",
    tag = "stock",
    params(
        ("site" = String, Path, description = "The shop."),
        ("key" = String, Path, description = "Any name of the stock item, bare or as `kind:identifier`, a slash as %2F.", example = "product:P1"),
    ),
    request_body = AdjustmentBody,
    responses(
        (status = 200, description = "The adjustment is in the stock.", body = ReceiptView),
        (status = 202, description = "It is durable, and not in the stock within 5 s.", body = ReceiptView),
        (status = 404, description = "No item goes by the name, which says no kind.", body = Body<'static>, content_type = PROBLEM_JSON),
        (status = 409, description = "The reference says something else already; several items go by the name, as `candidates` lists; the item or shop does not exist and `create` is not set; or it became a dead letter.", body = Body<'static>, content_type = PROBLEM_JSON),
        BodyRefusals,
        Refusals,
    ),
)]
pub(super) async fn adjust(
    State(backends): State<Backends>,
    Path((site, key)): Path<(String, String)>,
    _: Query<NoParameters>,
    Extension(patience): Extension<Patience>,
    Extension(actor): Extension<Actor>,
    JsonBody(body): JsonBody<AdjustmentBody>,
) -> Result<Answered, Problem> {
    let said = Said {
        amount: Amount::Received(body.quantity),
        reference: body.reference,
        note: Note { reason: Some(body.reason), actor: Some(actor.name()) },
        create: create(body.create),
    };
    said.ask(&backends, (&site, &key), patience).await
}

/// Sets what is on the shelf to what a count found
///
/// The difference to what is known is computed once, when the count is first asked for; `pending`
/// says how many events were not in the stock then.
#[utoipa::path(
    put,
    path = "/v1/sites/{site}/stock/{key}/count",
    operation_id = "count_stock",
    tag = "stock",
    params(
        ("site" = String, Path, description = "The shop."),
        ("key" = String, Path, description = "Any name of the stock item, bare or as `kind:identifier`, a slash as %2F.", example = "product:P1"),
    ),
    request_body = CountBody,
    responses(
        (status = 200, description = "The count is in the stock.", body = ReceiptView),
        (status = 202, description = "It is durable, and not in the stock within 5 s.", body = ReceiptView),
        (status = 404, description = "No item goes by the name, which says no kind.", body = Body<'static>, content_type = PROBLEM_JSON),
        (status = 409, description = "The reference says something else already; several items go by the name, as `candidates` lists; the item or shop does not exist and `create` is not set; or it became a dead letter.", body = Body<'static>, content_type = PROBLEM_JSON),
        BodyRefusals,
        Refusals,
    ),
)]
pub(super) async fn count(
    State(backends): State<Backends>,
    Path((site, key)): Path<(String, String)>,
    _: Query<NoParameters>,
    Extension(patience): Extension<Patience>,
    Extension(actor): Extension<Actor>,
    JsonBody(body): JsonBody<CountBody>,
) -> Result<Answered, Problem> {
    let said = Said {
        amount: Amount::OnHand(body.on_hand),
        reference: body.reference,
        note: Note { reason: body.reason, actor: Some(actor.name()) },
        create: create(body.create),
    };
    said.ask(&backends, (&site, &key), patience).await
}

/// Takes back what stands under a reference
///
/// For good, and also if its receipt only comes later. To ask again is safe.
#[utoipa::path(
    post,
    path = "/v1/sites/{site}/stock/{key}/voids",
    operation_id = "void_receipt",
    tag = "stock",
    params(
        ("site" = String, Path, description = "The shop."),
        ("key" = String, Path, description = "Any name of the stock item, bare or as `kind:identifier`, a slash as %2F.", example = "product:P1"),
    ),
    request_body = VoidBody,
    responses(
        (status = 200, description = "The reference counts for nothing.", body = ReceiptView),
        (status = 202, description = "It is durable, and not in effect within 5 s.", body = ReceiptView),
        (status = 404, description = "There is no such shop, or no item goes by the name.", body = Body<'static>, content_type = PROBLEM_JSON),
        (status = 409, description = "The reference says something else already; several items go by the name, as `candidates` lists; or it became a dead letter.", body = Body<'static>, content_type = PROBLEM_JSON),
        BodyRefusals,
        Refusals,
    ),
)]
pub(super) async fn void(
    State(backends): State<Backends>,
    Path((site, key)): Path<(String, String)>,
    _: Query<NoParameters>,
    Extension(patience): Extension<Patience>,
    Extension(actor): Extension<Actor>,
    JsonBody(body): JsonBody<VoidBody>,
) -> Result<Answered, Problem> {
    let said = Said {
        amount: Amount::Void,
        reference: body.reference,
        note: Note { reason: body.reason, actor: Some(actor.name()) },
        create: Create::Never,
    };
    said.ask(&backends, (&site, &key), patience).await
}

const fn create(is_wanted: bool) -> Create {
    if is_wanted { Create::Yes } else { Create::No }
}

/// What a body says of an item.
struct Said {
    amount: Amount,
    reference: Identifier,
    note: Note,
    create: Create,
}

impl Said {
    async fn ask(
        self,
        backends: &Backends,
        path: (&str, &str),
        Patience(patience): Patience,
    ) -> Result<Answered, Problem> {
        let (site, key) = items::resolve(backends, path, Purpose::Change(self.create)).await?;
        let receipt = ReceiptId { key, reference: self.reference };
        let request = ReceiptRequest { site, receipt, amount: self.amount, note: self.note };
        let (broker, store) = (&*backends.broker, &*backends.store);
        let answer = receipts::ask(broker, store, &request, SOURCE, patience).await;
        let answer = answer.map_err(|error| problem(&error))?;
        let status = match answer.progress {
            Progress::Applied | Progress::Repeated => StatusCode::OK,
            Progress::Queued => StatusCode::ACCEPTED,
        };
        Ok((status, Json(ReceiptView::new(&request, &answer))))
    }
}

fn problem(error: &ReceiptError) -> Problem {
    let code = match error {
        ReceiptError::ReferenceReused(_) | ReceiptError::Voided(_) => {
            ProblemCode::ReceiptReferenceReused
        }
        ReceiptError::NotTracked(_) => return invalid(error.to_string()),
        ReceiptError::DifferenceTooLarge => return invalid(format!("on_hand: {error}")),
        ReceiptError::Ask(AskError::DeadLetter { .. }) => ProblemCode::ReceiptDeadLetter,
        ReceiptError::Ask(error) => return ask_problem(error),
    };
    Problem::new(code, error.to_string())
}

/// Reads the text of a number, in quotes or not: a float would lose units.
fn quantity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Quantity, D::Error> {
    read(deserializer, Quantity::exact)
}

/// As [`quantity`], and it may be below zero.
fn difference<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Quantity, D::Error> {
    read(deserializer, |text| match text.strip_prefix('-') {
        Some(less) => Quantity::exact(less).map(|quantity| -quantity),
        None => Quantity::exact(text),
    })
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
            ("1e2", "100"),
            (r#""\u0031""#, "1"),
        ] {
            assert_eq!(read(written).unwrap(), expected, "{written}");
        }
        for written in
            ["-1", "null", "true", "[1]", "{}", r#"" 1""#, "0.0000001", "1e10", r#""\ud800""#]
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
        for (written, expected) in [("-1.5", "-1.5"), (r#""-2""#, "-2"), ("3", "3")] {
            assert_eq!(read(written).unwrap(), expected, "{written}");
        }
        for written in [r#""--1""#, r#""-""#, r#""+1""#, "-1e10", "-0.0000001"] {
            assert!(read(written).is_err(), "{written}");
        }
    }

    #[test]
    fn a_body_has_its_members_once_and_no_others() {
        let read = |body: &str| serde_json::from_str::<CountBody>(body).is_ok();
        assert!(read(r#"{"on_hand": 1, "reference": "R"}"#));
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
