//! The meaning of one body, or the code of the dead letter that it becomes.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::fields::{self, Code, Json, Name, Object};
use super::policy::KeyKind;
use super::statement::{Line, Occasion, Refund, RefundedLine, Statement, Status};

const LINES_MAX: usize = 1000;

/// The meaning of a body.
pub(super) enum Meaning {
    /// It states something about an order.
    Order { site: String, names: Names, fact: Fact },
    /// It names an order of a third-party store, and contains nothing that stock depends on.
    Notice { site: String, names: Names },
    /// It concerns a product or category of a third-party store.
    StoreEntry,
    /// It concerns a product or category.
    Catalogue,
    /// No rule knows its event type.
    Ignored,
}

/// What one body says about an order.
pub(super) enum Fact {
    Statement(Statement),
    Refund(Option<Refund>),
}

/// The names that one body gives an order.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) id: Option<String>,
    /// The second name, which may lead to an id.
    pub(super) second: Option<String>,
    pub(super) invoice: Option<String>,
}

impl Names {
    /// Returns the record that the body joins.
    pub(super) fn record(&self) -> Option<&String> {
        self.id.as_ref().or(self.second.as_ref()).or(self.invoice.as_ref())
    }
}

/// The families of events that the rules know.
#[derive(Clone, Copy)]
enum Family {
    Order(Occasion),
    Refund,
    Entry,
    StoreOrder { is_deletion: bool },
    StoreEntry,
}

impl Family {
    fn of(event_type: &str) -> Option<Self> {
        Some(match event_type {
            "ECOMM_ORDER_CREATED" => Self::Order(Occasion::Creation),
            "ECOMM_ORDER_UPDATED" | "ECOMM_ORDER_STATUS_UPDATED" => Self::Order(Occasion::Update),
            "ECOMM_ORDER_DELETED" => Self::Order(Occasion::Deletion),
            "ECOMM_REFUND_CREATED" => Self::Refund,
            "ECOMM_PRODUCT_CREATED"
            | "ECOMM_PRODUCT_UPDATED"
            | "ECOMM_PRODUCT_DELETED"
            | "PRODUCT_CREATED"
            | "PRODUCT_UPDATED"
            | "PRODUCT_DELETED"
            | "ECOMM_CATEGORY_CREATED"
            | "ECOMM_CATEGORY_UPDATED"
            | "ECOMM_CATEGORY_DELETED"
            | "CATEGORY_CREATED"
            | "CATEGORY_UPDATED"
            | "CATEGORY_DELETED" => Self::Entry,
            "STORE_ORDER_CREATED" | "STORE_ORDER_UPDATED" => {
                Self::StoreOrder { is_deletion: false }
            }
            "STORE_ORDER_DELETED" => Self::StoreOrder { is_deletion: true },
            "STORE_PRODUCT_CREATED"
            | "STORE_PRODUCT_UPDATED"
            | "STORE_PRODUCT_DELETED"
            | "STORE_CATEGORY_CREATED"
            | "STORE_CATEGORY_UPDATED"
            | "STORE_CATEGORY_DELETED" => Self::StoreEntry,
            _ => return None,
        })
    }
}

/// Reads a body.
pub(super) fn read(bytes: &Bytes) -> Result<Meaning, Code> {
    let body = fields::body(bytes)?;
    let event_type = Json::text(&body, "event_type");
    if !fields::is_identifier(&event_type) {
        return Err("decode.invalid_event_type");
    }
    let Some(family) = Family::of(&event_type) else { return Ok(Meaning::Ignored) };
    let site = site(&body)?;
    let at = fields::timestamp(&body)?;
    let data = Json::object(&body, "data").ok_or("decode.missing_data")?;
    match family {
        Family::Order(occasion) => {
            let names = order_names(&data)?;
            let fact = Fact::Statement(statement(&data, occasion, at, bytes)?);
            Ok(Meaning::Order { site, names, fact })
        }
        Family::Refund => {
            let id = fields::name(&data, "order_id").required("refund.no_order")?;
            let names = Names { id: Some(format!("id:{id}")), ..Names::default() };
            let fact = Fact::Refund(refund(&data, at, true, bytes)?);
            Ok(Meaning::Order { site, names, fact })
        }
        Family::Entry => {
            fields::name(&data, "id").required("catalogue.no_identity")?;
            Ok(Meaning::Catalogue)
        }
        Family::StoreOrder { is_deletion } => {
            let names = store_order_names(&data, &site)?;
            if is_deletion {
                let fact = Fact::Statement(tombstone(at, bytes));
                Ok(Meaning::Order { site, names, fact })
            } else {
                Ok(Meaning::Notice { site, names })
            }
        }
        Family::StoreEntry => {
            let store = store(&data, &site)?;
            within(&store, fields::name(&data, "entityId")).required("notice.no_identity")?;
            Ok(Meaning::StoreEntry)
        }
    }
}

fn site(body: &Object<'_>) -> Result<String, Code> {
    const MISSING: Code = "decode.missing_site";
    let resource = Json::object(body, "resource_data").ok_or(MISSING)?;
    let name = match Json::field(&resource, "site_name") {
        Some(Json::Text(text)) => Name::of(&text),
        Some(Json::Number(number)) if fields::is_counting_number(number) => Name::of(number),
        _ => return Err(MISSING),
    };
    name.required(MISSING)
}

/// Returns the names of an order. A name that cannot be read counts as absent, but then an id or an
/// external id must remain: an invoice number may belong to several orders.
fn order_names(data: &Object<'_>) -> Result<Names, Code> {
    let id = fields::name(data, "id");
    let second = fields::name(data, "external_id");
    let is_unreadable = [&id, &second].contains(&&Name::Unreadable);
    let names = Names {
        id: of_kind("id", id),
        second: of_kind("external-id", second),
        invoice: of_kind("invoice-number", fields::name(data, "invoice_number")),
    };
    if is_unreadable && names.id.is_none() && names.second.is_none() {
        return Err("decode.invalid_identifier");
    }
    if names.record().is_none() { Err("order.no_identity") } else { Ok(names) }
}

fn of_kind(kind: &str, name: Name) -> Option<String> {
    name.read().map(|name| format!("{kind}:{name}"))
}

fn store_order_names(data: &Object<'_>, site: &str) -> Result<Names, Code> {
    let store = store(data, site)?;
    let id = within(&store, fields::name(data, "entityId"));
    let details = Json::object(data, "data").unwrap_or_default();
    let second = within(&store, fields::name(&details, "orderId"));
    let is_unreadable = [&id, &second].contains(&&Name::Unreadable);
    let names = Names {
        id: of_kind("store-order", id),
        second: of_kind("store-order-id", second),
        invoice: None,
    };
    match names.record() {
        Some(_) => Ok(names),
        None if is_unreadable => Err("decode.invalid_identifier"),
        None => Err("notice.no_identity"),
    }
}

/// Returns the store that a notice concerns, which must be that of the site.
fn store(data: &Object<'_>, site: &str) -> Result<String, Code> {
    let alias = fields::name(data, "siteAlias").read();
    if alias.is_some_and(|alias| alias != site) {
        return Err("store.site_mismatch");
    }
    fields::name(data, "storeId").required("notice.no_identity")
}

/// Returns a name within a store. A slash in either part is escaped, so the one between them is
/// unambiguous.
fn within(store: &str, name: Name) -> Name {
    let Name::Read(name) = name else { return name };
    let [store, name] = [store, &name].map(|part| part.replace('%', "%25").replace('/', "%2F"));
    Name::of(&format!("{store}/{name}"))
}

fn statement(
    data: &Object<'_>,
    occasion: Occasion,
    event_timestamp: i64,
    bytes: &Bytes,
) -> Result<Statement, Code> {
    let refunds = refunds(data, event_timestamp, bytes);
    let (lines, refunds) = match occasion {
        Occasion::Creation | Occasion::Update => (lines(data)?, refunds?),
        // A deletion needs only its identity; its refunds count as a whole or not at all.
        Occasion::Deletion => (Vec::new(), refunds.unwrap_or_default()),
    };
    let (status, status_word) = Status::of(&Json::trimmed(data, "status"));
    let mode = Some(Json::trimmed(data, "mode")).filter(|mode| !mode.is_empty());
    let body = bytes.clone();
    Ok(Statement { body, occasion, event_timestamp, status, status_word, mode, lines, refunds })
}

/// Returns what a third-party store's deletion notice states: only the deletion.
fn tombstone(event_timestamp: i64, bytes: &Bytes) -> Statement {
    let (status, status_word) = Status::of("");
    Statement {
        body: bytes.clone(),
        occasion: Occasion::Deletion,
        event_timestamp,
        status,
        status_word,
        mode: None,
        lines: Vec::new(),
        refunds: Vec::new(),
    }
}

fn lines(data: &Object<'_>) -> Result<Vec<Line>, Code> {
    let Some(Json::List(items)) = Json::field(data, "items") else {
        return Err("decode.invalid_items");
    };
    let lines = objects(&items)?.map(|item| {
        let item = item?;
        let names = KeyKind::ALL.into_iter();
        let names: BTreeMap<KeyKind, String> = names
            .filter_map(|kind| Some((kind, fields::name(&item, kind.field()).read()?)))
            .collect();
        let quantity = fields::quantity(&item)?.ok_or("decode.invalid_quantity")?;
        Ok(Line { names, quantity })
    });
    lines.collect()
}

/// Returns the lines of a list as objects; their number is checked before any is read.
fn objects<'a>(
    items: &'a [&'a RawValue],
) -> Result<impl Iterator<Item = Result<Object<'a>, Code>>, Code> {
    if items.len() > LINES_MAX {
        return Err("decode.too_many_lines");
    }
    Ok(items.iter().map(|item| as_object(item)))
}

fn as_object(raw: &RawValue) -> Result<Object<'_>, Code> {
    if let Json::Object(object) = Json::cut(raw) { Ok(object) } else { Err("decode.invalid_line") }
}

/// Returns the refunds that an order carries, except those without an id.
fn refunds(data: &Object<'_>, at: i64, bytes: &Bytes) -> Result<Vec<Refund>, Code> {
    let entries = match Json::field(data, "refunds") {
        None => return Ok(Vec::new()),
        Some(Json::List(entries)) => entries,
        Some(_) => return Err("decode.invalid_items"),
    };
    let read: Vec<Option<Refund>> = objects(&entries)?
        .map(|entry| refund(&entry?, at, false, bytes))
        .collect::<Result<_, Code>>()?;
    Ok(read.into_iter().flatten().collect())
}

/// Returns one refund, or `None` if it is well formed and has no id.
fn refund(
    entry: &Object<'_>,
    event_timestamp: i64,
    from_event: bool,
    bytes: &Bytes,
) -> Result<Option<Refund>, Code> {
    let items = match Json::field(entry, "items") {
        None => Vec::new(),
        Some(Json::List(items)) => items,
        Some(_) => return Err("decode.invalid_items"),
    };
    let lines: Vec<Option<RefundedLine>> = objects(&items)?
        .map(|item| {
            let item = item?;
            // A line without a quantity is about money.
            let Some(quantity) = fields::quantity(&item)? else { return Ok(None) };
            Ok(Some(RefundedLine { id: fields::name(&item, "id").read(), quantity }))
        })
        .collect::<Result<_, Code>>()?;
    let lines = lines.into_iter().flatten().collect();
    let (body, created_us) = (bytes.clone(), fields::created_us(entry));
    let id = fields::name(entry, "id").read();
    Ok(id.map(|id| Refund { body, id, event_timestamp, from_event, created_us, lines }))
}
