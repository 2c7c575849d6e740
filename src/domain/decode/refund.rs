//! Refunds: in an order's `refunds`, and as events of their own.

use std::fmt;

use serde::Serialize;

use super::json::{Members, Value, present, text};
use super::{Context, Fault, Fields, names, read_lines, read_quantity};
use crate::domain::version::fingerprint;
use crate::domain::{
    Class, Code, Fingerprint, Identifier, OrderId, OrderIdKind, Rank, Refund, RefundEntry,
    RefundEvent, RefundLine, Status, Timestamp, Version,
};

/// The refunds in an order.
#[derive(Debug, Default)]
pub(super) struct Refunds {
    /// In canonical order, one entry per id.
    pub(super) entries: Vec<Refund>,
    /// The fingerprint of each statement in the body, even of several about one id; in canonical
    /// order.
    pub(super) said: Vec<(Identifier, Fingerprint)>,
    /// The number of refunds that have lines but no id.
    pub(super) without_id: u32,
}

/// Reads an order's `refunds`; null and absence mean that there are none.
pub(super) fn read_all(value: Option<Value<'_>>, context: &mut Context) -> Result<Refunds, Fault> {
    const PATH: &str = "data.refunds";
    let mut found = Refunds::default();
    let Some(value) = present(value) else { return Ok(found) };
    let refunds = read_lines(value, ["id", "items", "created"], format_args!("{PATH}"))?;
    for (place, refund) in refunds.into_iter().enumerate() {
        found.add(read_entry(refund?, format_args!("{PATH}[{place}]"), context, false)?);
    }
    let said = found.entries.iter().map(|refund| (refund.id.clone(), refund.entry.fingerprint));
    found.said = said.collect();
    found.said.sort_unstable();
    found.entries.sort_by(|a, b| a.id.cmp(&b.id));
    found.entries.dedup_by(|other, kept| {
        let is_same = other.id == kept.id;
        if is_same {
            kept.entry.join(&other.entry);
        }
        is_same
    });
    Ok(found)
}

/// Reads the `data` of a refund event; sets `known` to the order's name as soon as it is read.
pub(super) fn read_event(
    data: &Members<'_>,
    context: &mut Context,
    known: &mut Option<OrderId>,
) -> Result<RefundEvent, Fault> {
    let [order_id, id, items, created] = data.fields(["order_id", "id", "items", "created"]);
    let identifier = names::read(order_id).required("data.order_id", || {
        Fault::expected(Code::RefundNoOrder, "data.order_id", "an order's id", order_id)
    })?;
    let order = OrderId { kind: OrderIdKind::Id, identifier };
    *known = Some(order.clone());
    let (id, entry) = read_entry([id, items, created], format_args!("data"), context, true)?;
    let version = Version {
        class: Class::Later,
        event_timestamp: context.event_timestamp,
        observed_at: 0,
        rank: Rank::Updated,
        status: Status::Unknown,
        // Two refunds may have the same lines and the same time.
        fingerprint: fingerprint(&(&id, entry.fingerprint)),
    };
    Ok(RefundEvent { order, version, refund: id.map(|id| Refund { id, entry }) })
}

impl Refunds {
    /// Adds a refund, or counts it if it has lines but no id.
    fn add(&mut self, (id, entry): (Option<Identifier>, RefundEntry)) {
        match id {
            Some(id) => self.entries.push(Refund { id, entry }),
            None => self.without_id += u32::from(!entry.lines.is_empty()),
        }
    }
}

fn read_entry(
    [id, items, created]: Fields<'_, 3>,
    path: fmt::Arguments<'_>,
    context: &mut Context,
    from_event: bool,
) -> Result<(Option<Identifier>, RefundEntry), Fault> {
    let id = names::read(id).or_count(&mut context.oddities.names_unreadable);
    let mut lines = Vec::new();
    if let Some(items) = present(items) {
        let items = read_lines(items, ["id", "quantity"], format_args!("{path}.items"))?;
        for (place, line) in items.into_iter().enumerate() {
            lines.extend(read_refund_line(line?, format_args!("{path}.items[{place}]"), context)?);
        }
    }
    lines.sort_unstable();
    let created = created.and_then(text).and_then(|text| read_created(&text));
    let fingerprint = fingerprint(&RefundText { created, format: 2, lines: &lines });
    let event_timestamp = context.event_timestamp;
    let first_seen = event_timestamp;
    let entry =
        RefundEntry { event_timestamp, from_event, fingerprint, lines, created, first_seen };
    Ok((id, entry))
}

/// Parses a time; returns `None` for one that cannot be meant.
fn read_created(text: &str) -> Option<Timestamp> {
    let time = Timestamp::parse_rfc3339(text)?;
    super::EVENT_TIMESTAMPS.contains(&time.millis()).then_some(time)
}

/// Reads a refunded line; returns `None` if it has no quantity, because it is about money.
fn read_refund_line(
    [id, quantity]: Fields<'_, 2>,
    path: fmt::Arguments<'_>,
    context: &mut Context,
) -> Result<Option<RefundLine>, Fault> {
    let id = names::read(id).or_count(&mut context.oddities.names_unreadable);
    let Some(quantity) = present(quantity) else { return Ok(None) };
    let quantity = read_quantity(Some(quantity), format_args!("{path}.quantity"), context)?;
    Ok(Some(RefundLine { id, quantity }))
}

/// The content of a refund apart from its id. A change of this form changes every fingerprint, so
/// it needs a new format number.
#[derive(Serialize)]
struct RefundText<'a> {
    created: Option<Timestamp>,
    format: u32,
    lines: &'a [RefundLine],
}
