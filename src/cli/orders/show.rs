//! `orders show`

use anyhow::Context;
use comfy_table::Cell;

use crate::cli::output::Output;
use crate::cli::table::{
    Column, optional, quantity, text, write_facts, write_heading, write_table, write_warning,
};
use crate::cli::{ExitStatus, Format, sites};
use crate::console::lookup::{self, OrderError};
use crate::console::views::{
    CorrectionView, LineView, OrderHoldView, OrderView, RefundView, SnapshotView, TimelineEntryView,
};
use crate::domain::Site;
use crate::store::Store;

/// Writes what an order holds and why, its lines, and what happened to it.
pub(super) async fn run(
    store: &dyn Store,
    site: &Site,
    name: &str,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let order = match lookup::find(store, site, name).await {
        Ok(order) => order,
        Err(OrderError::UnknownSite(_)) => {
            sites::is_known(store, site, output).await?;
            return Ok(ExitStatus::NotHeld);
        }
        Err(
            error @ (OrderError::Ambiguous { .. }
            | OrderError::Closed { .. }
            | OrderError::Unknown { .. }),
        ) => {
            output.say(error)?;
            return Ok(ExitStatus::NotHeld);
        }
        Err(error @ (OrderError::Invalid { .. } | OrderError::Store(_))) => {
            return Err(error.into());
        }
    };
    let in_force = store.policy().await.context("cannot read the policy in force")?;
    let policy = in_force.map(|in_force| in_force.policy).unwrap_or_default();
    let view = OrderView::new(&order, &policy);
    match output.format {
        Format::Table => write_order(&view, output)?,
        Format::Json => output.json(&view)?,
    }
    Ok(ExitStatus::Done)
}

fn write_order(order: &OrderView, output: &mut Output<'_>) -> anyhow::Result<()> {
    let names: Vec<&str> = order.names.iter().map(|name| name.name.as_str()).collect();
    let mut facts = vec![("site", text(&order.site)), ("order", text(&order.order))];
    if !names.is_empty() {
        facts.push(("also", text(&names.join(", "))));
    }
    facts.push(("status", text(&order.status)));
    facts.push(("mode", optional(order.mode)));
    facts.push(("left", text(order.left_since.as_deref().unwrap_or("no"))));
    facts.push(("revision", text(&order.revision)));
    write_facts(output.out, output.width, facts)?;
    writeln!(output.out, "{}", order.why.text)?;
    for remark in remarks(order) {
        write_warning(output.out, &remark)?;
    }
    write_holds("Holds", &order.holds, output)?;
    if let Some(snapshot) = &order.snapshot {
        write_lines(snapshot, output)?;
    }
    write_refunds(&order.refunds, output)?;
    write_corrections(&order.corrections, output)?;
    write_timeline(&order.timeline, output)
}

/// What a person should know before reading on.
fn remarks(order: &OrderView) -> Vec<String> {
    let mut remarks = Vec::new();
    if order.deleted {
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
    for name in order.names.iter().filter(|name| name.contested) {
        let name = crate::cli::table::printable(&name.name, false);
        remarks.push(format!("contested: {name} was seen beside several ids, and leads to none"));
    }
    let lines = |count: u64, one: &str, several: &str| match count {
        0 => None,
        1 => Some(format!("1 line {one}")),
        count => Some(format!("{count} lines {several}")),
    };
    let unmapped = u64::try_from(order.unmapped_lines).unwrap_or(u64::MAX);
    remarks.extend(lines(
        unmapped,
        "has no stock key and holds nothing",
        "have no stock key and hold nothing",
    ));
    let rekeyed = "came with another stock key: see the timeline";
    remarks.extend(lines(order.rekeyed_lines, rekeyed, rekeyed));
    remarks
}

/// Writes what an order holds under a heading.
pub(super) fn write_holds(
    heading: &str,
    holds: &[OrderHoldView],
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    write_heading(output.out, heading)?;
    if holds.is_empty() {
        writeln!(output.out, "nothing")?;
        return Ok(());
    }
    let columns = [Column::Text("KEY"), Column::Number("COMMITTED"), Column::Number("FULFILLED")];
    let row = |hold: &OrderHoldView| {
        vec![text(&hold.key), quantity(&hold.committed), quantity(&hold.fulfilled)]
    };
    write_table(output.out, output.width, &columns, holds.iter().map(row))?;
    Ok(())
}

fn write_lines(snapshot: &SnapshotView, output: &mut Output<'_>) -> anyhow::Result<()> {
    write_heading(output.out, &format!("Lines as of {}", snapshot.event_timestamp))?;
    if snapshot.lines.is_empty() {
        writeln!(output.out, "none")?;
        return Ok(());
    }
    let columns = [
        Column::Text("KEY"),
        Column::Number("QUANTITY"),
        Column::Text("NAME"),
        Column::Text("NAMES"),
    ];
    let row = |line: &LineView| {
        vec![
            optional(line.key.as_deref()),
            quantity(&line.quantity),
            optional(line.name.as_deref()),
            text(&names(line)),
        ]
    };
    write_table(output.out, output.width, &columns, snapshot.lines.iter().map(row))?;
    Ok(())
}

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

fn write_refunds(refunds: &[RefundView], output: &mut Output<'_>) -> anyhow::Result<()> {
    if refunds.is_empty() {
        return Ok(());
    }
    write_heading(output.out, "Refunds")?;
    let columns = [
        Column::Text("REFUND"),
        Column::Text("AT"),
        Column::Text("LINE"),
        Column::Number("QUANTITY"),
        Column::Text(""),
    ];
    let rows = refunds.iter().flat_map(|refund| {
        let head = || vec![text(&refund.id), text(&refund.at)];
        let line = move |line: &crate::console::views::RefundLineView| {
            let remark = if line.matched { "" } else { "no line of the order" };
            let of_line = [optional(line.id.as_deref()), quantity(&line.quantity), text(remark)];
            head().into_iter().chain(of_line).collect()
        };
        let none = || {
            let of_none = [optional(None), optional(None), text("")];
            head().into_iter().chain(of_none).collect::<Vec<Cell>>()
        };
        let without = refund.lines.is_empty().then(none);
        refund.lines.iter().map(line).chain(without).collect::<Vec<Vec<Cell>>>()
    });
    write_table(output.out, output.width, &columns, rows)?;
    Ok(())
}

fn write_corrections(
    corrections: &[CorrectionView],
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    if corrections.is_empty() {
        return Ok(());
    }
    write_heading(output.out, "Corrections")?;
    let columns = [
        Column::Text("RECEIVED"),
        Column::Text("ACTION"),
        Column::Text("REFERENCE"),
        Column::Text("BY"),
        Column::Text("IN FORCE"),
        Column::Text("REASON"),
    ];
    let row = |correction: &CorrectionView| {
        vec![
            text(&correction.received_at),
            text(correction.action),
            text(&correction.reference),
            optional(correction.actor.as_deref()),
            text(if correction.in_force { "yes" } else { "no" }),
            optional(correction.reason.as_deref()),
        ]
    };
    write_table(output.out, output.width, &columns, corrections.iter().map(row))?;
    Ok(())
}

fn write_timeline(timeline: &[TimelineEntryView], output: &mut Output<'_>) -> anyhow::Result<()> {
    write_heading(output.out, "Timeline, highest version first")?;
    if timeline.is_empty() {
        writeln!(output.out, "no event")?;
        return Ok(());
    }
    let columns = [
        Column::Text("EVENT TIME"),
        Column::Text("RECEIVED"),
        Column::Text("EVENT"),
        Column::Text("STATUS"),
        Column::Text("OUTCOME"),
        Column::Text("MESSAGE"),
    ];
    let row = |entry: &TimelineEntryView| -> Vec<Cell> {
        let mut outcome = entry.outcome.to_owned();
        if let Some(reason) = entry.reason {
            outcome = format!("{outcome}: {reason}");
        }
        if let Some(lines) = entry.rekeyed_lines {
            outcome = format!("{outcome}, {lines} rekeyed");
        }
        vec![
            text(&entry.event_timestamp),
            text(&entry.received_at),
            text(&entry.event_type),
            optional(entry.status.as_deref()),
            text(&outcome),
            text(&entry.message_id),
        ]
    };
    write_table(output.out, output.width, &columns, timeline.iter().map(row))?;
    Ok(())
}
