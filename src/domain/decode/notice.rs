//! Third-party stores: notices that have ids but no content.
//!
//! Several notices share an `eventId` in Duda's own samples, so it is never used as a key.

use serde::Serialize;

use super::json::{Members, Value, text};
use super::names::{self, Found};
use super::{Context, Fault, catalogue, inner_fields, short_text};
use crate::domain::version::fingerprint;
use crate::domain::{
    CatalogueEvent, CatalogueId, CatalogueKind, Class, Code, Description, Identifier, NoticeEvent,
    OrderIdKind, Rank, Site, Status, Version,
};

/// Reads the `data` of a third-party store's order event.
pub(super) fn read_order(
    data: &Members<'_>,
    site: &Site,
    rank: Rank,
    context: &mut Context,
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
    let fields = vec![
        (OrderIdKind::StoreOrder, notice.in_store(notice.entity_id), "data.entityId"),
        (OrderIdKind::StoreOrderId, notice.in_store(order_id), "data.data.orderId"),
    ];
    let names = names::of_order(fields, &mut context.oddities.names_unreadable, no_entity)?;
    let statuses: Vec<String> = [payment, fulfillment]
        .into_iter()
        .filter_map(|status| status.and_then(text).map(|status| short_text(&status)))
        .filter(|status| !status.is_empty())
        .collect();
    let said = (!statuses.is_empty()).then(|| short_text(&statuses.join(" ")));
    let fingerprint = fingerprint(&NoticeText { format: 2, said: said.as_deref() });
    let version = Version {
        class: if rank == Rank::Created { Class::Creation } else { Class::Later },
        event_timestamp: context.event_timestamp,
        observed_at: 0,
        rank,
        status: Status::Unknown,
        fingerprint,
    };
    Ok(NoticeEvent { names, version, said })
}

/// Reads the `data` of a third-party store's product or category event.
pub(super) fn read_entry(
    data: &Members<'_>,
    site: &Site,
    kind: CatalogueKind,
    rank: Rank,
    event_timestamp: i64,
) -> Result<CatalogueEvent, Fault> {
    let notice = read(data, site)?;
    let identifier = notice.in_store(notice.entity_id).required("data.entityId", no_entity)?;
    let entry = CatalogueId { kind, identifier };
    let description = (rank != Rank::Deleted).then(Description::default);
    Ok(catalogue::event(entry, rank, event_timestamp, description))
}

/// The parts that every notice has.
struct Common<'a> {
    store_id: Identifier,
    entity_id: Option<Value<'a>>,
    data: Option<Value<'a>>,
}

impl Common<'_> {
    /// Reads the name of an entity within the notice's store. A slash in either part is escaped, so
    /// the one between them separates them.
    fn in_store(&self, name: Option<Value<'_>>) -> Found {
        let name = match names::read(name) {
            Found::Name(name) => name,
            other @ (Found::Nothing | Found::Unreadable(_)) => return other,
        };
        let [store_id, name] = [&self.store_id, &name]
            .map(|part| part.as_str().replace('%', "%25").replace('/', "%2F"));
        match Identifier::parse(&format!("{store_id}/{name}")) {
            Ok(name) => Found::Name(name),
            Err(_) => Found::Unreadable("with its store's id, is longer than 256 bytes"),
        }
    }
}

fn read<'a>(data: &Members<'a>, site: &Site) -> Result<Common<'a>, Fault> {
    let [site_alias, store_id, entity_id, inner] =
        data.fields(["siteAlias", "storeId", "entityId", "data"]);
    let is_same = match names::read(site_alias) {
        Found::Name(alias) => alias == site.0,
        Found::Nothing | Found::Unreadable(_) => true,
    };
    if !is_same {
        let detail = "data.siteAlias: expected the same as resource_data.site_name, found another";
        return Err(Fault::new(Code::SiteMismatch, detail));
    }
    let store_id = names::read(store_id).required("data.storeId", || {
        Fault::expected(Code::NoticeNoIdentity, "data.storeId", "a store's id", store_id)
    })?;
    Ok(Common { store_id, entity_id, data: inner.filter(|inner| inner.get().starts_with('{')) })
}

fn no_entity() -> Fault {
    Fault::new(Code::NoticeNoIdentity, "data: expected entityId, found none")
}

/// The content of a notice. A change of this form changes every fingerprint, so it needs a new
/// format number.
#[derive(Serialize)]
struct NoticeText<'a> {
    format: u32,
    said: Option<&'a str>,
}
