//! Refunds: in an order's `refunds`, and as events of their own.

use std::fmt;

use serde::Serialize;

use super::json::{Value, present};
use super::{Fault, inner_fields, read_identifier, read_line, read_list, read_quantity};
use crate::domain::event::{Refund, RefundEntry, RefundEvent, RefundLine};
use crate::domain::version::fingerprint;
use crate::domain::{Code, Fingerprint, OrderId, OrderIdKind};

/// The refunds that an order carries.
#[derive(Debug, Default)]
pub(super) struct Refunds {
    /// In canonical order, of two of one id only the one that counts.
    pub(super) refunds: Vec<Refund>,
    /// Refunds with lines that bear no id.
    pub(super) without_id: u32,
}

/// Reads an order's `refunds`; null and absence mean that there are none.
pub(super) fn read_all(value: Option<Value<'_>>, event_timestamp: i64) -> Result<Refunds, Fault> {
    const PATH: &str = "data.refunds";
    let mut found = Refunds::default();
    let Some(value) = present(value) else { return Ok(found) };
    for (place, refund) in read_list(value, format_args!("{PATH}"))?.into_iter().enumerate() {
        let path = format_args!("{PATH}[{place}]");
        let [id, items] = read_line(refund, ["id", "items"], path)?;
        found.add(read_entry(id, items, path, event_timestamp, false)?);
    }
    found.refunds.sort_unstable_by(|a, b| (&a.id, &b.entry).cmp(&(&b.id, &a.entry)));
    found.refunds.dedup_by(|later, kept| later.id == kept.id);
    Ok(found)
}

/// Reads the `data` of a refund event; `known` gets the order's name as soon as that is read.
pub(super) fn read_event(
    data: Value<'_>,
    event_timestamp: i64,
    known: &mut Option<OrderId>,
) -> Result<RefundEvent, Fault> {
    let [order_id, id, items] =
        inner_fields(data, ["order_id", "id", "items"], format_args!("data"))?;
    let identifier =
        read_identifier(order_id, format_args!("data.order_id"))?.ok_or_else(|| {
            Fault::expected(Code::RefundNoOrder, "data.order_id", "an order's id", order_id)
        })?;
    let order = OrderId { kind: OrderIdKind::Id, identifier };
    *known = Some(order.clone());
    let (id, entry) = read_entry(id, items, format_args!("data"), event_timestamp, true)?;
    Ok(RefundEvent { order, event_timestamp, refund: id.map(|id| Refund { id, entry }) })
}

impl Refunds {
    /// Adds a refund, or counts one that bears no id; an empty one says nothing.
    fn add(&mut self, (id, entry): (Option<super::Identifier>, RefundEntry)) {
        match id {
            Some(id) => self.refunds.push(Refund { id, entry }),
            None => self.without_id += u32::from(!entry.lines.is_empty()),
        }
    }
}

fn read_entry(
    id: Option<Value<'_>>,
    items: Option<Value<'_>>,
    path: fmt::Arguments<'_>,
    event_timestamp: i64,
    from_event: bool,
) -> Result<(Option<super::Identifier>, RefundEntry), Fault> {
    let id = read_identifier(id, format_args!("{path}.id"))?;
    let mut lines = match present(items) {
        None => Vec::new(),
        Some(items) => read_list(items, format_args!("{path}.items"))?
            .into_iter()
            .enumerate()
            .map(|(place, line)| read_refund_line(line, format_args!("{path}.items[{place}]")))
            .collect::<Result<Vec<_>, _>>()?,
    };
    lines.sort_unstable();
    let fingerprint = refund_fingerprint(&lines);
    Ok((id, RefundEntry { event_timestamp, from_event, fingerprint, lines }))
}

fn read_refund_line(line: Value<'_>, path: fmt::Arguments<'_>) -> Result<RefundLine, Fault> {
    let [id, quantity] = read_line(line, ["id", "quantity"], path)?;
    Ok(RefundLine {
        id: read_identifier(id, format_args!("{path}.id"))?,
        quantity: read_quantity(quantity, format_args!("{path}.quantity"))?,
    })
}

/// What the state keeps of a refund beside its id and time. A change of this form changes every
/// fingerprint: it needs a new format number.
#[derive(Serialize)]
struct RefundText<'a> {
    format: u32,
    lines: &'a [RefundLine],
}

fn refund_fingerprint(lines: &[RefundLine]) -> Fingerprint {
    fingerprint(&RefundText { format: 1, lines })
}
