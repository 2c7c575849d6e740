//! From a body to an [`Event`], or to the reason why it can never be one.
//!
//! Bytes and the time of receipt come in; nothing of the body is trusted, and nothing that no
//! rule reads is kept. The time is the envelope's, never the clock's: a replay must decide as the
//! first run did. A body is refused only for a field that a rule reads.

mod catalogue;
mod json;
mod notice;
mod order;
mod receipt;
mod refund;

#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::value::RawValue;

use super::event::{Content, Event};
use super::{Code, Identifier, IdentifierError, OrderId, Rank, Rejection, Site, Timestamp};
use json::{Value, present, text, type_name};

pub use receipt::decode_receipt;

/// 2010-01-01 in milliseconds: nothing that is older can be an event of an online shop.
const EVENT_TIMESTAMP_MIN: i64 = 1_262_304_000_000;
/// How far behind its receipt an event may claim to have happened, in milliseconds: 24 hours.
const EVENT_TIMESTAMP_AHEAD_MAX: i64 = 86_400_000;
/// The most lines of one order, and of one refund.
const LINES_MAX: usize = 1000;

/// What a webhook's body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// An event that acts on something.
    Event(Box<Event>),
    /// An event of a name that no rule knows; that is no error.
    Unknown {
        /// The name.
        event_type: Identifier,
    },
}

/// Decodes the body of a webhook.
pub fn decode_webhook(body: &[u8], received_at: Timestamp) -> Result<Decoded, Box<Rejection>> {
    let mut known = Known::default();
    decode(body, received_at, &mut known).map_err(|fault| Box::new(known.reject(fault)))
}

/// What has been understood of a body so far; a rejection says it.
#[derive(Debug, Default)]
struct Known {
    site: Option<Site>,
    event_type: Option<Identifier>,
    order: Option<OrderId>,
}

impl Known {
    fn reject(self, fault: Fault) -> Rejection {
        Rejection {
            code: fault.code,
            detail: fault.detail,
            site: self.site,
            event_type: self.event_type,
            order: self.order,
        }
    }
}

/// What is wrong with a body.
#[derive(Debug)]
struct Fault {
    code: Code,
    detail: String,
}

impl Fault {
    fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// A value of another type than is expected.
    fn expected(
        code: Code,
        path: impl fmt::Display,
        expected: &str,
        found: Option<Value<'_>>,
    ) -> Self {
        Self::new(code, format!("{path}: expected {expected}, found {}", type_name(found)))
    }
}

fn decode(body: &[u8], received_at: Timestamp, known: &mut Known) -> Result<Decoded, Fault> {
    let body = body_text(body)?;
    let [event_type, resource_data, timestamp, data] =
        object(body, ["event_type", "resource_data", "event_timestamp", "data"])?;
    let event_type = read_event_type(event_type)?;
    known.event_type = Some(event_type.clone());
    let Some(kind) = EventKind::parse(event_type.as_str()) else {
        return Ok(Decoded::Unknown { event_type });
    };
    let site = read_site(resource_data)?;
    known.site = Some(site.clone());
    let event_timestamp = read_timestamp(timestamp, received_at)?;
    let data = data
        .filter(|data| data.get().starts_with('{'))
        .ok_or_else(|| Fault::expected(Code::MissingData, "data", "an object", data))?;
    let content = match kind {
        EventKind::Order(rank) => {
            Content::Order(order::read(data, rank, event_timestamp, &mut known.order)?)
        }
        EventKind::Refund => {
            Content::Refund(refund::read_event(data, event_timestamp, &mut known.order)?)
        }
        EventKind::Catalogue(kind, rank) => {
            Content::Catalogue(catalogue::read(data, kind, rank, event_timestamp)?)
        }
        EventKind::StoreOrder(rank) => {
            let notice = notice::read_order(data, &site, rank, event_timestamp)?;
            known.order = Some(notice.order.clone());
            Content::Notice(notice)
        }
        EventKind::StoreCatalogue(kind, rank) => {
            Content::Catalogue(notice::read_entry(data, &site, kind, rank, event_timestamp)?)
        }
    };
    Ok(Decoded::Event(Box::new(Event { site, event_type, content })))
}

/// The families of events, by the names in Duda's documentation.
enum EventKind {
    Order(Rank),
    Refund,
    Catalogue(super::CatalogueKind, Rank),
    StoreOrder(Rank),
    StoreCatalogue(super::CatalogueKind, Rank),
}

impl EventKind {
    fn parse(name: &str) -> Option<Self> {
        use super::CatalogueKind::{Category, Product, StoreCategory, StoreProduct};
        let (subject, happened) = name.rsplit_once('_')?;
        // The guide calls an update "STATUS_UPDATED" and changes the quantity in it.
        let (subject, happened) = match (subject, happened) {
            ("ECOMM_ORDER_STATUS", "UPDATED") => ("ECOMM_ORDER", "UPDATED"),
            other => other,
        };
        let rank = match happened {
            "CREATED" => Rank::Created,
            "UPDATED" => Rank::Updated,
            "DELETED" => Rank::Deleted,
            _ => return None,
        };
        match subject {
            "ECOMM_ORDER" => Some(Self::Order(rank)),
            "ECOMM_REFUND" if rank == Rank::Created => Some(Self::Refund),
            "ECOMM_PRODUCT" | "PRODUCT" => Some(Self::Catalogue(Product, rank)),
            "ECOMM_CATEGORY" | "CATEGORY" => Some(Self::Catalogue(Category, rank)),
            "STORE_ORDER" => Some(Self::StoreOrder(rank)),
            "STORE_PRODUCT" => Some(Self::StoreCatalogue(StoreProduct, rank)),
            "STORE_CATEGORY" => Some(Self::StoreCatalogue(StoreCategory, rank)),
            _ => None,
        }
    }
}

/// The body as text, without a byte order mark.
fn body_text(body: &[u8]) -> Result<&str, Fault> {
    let text = std::str::from_utf8(body).map_err(|error| {
        Fault::new(Code::NotJson, format!("not UTF-8 after byte {}", error.valid_up_to()))
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The named fields of the body, which must be one JSON object and nothing else.
fn object<'a, const N: usize>(
    body: &'a str,
    names: [&str; N],
) -> Result<[Option<Value<'a>>; N], Fault> {
    let not_json = |error: serde_json::Error| {
        // Errors of syntax quote nothing of the text; others cannot occur here.
        let detail = format!("not JSON at line {} column {}", error.line(), error.column());
        Fault::new(Code::NotJson, detail)
    };
    if body.trim_ascii_start().starts_with('{') {
        return json::fields(body, names).map_err(not_json);
    }
    let value: &RawValue = serde_json::from_str(body).map_err(not_json)?;
    Err(Fault::expected(Code::NotAnObject, "body", "an object", Some(value)))
}

/// The named fields of a value that is known to be an object.
fn inner_fields<'a, const N: usize>(
    object: Value<'a>,
    names: [&str; N],
    path: fmt::Arguments<'_>,
) -> Result<[Option<Value<'a>>; N], Fault> {
    json::fields(object.get(), names)
        .map_err(|_| Fault::new(Code::NotJson, format!("{path}: not JSON")))
}

fn read_event_type(value: Option<Value<'_>>) -> Result<Identifier, Fault> {
    let name = value
        .and_then(text)
        .ok_or_else(|| Fault::expected(Code::InvalidEventType, "event_type", "a string", value))?;
    Identifier::parse(&name)
        .map_err(|error| Fault::new(Code::InvalidEventType, format!("event_type: {error}")))
}

fn read_site(resource_data: Option<Value<'_>>) -> Result<Site, Fault> {
    const PATH: &str = "resource_data.site_name";
    let missing = |found| Fault::expected(Code::MissingSite, PATH, "a string", found);
    let resource_data =
        resource_data.filter(|value| value.get().starts_with('{')).ok_or_else(|| missing(None))?;
    let [value] = inner_fields(resource_data, ["site_name"], format_args!("resource_data"))?;
    let name = value.and_then(text).ok_or_else(|| missing(value))?;
    Site::parse(&name).map_err(|error| {
        let code = match error {
            IdentifierError::Empty => Code::MissingSite,
            IdentifierError::TooLong | IdentifierError::ControlCharacter => Code::InvalidIdentifier,
        };
        Fault::new(code, format!("{PATH}: {error}"))
    })
}

fn read_timestamp(value: Option<Value<'_>>, received_at: Timestamp) -> Result<i64, Fault> {
    const PATH: &str = "event_timestamp";
    let wrong = |what: &str| Fault::new(Code::InvalidTimestamp, format!("{PATH}: {what}"));
    let digits = match value.map(RawValue::get) {
        Some(json) if json.starts_with('"') => value.and_then(text),
        Some(json) => Some(json.into()),
        None => None,
    };
    let millis = digits
        .filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .ok_or_else(|| {
            Fault::expected(Code::InvalidTimestamp, PATH, "a whole number of milliseconds", value)
        })?
        .parse::<i64>()
        .map_err(|_| wrong("is too large"))?;
    if millis < EVENT_TIMESTAMP_MIN {
        return Err(wrong("is before 2010; expected milliseconds since 1970"));
    }
    if millis > received_at.millis().saturating_add(EVENT_TIMESTAMP_AHEAD_MAX) {
        return Err(wrong("is more than 24 hours after receipt; expected milliseconds since 1970"));
    }
    Ok(millis)
}

/// An identifier; null, the empty string and absence all mean that there is none.
fn read_identifier(
    value: Option<Value<'_>>,
    path: fmt::Arguments<'_>,
) -> Result<Option<Identifier>, Fault> {
    let Some(value) = present(value) else { return Ok(None) };
    let name = text(value)
        .ok_or_else(|| Fault::expected(Code::InvalidIdentifier, path, "a string", Some(value)))?;
    match Identifier::parse(&name) {
        Ok(identifier) => Ok(Some(identifier)),
        Err(IdentifierError::Empty) => Ok(None),
        Err(error) => Err(Fault::new(Code::InvalidIdentifier, format!("{path}: {error}"))),
    }
}

/// An identifier that no rule reads: one that cannot be taken is left out.
fn read_lenient(value: Option<Value<'_>>) -> Option<Identifier> {
    value.and_then(text).and_then(|name| Identifier::parse(&name).ok())
}

/// A list of at most [`LINES_MAX`]; null and absence are the caller's business.
fn read_list<'a>(value: Value<'a>, path: fmt::Arguments<'_>) -> Result<Vec<Value<'a>>, Fault> {
    json::elements(value, LINES_MAX).map_err(|error| match error {
        json::ListError::NotAnArray => {
            Fault::expected(Code::InvalidItems, path, "an array", Some(value))
        }
        json::ListError::TooLong => {
            Fault::new(Code::TooManyLines, format!("{path}: has more than {LINES_MAX} lines"))
        }
    })
}

/// The named fields of a line or refund.
fn read_line<'a, const N: usize>(
    value: Value<'a>,
    names: [&str; N],
    path: fmt::Arguments<'_>,
) -> Result<[Option<Value<'a>>; N], Fault> {
    if !value.get().starts_with('{') {
        return Err(Fault::expected(Code::InvalidLine, path, "an object", Some(value)));
    }
    inner_fields(value, names, path)
}

/// The quantity of a line, as a number or as the text of one.
fn read_quantity(
    value: Option<Value<'_>>,
    path: fmt::Arguments<'_>,
) -> Result<super::Quantity, Fault> {
    let number = match value.map(|value| (value, value.get().as_bytes().first())) {
        Some((value, Some(b'"'))) => text(value),
        Some((value, Some(b'-' | b'0'..=b'9'))) => Some(value.get().into()),
        _ => None,
    };
    let number =
        number.ok_or_else(|| Fault::expected(Code::InvalidQuantity, path, "a number", value))?;
    super::Quantity::parse(&number)
        .map_err(|error| Fault::new(Code::InvalidQuantity, format!("{path}: {error}")))
}
