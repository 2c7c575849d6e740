//! Orders: the full snapshot in creations and updates, and deletions.

use std::fmt;

use serde::Serialize;

use super::json::{Members, Value, text};
use super::names::{self, Found};
use super::{Context, Fault, Fields, read_lines, read_quantity, refund, short_text};
use crate::domain::version::fingerprint;
use crate::domain::{
    Class, Code, Fingerprint, Identifier, Line, LineNames, Mode, OrderEvent, OrderId, OrderIdKind,
    Rank, Snapshot, Status, StockKeyKind, Version,
};

/// Reads the `data` of an order event; sets `known` to the order's name as soon as it is read.
pub(super) fn read(
    data: &Members<'_>,
    rank: Rank,
    context: &mut Context,
    known: &mut Option<OrderId>,
) -> Result<OrderEvent, Fault> {
    let [id, external_id, invoice_number, status, mode, items, refunds] =
        data.fields(["id", "external_id", "invoice_number", "status", "mode", "items", "refunds"]);
    let fields = vec![
        (OrderIdKind::Id, names::read(id), "data.id"),
        (OrderIdKind::ExternalId, names::read(external_id), "data.external_id"),
        (OrderIdKind::InvoiceNumber, names::read(invoice_number), "data.invoice_number"),
    ];
    let names = names::of_order(fields, &mut context.oddities.names_unreadable, || {
        let detail = "data: expected one of id, external_id and invoice_number, found none";
        Fault::new(Code::NoIdentity, detail)
    })?;
    *known = Some(names.own().clone());

    let written = status.and_then(text);
    let status = written.as_deref().map_or(Status::Unknown, Status::of_sender);
    let said = written.as_deref().filter(|written| *written != status.as_str()).map(short_text);
    let said = said.filter(|said| !said.is_empty());
    let mode = mode
        .and_then(text)
        .filter(|mode| !mode.trim().is_empty())
        .map(|mode| if mode.trim().eq_ignore_ascii_case("TEST") { Mode::Test } else { Mode::Live });
    let word = if status == Status::Unknown {
        written.as_deref().unwrap_or_default().trim()
    } else {
        status.as_str()
    };
    let (snapshot, refunds) = if rank == Rank::Deleted {
        // A deletion must work whatever else is wrong with it: its lines are not read, and its
        // refunds count only if all of them can be read.
        let mut apart = context.clone();
        let refunds = refund::read_all(refunds, &mut apart);
        if refunds.is_ok() {
            *context = apart;
        }
        (None, refunds.unwrap_or_default())
    } else {
        let lines = read_items(items, context)?;
        let words = words(word, &lines);
        (Some(Snapshot { words, lines }), refund::read_all(refunds, context)?)
    };
    let lines = snapshot.as_ref().map(|snapshot| snapshot.lines.as_slice());
    let version = Version {
        class: if rank == Rank::Created { Class::Creation } else { Class::Later },
        event_timestamp: context.event_timestamp,
        observed_at: 0,
        rank: match (rank, status) {
            (Rank::Updated, Status::Cancelled) => Rank::Cancelled,
            (rank, _) => rank,
        },
        status,
        fingerprint: order_fingerprint(word, mode, lines, &refunds.said),
    };
    Ok(OrderEvent {
        names,
        version,
        said,
        mode,
        snapshot,
        refunds: refunds.entries,
        refunds_without_id: refunds.without_id,
    })
}

fn read_items(items: Option<Value<'_>>, context: &mut Context) -> Result<Vec<Line>, Fault> {
    const PATH: &str = "data.items";
    const NAMES: [&str; 8] = [
        "id",
        "variation_id",
        "product_id",
        "external_variation_id",
        "external_product_id",
        "sku",
        "quantity",
        "name",
    ];
    let items =
        items.ok_or_else(|| Fault::expected(Code::InvalidItems, PATH, "an array", items))?;
    let mut lines = read_lines(items, NAMES, format_args!("{PATH}"))?
        .into_iter()
        .enumerate()
        .map(|(place, line)| read_line(line?, format_args!("{PATH}[{place}]"), context))
        .collect::<Result<Vec<_>, _>>()?;
    // Sorted into canonical order, so that two snapshots with the same lines are the same snapshot.
    lines.sort_unstable();
    Ok(lines)
}

fn read_line(
    line: Fields<'_, 8>,
    path: fmt::Arguments<'_>,
    context: &mut Context,
) -> Result<Line, Fault> {
    let [id, variation, product, external_variation, external_product, sku, quantity, name] = line;
    let mut read = |value| -> Option<Identifier> {
        let found: Found = names::read(value);
        found.or_count(&mut context.oddities.names_unreadable)
    };
    let id = read(id);
    let names: LineNames = [
        (StockKeyKind::Variation, variation),
        (StockKeyKind::Product, product),
        (StockKeyKind::ExternalVariation, external_variation),
        (StockKeyKind::ExternalProduct, external_product),
        (StockKeyKind::Sku, sku),
    ]
    .into_iter()
    .filter_map(|(kind, value)| read(value).map(|name| (kind, name)))
    .collect();
    let quantity = read_quantity(quantity, format_args!("{path}.quantity"), context)?;
    Ok(Line { id, names, quantity, name: super::read_name(name) })
}

/// The content of a line, in the order of its fields' names, on which fingerprints depend.
#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct LineText<'a> {
    external_product: Option<&'a Identifier>,
    external_variation: Option<&'a Identifier>,
    id: Option<&'a Identifier>,
    product: Option<&'a Identifier>,
    quantity: i64,
    sku: Option<&'a Identifier>,
    variation: Option<&'a Identifier>,
}

impl<'a> LineText<'a> {
    fn of(line: &'a Line) -> Self {
        Self {
            external_product: line.names.get(StockKeyKind::ExternalProduct),
            external_variation: line.names.get(StockKeyKind::ExternalVariation),
            id: line.id.as_ref(),
            product: line.names.get(StockKeyKind::Product),
            quantity: line.quantity.millionths(),
            sku: line.names.get(StockKeyKind::Sku),
            variation: line.names.get(StockKeyKind::Variation),
        }
    }

    /// Returns the texts in canonical order; the order of the lines depends also on their names for
    /// people.
    fn all_of(lines: &'a [Line]) -> Vec<Self> {
        let mut all: Vec<Self> = lines.iter().map(Self::of).collect();
        all.sort_unstable();
        all
    }
}

/// The content of an order event, with sorted keys. A change of this form changes every
/// fingerprint, so it needs a new format number.
#[derive(Serialize)]
struct OrderText<'a> {
    format: u32,
    lines: Option<Vec<LineText<'a>>>,
    mode: Option<Mode>,
    refunds: &'a [(Identifier, Fingerprint)],
    status: &'a str,
}

fn order_fingerprint(
    status: &str,
    mode: Option<Mode>,
    lines: Option<&[Line]>,
    refunds: &[(Identifier, Fingerprint)],
) -> Fingerprint {
    fingerprint(&OrderText { format: 2, lines: lines.map(LineText::all_of), mode, refunds, status })
}

/// The words of a snapshot: its status, and the identity and the quantity of each line. A change of
/// this form disables every correction, so it needs a new format number.
#[derive(Serialize)]
struct WordsText<'a> {
    format: u32,
    lines: Vec<LineText<'a>>,
    status: &'a str,
}

fn words(status: &str, lines: &[Line]) -> Fingerprint {
    let mut lines: Vec<LineText<'_>> = lines
        .iter()
        .map(|line| match &line.id {
            Some(id) => LineText {
                external_product: None,
                external_variation: None,
                id: Some(id),
                product: None,
                quantity: line.quantity.millionths(),
                sku: None,
                variation: None,
            },
            None => LineText::of(line),
        })
        .collect();
    lines.sort_unstable();
    fingerprint(&WordsText { format: 1, lines, status })
}
