//! From a body to an [`Event`], or to the reason why it can never be one.
//!
//! Bytes and the time of receipt come in. Nothing in the body is trusted, and nothing that no rule
//! reads is kept. The time comes from the envelope, never from the clock: a replay must decide as
//! the first run did. A body is refused only for a field that a rule reads.

mod catalogue;
mod json;
mod names;
mod notice;
mod order;
mod ours;
mod refund;

#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::value::RawValue;

use super::{
    Code, Content, Event, IDENTIFIER_BYTES_MAX, Identifier, Oddities, OrderId, Rank, Rejection,
    Site, Timestamp,
};
use json::{Members, Value, text, type_name};
use names::Found;

pub use ours::{decode_correction, decode_receipt};

/// From 2010 to 2100, in milliseconds: no other number can be the time of an event.
const EVENT_TIMESTAMPS: std::ops::RangeInclusive<i64> = 1_262_304_000_000..=4_102_444_800_000;
/// How far ahead of its receipt the timestamp of an event may be before the event is marked, in
/// milliseconds: 24 hours.
const EVENT_TIMESTAMP_AHEAD_MAX: i64 = 86_400_000;
/// The longest text that is kept of a status, in bytes.
const STATUS_BYTES_MAX: usize = 64;
/// The most lines of one order, and of one refund.
const LINES_MAX: usize = 1000;

/// The decoded body of a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// An event that acts on something.
    Event(Box<Event>),
    /// An event with a name that no rule knows, which is not an error.
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

/// What has been understood of a body so far, for the rejection.
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

    /// Creates the fault of a value that has another type than expected.
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
    let Body { event_type, resource_data, timestamp, data } = Body::read(body_text(body)?)?;
    let event_type = read_event_type(event_type)?;
    known.event_type = Some(event_type.clone());
    let Some(kind) = EventKind::parse(event_type.as_str()) else {
        return Ok(Decoded::Unknown { event_type });
    };
    let site = read_site(resource_data)?;
    known.site = Some(site.clone());
    let event_timestamp = read_timestamp(timestamp)?;
    let mut found = Context::new(event_timestamp, received_at);
    let data =
        data.map_err(|other| Fault::expected(Code::MissingData, "data", "an object", other))?;
    let data = &data;
    let content = match kind {
        EventKind::Order(rank) => {
            Content::Order(order::read(data, rank, &mut found, &mut known.order)?)
        }
        EventKind::Refund => {
            Content::Refund(refund::read_event(data, &mut found, &mut known.order)?)
        }
        EventKind::Catalogue(kind, rank) => {
            Content::Catalogue(catalogue::read(data, kind, rank, &mut found)?)
        }
        EventKind::StoreOrder(rank) => {
            let notice = notice::read_order(data, &site, rank, &mut found)?;
            known.order = Some(notice.names.own().clone());
            Content::Notice(notice)
        }
        EventKind::StoreCatalogue(kind, rank) => {
            Content::Catalogue(notice::read_entry(data, &site, kind, rank, event_timestamp)?)
        }
    };
    Ok(Decoded::Event(Box::new(Event { site, event_type, content, oddities: found.oddities })))
}

/// All fields of `data` that the rules of any event read.
const DATA: [&str; 19] = [
    "created",
    "data",
    "entityId",
    "external_id",
    "id",
    "invoice_number",
    "items",
    "managed_inventory",
    "mode",
    "name",
    "order_id",
    "refunds",
    "siteAlias",
    "sku",
    "status",
    "storeId",
    "title",
    "type",
    "variations",
];

/// The parts of a body, not decoded yet.
struct Body<'a> {
    event_type: Option<Value<'a>>,
    resource_data: Option<Value<'a>>,
    timestamp: Option<Value<'a>>,
    /// The members of `data`, or the value that was found instead of an object.
    data: Result<Members<'a>, Option<Value<'a>>>,
}

impl<'a> Body<'a> {
    fn read(body: &'a str) -> Result<Self, Fault> {
        const NAMES: [&str; 3] = ["event_type", "resource_data", "event_timestamp"];
        let read = json::fields_and_members(body, NAMES, "data", &DATA);
        if let Ok(([event_type, resource_data, timestamp], data)) = read {
            return Ok(Self { event_type, resource_data, timestamp, data: Ok(data) });
        }
        let [event_type, resource_data, timestamp] = NAMES;
        let [event_type, resource_data, timestamp, data] =
            object(body, [event_type, resource_data, timestamp, "data"])?;
        let members = data.and_then(|data| Members::of(data, &DATA).ok()).ok_or(data);
        Ok(Self { event_type, resource_data, timestamp, data: members })
    }
}

/// What decoding the parts of a body needs from the whole, and the oddities that it found.
#[derive(Debug, Clone)]
struct Context {
    event_timestamp: i64,
    oddities: Oddities,
}

impl Context {
    fn new(event_timestamp: i64, received_at: Timestamp) -> Self {
        let latest = received_at.millis().saturating_add(EVENT_TIMESTAMP_AHEAD_MAX);
        let oddities = Oddities { is_ahead: event_timestamp > latest, ..Oddities::default() };
        Self { event_timestamp, oddities }
    }
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
        // Duda's guide calls an update "STATUS_UPDATED" and changes the quantity in it.
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

/// Returns the body as text, without a byte order mark.
fn body_text(body: &[u8]) -> Result<&str, Fault> {
    let text = std::str::from_utf8(body).map_err(|error| {
        Fault::new(Code::NotJson, format!("not UTF-8 after byte {}", error.valid_up_to()))
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Returns the named fields of the body, which must be one JSON object and nothing else.
fn object<'a, const N: usize>(
    body: &'a str,
    names: [&str; N],
) -> Result<[Option<Value<'a>>; N], Fault> {
    let not_json = |error: serde_json::Error| {
        // Syntax errors do not quote the text, and no other errors can occur here.
        let detail = format!("not JSON at line {} column {}", error.line(), error.column());
        Fault::new(Code::NotJson, detail)
    };
    if body.trim_ascii_start().starts_with('{') {
        return json::fields(body, names).map_err(not_json);
    }
    let value: &RawValue = serde_json::from_str(body).map_err(not_json)?;
    Err(Fault::expected(Code::NotAnObject, "body", "an object", Some(value)))
}

/// Returns the named fields of a value that is known to be an object.
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
    match names::read(value) {
        Found::Name(name) => Ok(Site(name)),
        Found::Unreadable(why) if value.and_then(text).is_some() => {
            Err(Fault::new(Code::InvalidIdentifier, format!("{PATH}: {why}")))
        }
        Found::Nothing | Found::Unreadable(_) => Err(missing(value)),
    }
}

fn read_timestamp(value: Option<Value<'_>>) -> Result<i64, Fault> {
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
    if !EVENT_TIMESTAMPS.contains(&millis) {
        return Err(wrong("is not between 2010 and 2100; expected milliseconds since 1970"));
    }
    Ok(millis)
}

/// Reads a name for display: control characters become spaces, and it is cut to the length of an
/// identifier.
fn read_name(value: Option<Value<'_>>) -> Option<String> {
    let name = cut(&value.and_then(text)?, IDENTIFIER_BYTES_MAX);
    (!name.is_empty()).then_some(name)
}

/// Returns the part of a status that is kept.
fn short_text(text: &str) -> String {
    cut(text, STATUS_BYTES_MAX)
}

fn cut(text: &str, bytes_max: usize) -> String {
    let spaced = text.replace(char::is_control, " ");
    let mut text = spaced.trim().to_owned();
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

/// Reads a list of at most [`LINES_MAX`] elements. The caller handles null and absence.
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
type Fields<'a, const N: usize> = [Option<Value<'a>>; N];

/// Reads the named fields of each line in a list of lines, or of each refund in a list of refunds.
/// Each has a result of its own, because faults are reported in the order of the list: the first
/// one counts.
fn read_lines<'a, const N: usize>(
    value: Value<'a>,
    names: [&str; N],
    path: fmt::Arguments<'_>,
) -> Result<Vec<Result<Fields<'a, N>, Fault>>, Fault> {
    if let Some(lines) = json::objects(value, LINES_MAX, names) {
        return Ok(lines.into_iter().map(Ok).collect());
    }
    let lines = read_list(value, path)?.into_iter().enumerate();
    let fields = lines.map(|(place, line)| {
        let path = format_args!("{path}[{place}]");
        if !line.get().starts_with('{') {
            return Err(Fault::expected(Code::InvalidLine, path, "an object", Some(line)));
        }
        inner_fields(line, names, path)
    });
    Ok(fields.collect())
}

/// Reads the quantity of a line, given as a number or as the text of one.
fn read_quantity(
    value: Option<Value<'_>>,
    path: fmt::Arguments<'_>,
    context: &mut Context,
) -> Result<super::Quantity, Fault> {
    let number = match value.map(|value| (value, value.get().as_bytes().first())) {
        Some((value, Some(b'"'))) => text(value),
        Some((value, Some(b'-' | b'0'..=b'9'))) => Some(value.get().into()),
        _ => None,
    };
    let number =
        number.ok_or_else(|| Fault::expected(Code::InvalidQuantity, path, "a number", value))?;
    let (quantity, is_rounded) = super::Quantity::parse(&number)
        .map_err(|error| Fault::new(Code::InvalidQuantity, format!("{path}: {error}")))?;
    context.oddities.quantities_rounded += u32::from(is_rounded);
    Ok(quantity)
}
