//! Products and categories of the native store.

use serde::Serialize;

use super::json::{Value, present, text};
use super::{Fault, inner_fields, read_identifier, read_lenient, read_list};
use crate::domain::version::fingerprint;
use crate::domain::{
    CatalogueEvent, CatalogueId, CatalogueKind, Code, Description, IDENTIFIER_BYTES_MAX,
    Identifier, Rank, Status, StockKey, StockKeyKind, Version,
};

/// Reads the `data` of a product or category event.
///
/// Only the id is a rule's business. The rest gives stock items their names, so what cannot be
/// read of it is left out.
pub(super) fn read(
    data: Value<'_>,
    kind: CatalogueKind,
    rank: Rank,
    event_timestamp: i64,
) -> Result<CatalogueEvent, Fault> {
    let [id, name, title, external_id, sku, variations] = inner_fields(
        data,
        ["id", "name", "title", "external_id", "sku", "variations"],
        format_args!("data"),
    )?;
    let identifier = read_identifier(id, format_args!("data.id"))?
        .ok_or_else(|| Fault::expected(Code::CatalogueNoIdentity, "data.id", "a string", id))?;
    let description = (rank != Rank::Deleted).then(|| {
        let mut description = Description {
            name: read_name(if kind == CatalogueKind::Category { title } else { name }),
            external_id: read_lenient(external_id),
            sku: read_lenient(sku),
            stock_keys: Vec::new(),
        };
        if kind == CatalogueKind::Product {
            description.stock_keys = stock_keys(&identifier, &description, variations);
        }
        description
    });
    Ok(event(CatalogueId { kind, identifier }, rank, event_timestamp, description))
}

/// An event of an entry, with its version.
pub(super) fn event(
    entry: CatalogueId,
    rank: Rank,
    event_timestamp: i64,
    description: Option<Description>,
) -> CatalogueEvent {
    let fingerprint = fingerprint(&EntryText { description: description.as_ref(), format: 1 });
    let version = Version { event_timestamp, rank, status: Status::Unknown, fingerprint };
    CatalogueEvent { entry, version, description }
}

/// What the state keeps of an entry's event. A change of this form changes every fingerprint: it
/// needs a new format number.
#[derive(Serialize)]
struct EntryText<'a> {
    description: Option<&'a Description>,
    format: u32,
}

/// A name to show: control characters made spaces, cut to the length of an identifier.
fn read_name(value: Option<Value<'_>>) -> Option<String> {
    let spaced = value.and_then(text)?.replace(char::is_control, " ");
    let mut name = spaced.trim().to_owned();
    name.truncate(name.floor_char_boundary(IDENTIFIER_BYTES_MAX));
    (!name.is_empty()).then_some(name)
}

/// Every stock key under which a line of this product may come, in canonical order.
fn stock_keys(
    id: &Identifier,
    description: &Description,
    variations: Option<Value<'_>>,
) -> Vec<StockKey> {
    let mut names = vec![
        (StockKeyKind::Product, Some(id.clone())),
        (StockKeyKind::ExternalProduct, description.external_id.clone()),
        (StockKeyKind::Sku, description.sku.clone()),
    ];
    let variations = present(variations)
        .and_then(|variations| read_list(variations, format_args!("data.variations")).ok())
        .unwrap_or_default();
    for variation in variations.into_iter().filter(|variation| variation.get().starts_with('{')) {
        let fields =
            inner_fields(variation, ["id", "external_id", "sku"], format_args!("data.variations"));
        if let Ok([id, external_id, sku]) = fields {
            names.push((StockKeyKind::Variation, read_lenient(id)));
            names.push((StockKeyKind::ExternalVariation, read_lenient(external_id)));
            names.push((StockKeyKind::Sku, read_lenient(sku)));
        }
    }
    let mut keys: Vec<_> = names
        .into_iter()
        .filter_map(|(kind, identifier)| identifier.map(|identifier| StockKey { kind, identifier }))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}
