//! Receipts and corrections: our own publishers' bodies, read as strictly as anybody else's.

use std::borrow::Cow;

use super::json::{self, Value, text};
use super::{Fault, Known, body_text};
use crate::domain::{
    Action, Code, Content, CorrectionContent, CorrectionEvent, Event, Identifier, Note, Oddities,
    OrderId, Quantity, ReceiptContent, ReceiptEvent, ReceiptId, Rejection, Shown, Site, StockKey,
};

/// Decodes the body of a receipt: `{"site", "key", "reference", "reason", "actor"}` with
/// `"quantity"`, or with `"on_hand"` and `"difference"`, or with `"void": true`.
pub fn decode_receipt(body: &[u8]) -> Result<Event, Box<Rejection>> {
    decode(body, "storekeeper.receipt", Code::ReceiptInvalid, |ours, _| {
        let [key, quantity, on_hand, difference, void] =
            ours.fields(["key", "quantity", "on_hand", "difference", "void"])?;
        let reference = ours.identifier("reference")?;
        let key = ours.parsed("key", key, StockKey::parse)?;
        let void = void.is_some_and(|void| void.get() == "true");
        let content = match (quantity, on_hand, difference, void) {
            (Some(quantity), None, None, false) => {
                ReceiptContent::Goods { quantity: ours.amount("quantity", quantity)? }
            }
            (None, Some(on_hand), Some(difference), false) => ReceiptContent::Count {
                on_hand: ours.amount("on_hand", on_hand)?,
                difference: ours.amount("difference", difference)?,
            },
            (None, None, None, true) => ReceiptContent::Void,
            _ => {
                let expected = "expected quantity, or on_hand and difference, or void";
                return Err(ours.invalid(expected));
            }
        };
        let note = ours.note()?;
        Ok(Content::Receipt(ReceiptEvent { receipt: ReceiptId { key, reference }, content, note }))
    })
}

/// Decodes the body of a correction:
/// `{"site", "order", "action", "shown", "reference", "reason", "actor"}`.
pub fn decode_correction(body: &[u8]) -> Result<Event, Box<Rejection>> {
    decode(body, "storekeeper.correction", Code::CorrectionInvalid, |ours, known| {
        let [order, action, shown] = ours.fields(["order", "action", "shown"])?;
        let order = ours.parsed("order", order, OrderId::parse)?;
        known.order = Some(order.clone());
        let action = ours.text("action", action)?;
        let action = Action::parse(&action)
            .ok_or_else(|| ours.invalid("action: expected release, hold or ship"))?;
        let shown = ours.parsed("shown", shown, Shown::parse)?;
        let reference = ours.identifier("reference")?;
        let Note { reason, actor } = ours.note()?;
        let content = CorrectionContent { action, shown, reason, actor };
        Ok(Content::Correction(CorrectionEvent { order, reference, content }))
    })
}

fn decode(
    body: &[u8],
    event_type: &str,
    code: Code,
    read: impl Fn(&Ours<'_>, &mut Known) -> Result<Content, Fault>,
) -> Result<Event, Box<Rejection>> {
    let event_type = Identifier::parse(event_type).expect("it is a short plain text");
    let mut known = Known { event_type: Some(event_type.clone()), ..Known::default() };
    let mut event = || -> Result<Event, Fault> {
        let body = body_text(body).map_err(|fault| Fault::new(code, fault.detail))?;
        let ours = Ours { body, code };
        let [site] = ours.fields(["site"])?;
        let site = ours.parsed("site", site, Site::parse)?;
        known.site = Some(site.clone());
        let content = read(&ours, &mut known)?;
        Ok(Event { site, event_type: event_type.clone(), content, oddities: Oddities::default() })
    };
    event().map_err(|fault| Box::new(known.reject(fault)))
}

/// A body from one of our own publishers, and the code of any fault in it.
struct Ours<'a> {
    body: &'a str,
    code: Code,
}

impl<'a> Ours<'a> {
    fn invalid(&self, detail: &str) -> Fault {
        Fault::new(self.code, detail)
    }

    fn fields<const N: usize>(&self, names: [&str; N]) -> Result<[Option<Value<'a>>; N], Fault> {
        json::fields(self.body, names)
            .map_err(|error| self.invalid(&format!("no object at line {}", error.line())))
    }

    fn text(&self, path: &str, value: Option<Value<'a>>) -> Result<Cow<'a, str>, Fault> {
        let found = value.and_then(text);
        found.ok_or_else(|| Fault::expected(self.code, path, "a string", value))
    }

    fn parsed<T, E: std::fmt::Display>(
        &self,
        path: &str,
        value: Option<Value<'a>>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, Fault> {
        parse(&self.text(path, value)?).map_err(|error| self.invalid(&format!("{path}: {error}")))
    }

    fn identifier(&self, name: &str) -> Result<Identifier, Fault> {
        let [value] = self.fields([name])?;
        self.parsed(name, value, Identifier::parse)
    }

    /// Reads a quantity, which may be negative.
    fn amount(&self, path: &str, value: Value<'a>) -> Result<Quantity, Fault> {
        let text = self.text(path, Some(value))?;
        let (is_less, amount) = match text.strip_prefix('-') {
            Some(amount) => (true, amount),
            None => (false, &*text),
        };
        let amount =
            Quantity::exact(amount).map_err(|error| self.invalid(&format!("{path}: {error}")))?;
        Ok(if is_less { -amount } else { amount })
    }

    fn note(&self) -> Result<Note, Fault> {
        let [reason, actor] = self.fields(["reason", "actor"])?;
        let read = |path, value: Option<Value<'a>>| {
            let value = json::present(value);
            value.map(|value| self.parsed(path, Some(value), Identifier::parse)).transpose()
        };
        Ok(Note { reason: read("reason", reason)?, actor: read("actor", actor)? })
    }
}
