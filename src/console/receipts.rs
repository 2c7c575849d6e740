//! `POST /v1/sites/{site}/stock/{key}/receipts` and `PUT /v1/sites/{site}/stock/{key}/count`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::guard::Patience;
use super::openapi::{BodyRefusals, PROBLEM_JSON, Refusals};
use super::request::{JsonBody, NoParameters, Path, Query, invalid, parse_site, parse_stock_key};
use super::views::ReceiptView;
use super::{Backends, broker_problem, store_problem};
use crate::domain::{Identifier, Quantity, ReceiptId};
use crate::http::problem::{Body, Problem, ProblemCode};
use crate::receipts::{self, Amount, Progress, ReceiptError, ReceiptRequest};

/// The source that the envelopes name.
const SOURCE: &str = "console";

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
        ("key" = String, Path, description = "The stock item as `kind:identifier`, a slash as %2F.", example = "product:P1"),
    ),
    request_body = GoodsBody,
    responses(
        (status = 200, description = "The goods are in the stock.", body = ReceiptView),
        (status = 202, description = "They are durable, and not in the stock within 5 s.", body = ReceiptView),
        (status = 409, description = "The reference says something else already, or the receipt became a dead letter.", body = Body<'static>, content_type = PROBLEM_JSON),
        BodyRefusals,
        Refusals,
    ),
)]
pub(super) async fn receive(
    State(backends): State<Backends>,
    Path((site, key)): Path<(String, String)>,
    _: Query<NoParameters>,
    Extension(patience): Extension<Patience>,
    JsonBody(body): JsonBody<GoodsBody>,
) -> Result<Response, Problem> {
    let request = request(&site, &key, body.reference, Amount::Received(body.quantity))?;
    ask(&backends, &request, patience).await
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
        ("key" = String, Path, description = "The stock item as `kind:identifier`, a slash as %2F.", example = "product:P1"),
    ),
    request_body = CountBody,
    responses(
        (status = 200, description = "The count is in the stock.", body = ReceiptView),
        (status = 202, description = "It is durable, and not in the stock within 5 s.", body = ReceiptView),
        (status = 409, description = "The reference says something else already, or the receipt became a dead letter.", body = Body<'static>, content_type = PROBLEM_JSON),
        BodyRefusals,
        Refusals,
    ),
)]
pub(super) async fn count(
    State(backends): State<Backends>,
    Path((site, key)): Path<(String, String)>,
    _: Query<NoParameters>,
    Extension(patience): Extension<Patience>,
    JsonBody(body): JsonBody<CountBody>,
) -> Result<Response, Problem> {
    let request = request(&site, &key, body.reference, Amount::OnHand(body.on_hand))?;
    ask(&backends, &request, patience).await
}

fn request(
    site: &str,
    key: &str,
    reference: Identifier,
    amount: Amount,
) -> Result<ReceiptRequest, Problem> {
    let receipt = ReceiptId { key: parse_stock_key(key)?, reference };
    Ok(ReceiptRequest { site: parse_site(site)?, receipt, amount })
}

async fn ask(
    backends: &Backends,
    request: &ReceiptRequest,
    Patience(patience): Patience,
) -> Result<Response, Problem> {
    let asked = receipts::ask(&*backends.broker, &*backends.store, request, SOURCE, patience).await;
    let answer = asked.map_err(|error| problem(&error))?;
    let status = match answer.progress {
        Progress::Applied | Progress::Repeated => StatusCode::OK,
        Progress::Queued => StatusCode::ACCEPTED,
    };
    Ok((status, Json(ReceiptView::new(request, &answer))).into_response())
}

fn problem(error: &ReceiptError) -> Problem {
    match error {
        ReceiptError::ReferenceReused(_) => {
            Problem::new(ProblemCode::ReceiptReferenceReused, error.to_string())
        }
        ReceiptError::DifferenceTooLarge => invalid(format!("on_hand: {error}")),
        ReceiptError::DeadLetter { .. } => {
            Problem::new(ProblemCode::ReceiptDeadLetter, error.to_string())
        }
        ReceiptError::Unconfirmed => {
            Problem::new(ProblemCode::BrokerUnavailable, error.to_string())
        }
        ReceiptError::Broker(error) => broker_problem(error),
        ReceiptError::Store(error) => store_problem(error),
    }
}

/// Reads the text of a number, in quotes or not: a float would lose units.
fn quantity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Quantity, D::Error> {
    use serde::de::Error;
    let raw = <&RawValue>::deserialize(deserializer)?.get();
    let text = if raw.starts_with('"') {
        serde_json::from_str(raw).map_err(D::Error::custom)?
    } else {
        raw.to_owned()
    };
    Quantity::parse(&text).map_err(|error| D::Error::custom(format!("the quantity {error}")))
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
