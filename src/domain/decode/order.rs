//! Orders: the full snapshot that creations and updates carry, and deletions.

use std::fmt;

use serde::Serialize;

use super::json::{Value, text};
use super::{Fault, inner_fields, read_identifier, read_line, read_list, read_quantity, refund};
use crate::domain::event::{Line, OrderEvent, Refund, Snapshot};
use crate::domain::version::fingerprint;
use crate::domain::{Code, Fingerprint, Identifier, OrderId, OrderIdKind, Rank, Status, Version};

/// Reads the `data` of an order event; `known` gets the order's name as soon as that is read.
pub(super) fn read(
    data: Value<'_>,
    rank: Rank,
    event_timestamp: i64,
    known: &mut Option<OrderId>,
) -> Result<OrderEvent, Fault> {
    let [id, external_id, invoice_number, status, mode, items, refunds] = inner_fields(
        data,
        ["id", "external_id", "invoice_number", "status", "mode", "items", "refunds"],
        format_args!("data"),
    )?;
    let aliases = [
        (OrderIdKind::Id, id, "data.id"),
        (OrderIdKind::ExternalId, external_id, "data.external_id"),
        (OrderIdKind::InvoiceNumber, invoice_number, "data.invoice_number"),
    ]
    .into_iter()
    .filter_map(|(kind, value, path)| match read_identifier(value, format_args!("{path}")) {
        Ok(identifier) => identifier.map(|identifier| Ok(OrderId { kind, identifier })),
        Err(fault) => Some(Err(fault)),
    })
    .collect::<Result<Vec<_>, _>>()?;
    let order = aliases.first().cloned().ok_or_else(|| {
        let detail = "data: expected one of id, external_id and invoice_number, found none";
        Fault::new(Code::NoIdentity, detail)
    })?;
    *known = Some(order.clone());

    let status = status.and_then(text).map_or(Status::Unknown, |name| Status::parse(&name));
    let (snapshot, refunds) = if rank == Rank::Deleted {
        // A deletion must work whatever else is wrong with it: its lines are not read, and its
        // refunds count only if they can be read as a whole.
        (None, refund::read_all(refunds, event_timestamp).unwrap_or_default())
    } else {
        let test = mode.and_then(text).is_some_and(|mode| mode == "TEST");
        let lines = read_lines(items)?;
        (Some(Snapshot { test, lines }), refund::read_all(refunds, event_timestamp)?)
    };
    let version = Version {
        event_timestamp,
        rank: match (rank, status) {
            (Rank::Updated, Status::Cancelled) => Rank::Cancelled,
            (rank, _) => rank,
        },
        status,
        fingerprint: order_fingerprint(&aliases, status, snapshot.as_ref(), &refunds.refunds),
    };
    Ok(OrderEvent {
        order,
        aliases,
        version,
        snapshot,
        refunds: refunds.refunds,
        refunds_without_id: refunds.without_id,
    })
}

fn read_lines(items: Option<Value<'_>>) -> Result<Vec<Line>, Fault> {
    const PATH: &str = "data.items";
    let items =
        items.ok_or_else(|| Fault::expected(Code::InvalidItems, PATH, "an array", items))?;
    let mut lines = read_list(items, format_args!("{PATH}"))?
        .into_iter()
        .enumerate()
        .map(|(place, line)| read_order_line(line, format_args!("{PATH}[{place}]")))
        .collect::<Result<Vec<_>, _>>()?;
    // In canonical order, so that two snapshots with the same lines are the same snapshot.
    lines.sort_unstable();
    Ok(lines)
}

fn read_order_line(line: Value<'_>, path: fmt::Arguments<'_>) -> Result<Line, Fault> {
    const NAMES: [&str; 7] = [
        "id",
        "variation_id",
        "product_id",
        "external_variation_id",
        "external_product_id",
        "sku",
        "quantity",
    ];
    let [id, variation, product, external_variation, external_product, sku, quantity] =
        read_line(line, NAMES, path)?;
    let identifier = |value, name| read_identifier(value, format_args!("{path}.{name}"));
    Ok(Line {
        id: identifier(id, "id")?,
        variation: identifier(variation, "variation_id")?,
        product: identifier(product, "product_id")?,
        external_variation: identifier(external_variation, "external_variation_id")?,
        external_product: identifier(external_product, "external_product_id")?,
        sku: identifier(sku, "sku")?,
        quantity: read_quantity(quantity, format_args!("{path}.quantity"))?,
    })
}

/// Everything of an order event that the state keeps, under sorted keys. A change of this form
/// changes every fingerprint: it needs a new format number.
#[derive(Serialize)]
struct OrderText<'a> {
    aliases: &'a [OrderId],
    format: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<&'a [Line]>,
    refunds: Vec<(&'a Identifier, Fingerprint)>,
    status: Status,
    test: bool,
}

fn order_fingerprint(
    aliases: &[OrderId],
    status: Status,
    snapshot: Option<&Snapshot>,
    refunds: &[Refund],
) -> Fingerprint {
    fingerprint(&OrderText {
        aliases,
        format: 1,
        lines: snapshot.map(|snapshot| snapshot.lines.as_slice()),
        refunds: refunds.iter().map(|refund| (&refund.id, refund.entry.fingerprint)).collect(),
        status,
        test: snapshot.is_some_and(|snapshot| snapshot.test),
    })
}
