//! Receipts: our own publishers' bodies, read as strictly as anybody else's.

use super::json::{self, Value, text};
use super::{Fault, Known, body_text};
use crate::domain::event::{Content, Event};
use crate::domain::{
    Code, Identifier, Quantity, ReceiptContent, ReceiptEvent, ReceiptId, Rejection, Site, StockKey,
};

/// The name under which receipts are counted and shown.
const EVENT_TYPE: &str = "storekeeper.receipt";

/// Decodes the body of a receipt:
/// `{"site", "key", "reference", "quantity"}`, or `"on_hand"` and `"difference"` for `"quantity"`.
pub fn decode_receipt(body: &[u8]) -> Result<Event, Box<Rejection>> {
    let mut known = Known {
        event_type: Some(Identifier::parse(EVENT_TYPE).expect("it is a short plain text")),
        ..Known::default()
    };
    decode(body, &mut known).map_err(|fault| Box::new(known.reject(fault)))
}

fn decode(body: &[u8], known: &mut Known) -> Result<Event, Fault> {
    let body = body_text(body).map_err(|fault| invalid(&fault.detail))?;
    let [site, key, reference, quantity, on_hand, difference] =
        json::fields(body, ["site", "key", "reference", "quantity", "on_hand", "difference"])
            .map_err(|error| invalid(&format!("no object at line {}", error.line())))?;
    let site = Site::parse(&read_text(site, "site")?)
        .map_err(|error| invalid(&format!("site: {error}")))?;
    known.site = Some(site.clone());
    let key = StockKey::parse(&read_text(key, "key")?)
        .map_err(|error| invalid(&format!("key: {error}")))?;
    let reference = Identifier::parse(&read_text(reference, "reference")?)
        .map_err(|error| invalid(&format!("reference: {error}")))?;
    let content = match (quantity, on_hand, difference) {
        (Some(quantity), None, None) => ReceiptContent::Goods {
            quantity: read_amount(&read_text(Some(quantity), "quantity")?, "quantity")?,
        },
        (None, Some(on_hand), Some(difference)) => {
            let difference = read_text(Some(difference), "difference")?;
            let difference = match difference.strip_prefix('-') {
                Some(amount) => -read_amount(amount, "difference")?,
                None => read_amount(&difference, "difference")?,
            };
            let on_hand = read_amount(&read_text(Some(on_hand), "on_hand")?, "on_hand")?;
            ReceiptContent::Count { on_hand, difference }
        }
        _ => return Err(invalid("expected either quantity, or on_hand and difference")),
    };
    let content = Content::Receipt(ReceiptEvent { receipt: ReceiptId { key, reference }, content });
    let event_type = known.event_type.clone().ok_or_else(|| invalid("no event type"))?;
    Ok(Event { site, event_type, content })
}

fn invalid(detail: &str) -> Fault {
    Fault::new(Code::ReceiptInvalid, detail)
}

fn read_text<'a>(value: Option<Value<'a>>, path: &str) -> Result<std::borrow::Cow<'a, str>, Fault> {
    value
        .and_then(text)
        .ok_or_else(|| Fault::expected(Code::ReceiptInvalid, path, "a string", value))
}

fn read_amount(text: &str, path: &str) -> Result<Quantity, Fault> {
    Quantity::parse(text).map_err(|error| invalid(&format!("{path}: {error}")))
}
