//! `orders show`

use anyhow::Context;
use comfy_table::Cell;

use super::output::Output;
use super::table::{
    Column, optional, quantity, text, write_facts, write_heading, write_table, write_warning,
};
use super::{ExitStatus, Format, OrdersCommand, sites};
use crate::console::views::{LineView, OrderHoldView, OrderView, SnapshotView, TimelineEntryView};
use crate::domain::{OrderId, Site};
use crate::store::Store;

/// Does what `orders` was told to.
pub async fn run(
    store: &dyn Store,
    command: &OrdersCommand,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let OrdersCommand::Show { site, order } = command;
    show(store, site, order, output).await
}

/// Writes what an order holds, its lines, and what happened to it.
async fn show(
    store: &dyn Store,
    site: &Site,
    order: &OrderId,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let stored = store.order(site, order).await;
    let stored = stored.with_context(|| format!("cannot read {order} of {site}"))?;
    let Some(stored) = stored else {
        let closed = store.closed_order(site, order).await;
        let closed = closed.with_context(|| format!("cannot read {order} of {site}"))?;
        match closed {
            Some(_) => output.say(format_args!(
                "{order} of {site} was closed: what has left for it stays counted, its details are \
                 gone"
            ))?,
            None if sites::is_known(store, site, output).await? => {
                output.say(format_args!("no event of {order} of {site} was applied"))?;
            }
            None => {}
        }
        return Ok(ExitStatus::NotHeld);
    };
    let in_force = store.policy().await.context("cannot read the policy in force")?;
    let policy = in_force.map(|in_force| in_force.policy).unwrap_or_default();
    let view = OrderView::new(&stored, &policy);
    match output.format {
        Format::Table => write_order(&view, output)?,
        Format::Json => output.json(&view)?,
    }
    Ok(ExitStatus::Done)
}

fn write_order(order: &OrderView, output: &mut Output<'_>) -> anyhow::Result<()> {
    let mut facts = vec![
        ("site", text(&order.site)),
        ("order", text(&order.order)),
        ("status", text(&order.status)),
    ];
    if let Some(payment) = &order.payment_status {
        facts.push(("payment", text(payment)));
    }
    facts.push(("mode", optional(order.mode)));
    facts.push(("ever shipped", text(if order.ever_shipped { "yes" } else { "no" })));
    facts.push(("revision", text(&order.revision)));
    write_facts(output.out, output.width, facts)?;
    for remark in remarks(order) {
        write_warning(output.out, &remark)?;
    }
    write_holds(&order.holds, output)?;
    if let Some(snapshot) = &order.snapshot {
        write_lines(snapshot, output)?;
    }
    write_timeline(&order.timeline, output)
}

/// What a person should know before reading on.
fn remarks(order: &OrderView) -> Vec<String> {
    let mut remarks = Vec::new();
    if order.deleted {
        remarks.push("deleted; that is final".to_owned());
    }
    if order.awaiting_details {
        remarks
            .push("awaits its details: only notices of it are known, so it holds nothing".into());
    }
    if order.ambiguous {
        remarks.push("ambiguous: two events of one time contradict each other".to_owned());
    }
    if order.alias_conflict {
        remarks.push("in conflict: another order of the site bears the same id".to_owned());
    }
    match order.unmapped_lines {
        0 => {}
        1 => remarks.push("1 line has no stock key and holds nothing".to_owned()),
        lines => remarks.push(format!("{lines} lines have no stock key and hold nothing")),
    }
    match order.rekeyed_lines {
        0 => {}
        1 => remarks.push("1 line came with another stock key: see the timeline".to_owned()),
        lines => {
            remarks.push(format!("{lines} lines came with another stock key: see the timeline"));
        }
    }
    remarks
}

fn write_holds(holds: &[OrderHoldView], output: &mut Output<'_>) -> anyhow::Result<()> {
    write_heading(output.out, "Holds")?;
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
    let columns = [Column::Text("KEY"), Column::Number("QUANTITY"), Column::Text("NAMES")];
    let row = |line: &LineView| {
        vec![optional(line.key.as_deref()), quantity(&line.quantity), text(&names(line))]
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

fn write_timeline(timeline: &[TimelineEntryView], output: &mut Output<'_>) -> anyhow::Result<()> {
    write_heading(output.out, "Timeline, highest version first")?;
    let columns = [
        Column::Text("EVENT TIME"),
        Column::Text("RECEIVED"),
        Column::Text("EVENT"),
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
            text(&outcome),
            text(&entry.message_id),
        ]
    };
    write_table(output.out, output.width, &columns, timeline.iter().map(row))?;
    Ok(())
}
