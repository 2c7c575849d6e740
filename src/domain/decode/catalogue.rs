//! Products and categories of the native store.

use serde::Serialize;

use super::json::{Members, Value, present, text};
use super::{Context, Fault, inner_fields, names, read_list, read_name};
use crate::domain::version::fingerprint;
use crate::domain::{
    CatalogueEvent, CatalogueId, CatalogueKind, Class, Code, Description, Identifier, LineNames,
    Rank, Status, StockKeyKind, Version,
};

/// Reads the `data` of a product or category event.
///
/// Rules read only the id. The rest gives stock items their names, so its unreadable parts are left
/// out.
pub(super) fn read(
    data: &Members<'_>,
    kind: CatalogueKind,
    rank: Rank,
    context: &mut Context,
) -> Result<CatalogueEvent, Fault> {
    let [id, name, title, external_id, sku, variations, kind_of_goods, managed] = data.fields([
        "id",
        "name",
        "title",
        "external_id",
        "sku",
        "variations",
        "type",
        "managed_inventory",
    ]);
    let identifier = names::read(id).required("data.id", || {
        Fault::expected(Code::CatalogueNoIdentity, "data.id", "a string", id)
    })?;
    let unreadable = &mut context.oddities.names_unreadable;
    let description = (rank != Rank::Deleted).then(|| {
        let mut description = Description {
            name: read_name(if kind == CatalogueKind::Category { title } else { name }),
            external_id: names::read(external_id).or_count(unreadable),
            sku: names::read(sku).or_count(unreadable),
            is_untracked: is_untracked(kind_of_goods, managed),
            goods: Vec::new(),
        };
        if kind == CatalogueKind::Product {
            description.goods = goods(&identifier, &description, variations, unreadable);
        }
        description
    });
    let event_timestamp = context.event_timestamp;
    Ok(event(CatalogueId { kind, identifier }, rank, event_timestamp, description))
}

/// Returns whether the stock of a product is not counted.
fn is_untracked(kind_of_goods: Option<Value<'_>>, managed: Option<Value<'_>>) -> bool {
    let without_stock = kind_of_goods.and_then(text).is_some_and(|kind| {
        ["DONATION", "SERVICE"].iter().any(|without| kind.trim().eq_ignore_ascii_case(without))
    });
    without_stock || managed.is_some_and(|managed| managed.get() == "false")
}

/// Creates an event of an entry, with its version.
pub(super) fn event(
    entry: CatalogueId,
    rank: Rank,
    event_timestamp: i64,
    description: Option<Description>,
) -> CatalogueEvent {
    let fingerprint = fingerprint(&EntryText { description: description.as_ref(), format: 2 });
    let version = Version {
        class: Class::Later,
        event_timestamp,
        observed_at: 0,
        rank,
        status: Status::Unknown,
        fingerprint,
    };
    CatalogueEvent { entry, version, description }
}

/// The parts of an entry's event that the state keeps. A change of this form changes every
/// fingerprint, so it needs a new format number.
#[derive(Serialize)]
struct EntryText<'a> {
    description: Option<&'a Description>,
    format: u32,
}

/// Returns the names of this product's goods: those of the product itself, and those of each
/// variation.
fn goods(
    id: &Identifier,
    description: &Description,
    variations: Option<Value<'_>>,
    unreadable: &mut u32,
) -> Vec<LineNames> {
    let named = |names: [(StockKeyKind, Option<Identifier>); 3]| -> LineNames {
        names.into_iter().filter_map(|(kind, name)| Some((kind, name?))).collect()
    };
    let mut goods = vec![named([
        (StockKeyKind::Product, Some(id.clone())),
        (StockKeyKind::ExternalProduct, description.external_id.clone()),
        (StockKeyKind::Sku, description.sku.clone()),
    ])];
    let variations = present(variations)
        .and_then(|variations| read_list(variations, format_args!("data.variations")).ok())
        .unwrap_or_default();
    for variation in variations.into_iter().filter(|variation| variation.get().starts_with('{')) {
        let fields =
            inner_fields(variation, ["id", "external_id", "sku"], format_args!("data.variations"));
        if let Ok([id, external_id, sku]) = fields {
            goods.push(named([
                (StockKeyKind::Variation, names::read(id).or_count(unreadable)),
                (StockKeyKind::ExternalVariation, names::read(external_id).or_count(unreadable)),
                (StockKeyKind::Sku, names::read(sku).or_count(unreadable)),
            ]));
        }
    }
    goods.sort_unstable();
    goods.dedup();
    goods.retain(|names| !names.is_empty());
    goods
}
