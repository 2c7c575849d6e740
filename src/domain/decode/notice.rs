//! Third-party stores: notices with ids and without content.
//!
//! Several notices share an `eventId` in Duda's own samples, so that is never a key.

use std::fmt;

use serde::Serialize;

use super::json::{Value, present, text};
use super::{Fault, catalogue, inner_fields, read_identifier, read_lenient};
use crate::domain::version::fingerprint;
use crate::domain::{
    CatalogueEvent, CatalogueId, CatalogueKind, Code, Description, Identifier, NoticeEvent,
    NoticeStatus, OrderId, OrderIdKind, Rank, Site, Status, Version,
};

/// Reads the `data` of a third-party store's order event.
pub(super) fn read_order(
    data: Value<'_>,
    site: &Site,
    rank: Rank,
    event_timestamp: i64,
) -> Result<NoticeEvent, Fault> {
    let notice = read(data, site)?;
    let [order_id, payment, fulfillment] = match notice.data {
        Some(inner) => inner_fields(
            inner,
            ["orderId", "newPaymentStatus", "newFulfillmentStatus"],
            format_args!("data.data"),
        )?,
        None => [None; 3],
    };
    let order_id = read_number_or_text(order_id, format_args!("data.data.orderId"))?;
    let mut aliases = Vec::new();
    for (kind, name) in
        [(OrderIdKind::StoreOrder, notice.entity_id), (OrderIdKind::StoreOrderId, order_id)]
    {
        if let Some(name) = name {
            aliases.push(OrderId { kind, identifier: in_store(&notice.store_id, &name)? });
        }
    }
    let order = aliases.first().cloned().ok_or_else(no_entity)?;
    let status =
        NoticeStatus { payment: read_lenient(payment), fulfillment: read_lenient(fulfillment) };
    let fingerprint = fingerprint(&NoticeText { aliases: &aliases, format: 1, status: &status });
    let version = Version { event_timestamp, rank, status: Status::Unknown, fingerprint };
    Ok(NoticeEvent { order, aliases, version, status })
}

/// Reads the `data` of a third-party store's product or category event.
pub(super) fn read_entry(
    data: Value<'_>,
    site: &Site,
    kind: CatalogueKind,
    rank: Rank,
    event_timestamp: i64,
) -> Result<CatalogueEvent, Fault> {
    let notice = read(data, site)?;
    let entity_id = notice.entity_id.ok_or_else(no_entity)?;
    let entry = CatalogueId { kind, identifier: in_store(&notice.store_id, &entity_id)? };
    let description = (rank != Rank::Deleted).then(Description::default);
    Ok(catalogue::event(entry, rank, event_timestamp, description))
}

/// What every notice has.
struct Common<'a> {
    store_id: Identifier,
    entity_id: Option<Identifier>,
    data: Option<Value<'a>>,
}

fn read<'a>(data: Value<'a>, site: &Site) -> Result<Common<'a>, Fault> {
    let [site_alias, store_id, entity_id, inner] =
        inner_fields(data, ["siteAlias", "storeId", "entityId", "data"], format_args!("data"))?;
    if read_identifier(site_alias, format_args!("data.siteAlias"))?
        .is_some_and(|alias| alias != site.0)
    {
        let detail = "data.siteAlias: expected the same as resource_data.site_name, found another";
        return Err(Fault::new(Code::SiteMismatch, detail));
    }
    Ok(Common {
        store_id: read_number_or_text(store_id, format_args!("data.storeId"))?.ok_or_else(
            || Fault::expected(Code::NoticeNoIdentity, "data.storeId", "a store's id", store_id),
        )?,
        entity_id: read_number_or_text(entity_id, format_args!("data.entityId"))?,
        data: inner.filter(|inner| inner.get().starts_with('{')),
    })
}

fn no_entity() -> Fault {
    Fault::new(Code::NoticeNoIdentity, "data: expected entityId, found none")
}

/// The name of a thing within its store. A slash in either part is escaped, so the one between
/// them tells them apart.
fn in_store(store_id: &Identifier, name: &Identifier) -> Result<Identifier, Fault> {
    let [store_id, name] =
        [store_id, name].map(|part| part.as_str().replace('%', "%25").replace('/', "%2F"));
    Identifier::parse(&format!("{store_id}/{name}")).map_err(|error| {
        let detail = format!("data: the store's id and the thing's id together: {error}");
        Fault::new(Code::InvalidIdentifier, detail)
    })
}

/// An id that is an integer in one sample and a string in another.
fn read_number_or_text(
    value: Option<Value<'_>>,
    path: fmt::Arguments<'_>,
) -> Result<Option<Identifier>, Fault> {
    let Some(value) = present(value) else { return Ok(None) };
    let digits = value.get().strip_prefix('-').unwrap_or_else(|| value.get());
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Identifier::parse(value.get())
            .map(Some)
            .map_err(|error| Fault::new(Code::InvalidIdentifier, format!("{path}: {error}")));
    }
    if text(value).is_none() {
        let expected = "a string or a whole number";
        return Err(Fault::expected(Code::InvalidIdentifier, path, expected, Some(value)));
    }
    read_identifier(Some(value), path)
}

/// What the state keeps of a notice. A change of this form changes every fingerprint: it needs a
/// new format number.
#[derive(Serialize)]
struct NoticeText<'a> {
    aliases: &'a [OrderId],
    format: u32,
    status: &'a NoticeStatus,
}
