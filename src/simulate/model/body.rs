//! What one body means, or the code of the dead letter that it becomes.

use std::collections::BTreeMap;

use bytes::Bytes;
use rust_decimal::Decimal;
use serde_json::value::RawValue;

use super::fields::{self, Code, Json, Object};
use super::order::{Fact, Line, Refund, RefundedLine, Snapshot, Status};
use super::policy::KeyKind;

const LINES_MAX: usize = 1000;

/// What a body means.
pub(super) enum Meaning {
    /// It says something of an order.
    Order {
        site: String,
        order: String,
        /// Every name that the body gives the order.
        names: Vec<String>,
        fact: Fact,
    },
    Catalogue,
    Notice,
    Ignored,
}

/// The families of events that the rules know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Snapshot { is_update: bool },
    Deletion,
    Refund,
    Entry,
    StoreOrder,
    StoreEntry,
}

impl Family {
    fn of(event_type: &str) -> Option<Self> {
        Some(match event_type {
            "ECOMM_ORDER_CREATED" => Self::Snapshot { is_update: false },
            "ECOMM_ORDER_UPDATED" | "ECOMM_ORDER_STATUS_UPDATED" => {
                Self::Snapshot { is_update: true }
            }
            "ECOMM_ORDER_DELETED" => Self::Deletion,
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
            "STORE_ORDER_CREATED" | "STORE_ORDER_UPDATED" | "STORE_ORDER_DELETED" => {
                Self::StoreOrder
            }
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

/// Reads a body that was received at a time.
pub(super) fn read(
    bytes: &Bytes,
    received_at_ms: i64,
    precedence: &[KeyKind],
) -> Result<Meaning, Code> {
    let body = fields::body(bytes)?;
    let event_type = Json::text(&body, "event_type");
    if !fields::is_identifier(&event_type) {
        return Err("decode.invalid_event_type");
    }
    let Some(family) = Family::of(&event_type) else { return Ok(Meaning::Ignored) };
    let site = site(&body)?;
    let at = fields::timestamp(&body, received_at_ms)?;
    let data = Json::object(&body, "data").ok_or("decode.missing_data")?;
    match family {
        Family::Snapshot { is_update } => {
            let (order, names) = order_names(&data)?;
            let lines = lines(&data, precedence)?;
            let refunds = refunds(&data, at, bytes)?;
            let status = Status::of(&Json::text(&data, "status"));
            let is_test = Json::text(&data, "mode") == "TEST";
            let body = bytes.clone();
            let snapshot =
                Snapshot { body, event_timestamp: at, is_update, status, is_test, lines };
            let fact = Fact::Snapshot { snapshot, refunds };
            Ok(Meaning::Order { site, order, names, fact })
        }
        Family::Deletion => {
            let (order, names) = order_names(&data)?;
            let status = Status::of(&Json::text(&data, "status"));
            // Nothing of a deletion but its identity is required; refunds count as a whole or not.
            let refunds = refunds(&data, at, bytes).unwrap_or_default();
            Ok(Meaning::Order { site, order, names, fact: Fact::Deletion { status, refunds } })
        }
        Family::Refund => {
            let order = fields::identifier(&data, "order_id")?.ok_or("refund.no_order")?;
            let refund = refund(&data, at, true, bytes)?;
            let order = format!("id:{order}");
            // It names its order, and says nothing else of the order's names.
            Ok(Meaning::Order { site, order, names: Vec::new(), fact: Fact::Refund(refund) })
        }
        Family::Entry => {
            fields::identifier(&data, "id")?.ok_or("catalogue.no_identity")?;
            Ok(Meaning::Catalogue)
        }
        Family::StoreOrder | Family::StoreEntry => {
            notice(&data, &site, family == Family::StoreOrder).map(|()| Meaning::Notice)
        }
    }
}

fn site(body: &Object<'_>) -> Result<String, Code> {
    let resource = Json::object(body, "resource_data").ok_or("decode.missing_site")?;
    let site = Json::text(&resource, "site_name");
    match site.as_str() {
        "" => Err("decode.missing_site"),
        name if fields::is_identifier(name) => Ok(site),
        _ => Err("decode.invalid_identifier"),
    }
}

/// The order's name by the first field that has one, and all that it has; all three are checked.
fn order_names(data: &Object<'_>) -> Result<(String, Vec<String>), Code> {
    let id = fields::identifier(data, "id")?.map(|name| format!("id:{name}"));
    let external = fields::identifier(data, "external_id")?;
    let external = external.map(|name| format!("external-id:{name}"));
    let invoice = fields::identifier(data, "invoice_number")?;
    let invoice = invoice.map(|name| format!("invoice-number:{name}"));
    let names: Vec<String> = [id, external, invoice].into_iter().flatten().collect();
    let first = names.first().cloned().ok_or("order.no_identity")?;
    Ok((first, names))
}

fn lines(data: &Object<'_>, precedence: &[KeyKind]) -> Result<Vec<Line>, Code> {
    let Some(Json::List(items)) = Json::field(data, "items") else {
        return Err("decode.invalid_items");
    };
    let lines: Vec<Line> = objects(&items)?
        .map(|item| {
            let item = item?;
            let mut names = BTreeMap::new();
            for kind in KeyKind::ALL {
                if let Some(name) = fields::identifier(&item, kind.field())? {
                    names.insert(kind, name);
                }
            }
            Ok(Line { names, quantity: fields::quantity(&item)? })
        })
        .collect::<Result<_, Code>>()?;
    let mut by_key: BTreeMap<String, Decimal> = BTreeMap::new();
    for line in &lines {
        if let Some(key) = line.key(precedence) {
            *by_key.entry(key).or_default() += line.quantity;
        }
    }
    let most = Decimal::from(1_000_000_000);
    if by_key.values().any(|sum| *sum > most) {
        return Err("decode.invalid_quantity");
    }
    Ok(lines)
}

/// The lines of a list as objects; their number is checked before any is read.
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

/// The refunds that an order carries, without those that bear no id.
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

/// One refund; `None` if it is well formed and bears no id.
fn refund(
    entry: &Object<'_>,
    at: i64,
    from_event: bool,
    bytes: &Bytes,
) -> Result<Option<Refund>, Code> {
    let id = fields::identifier(entry, "id")?;
    let items = match Json::field(entry, "items") {
        None => Vec::new(),
        Some(Json::List(items)) => items,
        Some(_) => return Err("decode.invalid_items"),
    };
    let lines = objects(&items)?
        .map(|item| {
            let item = item?;
            let id = fields::identifier(&item, "id")?;
            Ok(RefundedLine { id, quantity: fields::quantity(&item)? })
        })
        .collect::<Result<_, Code>>()?;
    let body = bytes.clone();
    Ok(id.map(|id| Refund { body, id, event_timestamp: at, from_event, lines }))
}

/// Checks a third-party store's notice; it never touches stock.
fn notice(data: &Object<'_>, site: &str, is_order: bool) -> Result<(), Code> {
    let alias = fields::identifier(data, "siteAlias")?;
    if alias.is_some_and(|alias| alias != site) {
        return Err("store.site_mismatch");
    }
    let store = fields::store_identifier(data, "storeId")?;
    let entity = fields::store_identifier(data, "entityId")?;
    let details = Json::object(data, "data").unwrap_or_default();
    let order = if is_order { fields::store_identifier(&details, "orderId")? } else { None };
    let store = store.ok_or("notice.no_identity")?;
    let names: Vec<String> =
        [entity, order].into_iter().flatten().map(|name| format!("{store}/{name}")).collect();
    if names.is_empty() {
        return Err("notice.no_identity");
    }
    if names.iter().all(|name| fields::is_identifier(name)) {
        Ok(())
    } else {
        Err("decode.invalid_identifier")
    }
}
