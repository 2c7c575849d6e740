//! `orders show`

use std::io;

use super::list;
use crate::cli::output::Output;
use crate::cli::table::{
    Column, optional, quantity, spare, text, write_facts, write_section, write_warning,
};
use crate::cli::{ExitStatus, failure, sites};
use crate::console::lookup::{self, OrderError};
use crate::console::views::{
    CorrectionView, LineView, OrderHoldView, OrderView, RefundLineView, RefundView, SnapshotView,
    TimelineEntryView,
};
use crate::domain::{Site, printable};
use crate::store::Store;

/// Shows what an order holds and why, its lines, and its history.
pub(super) async fn run(
    store: &dyn Store,
    site: &Site,
    name: &str,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let order = match lookup::find(store, site, name).await {
        Ok(order) => order,
        Err(OrderError::UnknownSite(_)) => return sites::say_unknown(store, site, output).await,
        Err(
            error @ (OrderError::Ambiguous { .. }
            | OrderError::Closed { .. }
            | OrderError::Unknown { .. }),
        ) => return failure::not_found(error, output),
        Err(error @ (OrderError::Invalid { .. } | OrderError::Store(_))) => {
            return Err(error.into());
        }
    };
    let policy = list::policy(store).await?;
    output.show(&OrderView::new(&order, &policy), write_order)?;
    Ok(ExitStatus::Done)
}

fn write_order(order: &OrderView, output: &mut Output<'_>) -> io::Result<()> {
    let names: Vec<&str> = order.head.names.iter().map(|name| name.name.as_str()).collect();
    let mut facts = vec![("site", text(&order.head.site)), ("order", text(&order.head.order))];
    if !names.is_empty() {
        facts.push(("also", text(&names.join(", "))));
    }
    facts.push(("status", text(&order.head.status)));
    facts.push(("mode", optional(order.head.mode)));
    facts.push(("left", text(order.head.left_since.as_deref().unwrap_or("no"))));
    facts.push(("revision", text(&order.revision)));
    write_facts(facts, output)?;
    writeln!(output.out, "{}", printable(order.head.why.text, false))?;
    for remark in remarks(order) {
        write_warning(&remark, output)?;
    }
    write_holds("Holds", &order.head.holds, output)?;
    if let Some(SnapshotView { event_timestamp, lines }) = &order.snapshot {
        write_section(&format!("Lines as of {event_timestamp}"), LINES, lines, "none", output)?;
    }
    let refunds: Vec<_> = order.refunds.iter().flat_map(refunded_lines).collect();
    if !refunds.is_empty() {
        write_section("Refunds", &refund_columns(), &refunds, "none", output)?;
    }
    if !order.corrections.is_empty() {
        write_section("Corrections", CORRECTIONS, &order.corrections, "none", output)?;
    }
    let heading = "Timeline, highest version first";
    write_section(heading, TIMELINE, &order.timeline, "no event", output)
}

/// What needs a person's attention.
fn remarks(order: &OrderView) -> Vec<String> {
    let mut remarks = Vec::new();
    if order.head.deleted {
        remarks.push("deleted".to_owned());
    }
    if order.after_deletion {
        remarks.push("a snapshot is newer than the deletion: `orders hold` reinstates it".into());
    }
    if order.waiting {
        remarks.push("waits for its first snapshot".to_owned());
    }
    if order.ambiguous {
        remarks.push("ambiguous: two events of one time contradict each other".to_owned());
    }
    for name in order.head.names.iter().filter(|name| name.contested) {
        let name = printable(&name.name, false);
        remarks.push(format!("contested: {name} was seen beside several ids, and leads to none"));
    }
    let lines = |count: u64, one: &str, several: &str| match count {
        0 => None,
        1 => Some(format!("1 line {one}")),
        count => Some(format!("{count} lines {several}")),
    };
    let unmapped = u64::try_from(order.unmapped_lines).unwrap_or(u64::MAX);
    let (one, several) =
        ("has no stock key and holds nothing", "have no stock key and hold nothing");
    remarks.extend(lines(unmapped, one, several));
    let rekeyed = "came with another stock key: see the timeline";
    remarks.extend(lines(order.rekeyed_lines, rekeyed, rekeyed));
    remarks
}

/// Writes what an order holds under a heading.
pub(super) fn write_holds(
    heading: &str,
    holds: &[OrderHoldView],
    output: &mut Output<'_>,
) -> io::Result<()> {
    write_section(heading, HOLDS, holds, "nothing", output)
}

const HOLDS: &[Column<OrderHoldView>] = &[
    Column::name("KEY", |hold| text(&hold.key)),
    Column::number("COMMITTED", |hold| quantity(&hold.committed)),
    Column::number("FULFILLED", |hold| quantity(&hold.fulfilled)),
];

const LINES: &[Column<LineView>] = &[
    Column::name("KEY", |line| optional(line.key.as_deref())),
    Column::number("QUANTITY", |line| quantity(&line.quantity)),
    Column::text("NAME", |line| optional(line.name.as_deref())),
    spare(1, Column::text("NAMES", |line| text(&names(line)))),
];

fn names(line: &LineView) -> String {
    let names = [
        ("id", &line.id),
        ("variation_id", &line.variation_id),
        ("product_id", &line.product_id),
        ("external_variation_id", &line.external_variation_id),
        ("external_product_id", &line.external_product_id),
        ("sku", &line.sku),
    ];
    let given = names
        .iter()
        .filter_map(|(field, name)| name.as_ref().map(|name| format!("{field}={name}")));
    given.collect::<Vec<_>>().join(" ")
}

/// A refund, and one of its lines if it has any.
type RefundedLine<'a> = (&'a RefundView, Option<&'a RefundLineView>);

fn refunded_lines(refund: &RefundView) -> Vec<RefundedLine<'_>> {
    if refund.lines.is_empty() {
        return vec![(refund, None)];
    }
    refund.lines.iter().map(|line| (refund, Some(line))).collect()
}

fn refund_columns<'a>() -> [Column<RefundedLine<'a>>; 5] {
    [
        Column::name("REFUND", |(refund, _)| text(&refund.id)),
        spare(1, Column::name("AT", |(refund, _)| text(&refund.at))),
        Column::name("LINE", |(_, line)| optional(line.and_then(|line| line.id.as_deref()))),
        Column::number("QUANTITY", |(_, line)| {
            line.map_or_else(|| optional(None), |line| quantity(&line.quantity))
        }),
        Column::text("", |(_, line)| match line {
            Some(line) if !line.matched => text("no line of the order"),
            Some(_) | None => text(""),
        }),
    ]
}

const CORRECTIONS: &[Column<CorrectionView>] = &[
    spare(2, Column::name("RECEIVED", |correction| text(&correction.received_at))),
    Column::name("ACTION", |correction| text(correction.action)),
    Column::name("REFERENCE", |correction| text(&correction.reference)),
    spare(1, Column::text("BY", |correction| optional(correction.actor.as_deref()))),
    Column::name("IN FORCE", |correction| text(if correction.in_force { "yes" } else { "no" })),
    Column::text("REASON", |correction| optional(correction.reason.as_deref())),
];

const TIMELINE: &[Column<TimelineEntryView>] = &[
    Column::name("EVENT TIME", |entry| text(&entry.event_timestamp)),
    spare(3, Column::name("RECEIVED", |entry| text(&entry.received_at))),
    Column::text("EVENT", |entry| text(&entry.event_type)),
    spare(1, Column::text("STATUS", |entry| optional(entry.status.as_deref()))),
    Column::text("OUTCOME", |entry| text(&outcome(entry))),
    spare(2, Column::name("MESSAGE", |entry| text(&entry.message_id))),
];

fn outcome(entry: &TimelineEntryView) -> String {
    let reason = entry.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    let rekeyed = entry.rekeyed_lines.map(|lines| format!(", {lines} rekeyed")).unwrap_or_default();
    format!("{}{reason}{rekeyed}", entry.outcome)
}
