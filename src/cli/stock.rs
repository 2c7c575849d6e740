//! `stock list`, `stock show` and `stock export`

use std::io;

use anyhow::Context;
use comfy_table::Cell;

use super::output::Output;
use super::table::{
    Column, Listing, optional, printable, quantity, text, write_facts, write_heading, write_table,
};
use super::{ExitStatus, Format, StockCommand, sites};
use crate::console::views::{HoldView, StockDetailView, StockItemView};
use crate::domain::{Site, StockKey};
use crate::requests::items::{self, Create, ItemError};
use crate::store::{HeldBy, PageRequest, StockDetail, Store};

/// Items asked for at a time.
const PAGE: usize = 500;

/// Does what `stock` was told to.
pub async fn run(
    store: &dyn Store,
    command: &StockCommand,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    match command {
        StockCommand::Export => export(store, output).await,
        StockCommand::List { site } => list(store, site.as_ref(), output).await,
        StockCommand::Show { site, key } => show(store, site, key, output).await,
    }
}

/// Writes every stock item, of one site or of all, page by page.
async fn list(
    store: &dyn Store,
    site: Option<&Site>,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let Some(sites) = sites::chosen(store, site, output).await? else {
        return Ok(ExitStatus::NotHeld);
    };
    let mut listing = Listing::new(&LIST_COLUMNS, output.width);
    for site in &sites {
        let mut page = PageRequest::first(PAGE);
        loop {
            let found = store.stock(site, None, &page).await;
            let found = found.with_context(|| format!("cannot list the stock of {site}"))?;
            let mut items = found.items.iter().map(StockItemView::from);
            match output.format {
                Format::Table => listing.add(output.out, items.map(|item| list_row(&item)))?,
                Format::Json => items.try_for_each(|item| output.json(&item))?,
            }
            let Some(next) = found.next else { break };
            page.after = Some(next);
        }
    }
    let is_shown = listing.finish(output.out)?;
    if !is_shown && output.format == Format::Table {
        output.say("no stock item was counted yet")?;
    }
    Ok(ExitStatus::Done)
}

const LIST_COLUMNS: [Column; 9] = [
    Column::Text("SITE"),
    Column::Text("KEY"),
    Column::Text("NAME"),
    Column::Number("RECEIVED"),
    Column::Number("COMMITTED"),
    Column::Number("FULFILLED"),
    Column::Number("ON HAND"),
    Column::Number("AVAILABLE"),
    Column::Text(""),
];

fn list_row(item: &StockItemView) -> Vec<Cell> {
    vec![
        text(&item.site),
        text(&item.key),
        optional(item.name.as_deref()),
        quantity(&item.counts.received),
        quantity(&item.counts.committed),
        quantity(&item.counts.fulfilled),
        quantity(&item.counts.on_hand),
        available(item),
        text(if item.tracked { "" } else { "not tracked" }),
    ]
}

/// What is available; less than nothing stands out where that is an oversale.
fn available(item: &StockItemView) -> Cell {
    let units = &item.counts.available;
    if item.tracked { quantity(units) } else { text(units) }
}

/// Writes every stock item of all sites for another program.
async fn export(store: &dyn Store, output: &mut Output<'_>) -> anyhow::Result<ExitStatus> {
    if output.format == Format::Json {
        return list(store, None, output).await;
    }
    let mut csv = csv::Writer::from_writer(&mut *output.out);
    csv.write_record(EXPORT_COLUMNS).map_err(io::Error::from)?;
    for site in store.sites().await.context("cannot list the sites")? {
        let mut page = PageRequest::first(PAGE);
        loop {
            let found = store.stock(&site, None, &page).await;
            let found = found.with_context(|| format!("cannot list the stock of {site}"))?;
            for item in found.items.iter().map(StockItemView::from) {
                csv.write_record(export_row(&item)).map_err(io::Error::from)?;
            }
            let Some(next) = found.next else { break };
            page.after = Some(next);
        }
    }
    csv.flush()?;
    Ok(ExitStatus::Done)
}

const EXPORT_COLUMNS: [&str; 8] =
    ["site", "key", "name", "received", "committed", "fulfilled", "on_hand", "available"];

fn export_row(item: &StockItemView) -> [String; 8] {
    [
        item.site.clone(),
        item.key.clone(),
        no_formula(printable(item.name.as_deref().unwrap_or_default(), false)),
        item.counts.received.clone(),
        item.counts.committed.clone(),
        item.counts.fulfilled.clone(),
        item.counts.on_hand.clone(),
        item.counts.available.clone(),
    ]
}

/// A name as text also where a spreadsheet would take it for a formula.
fn no_formula(name: String) -> String {
    if name.starts_with(['=', '+', '-', '@']) { format!("'{name}") } else { name }
}

/// Writes one stock item and every order that holds some of it.
async fn show(
    store: &dyn Store,
    site: &Site,
    name: &str,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let detail = match items::resolve(store, site, name, Create::Never).await {
        Ok(key) => whole_detail(store, site, &key).await?,
        Err(ItemError::Unknown { .. }) => None,
        Err(ItemError::UnknownSite { .. }) => {
            sites::is_known(store, site, output).await?;
            return Ok(ExitStatus::NotHeld);
        }
        Err(error @ ItemError::Ambiguous { .. }) => {
            output.say(error)?;
            return Ok(ExitStatus::NotHeld);
        }
        Err(error @ (ItemError::Invalid { .. } | ItemError::Store(_))) => return Err(error.into()),
    };
    let Some(detail) = detail else {
        output.say(format_args!("{} of {site} was never counted", printable(name, false)))?;
        return Ok(ExitStatus::NotHeld);
    };
    // Commands ask no broker: what is queued is the server's to say.
    let view = StockDetailView::new(&detail, None, None);
    match output.format {
        Format::Table => write_detail(&view, output)?,
        Format::Json => output.json(&view)?,
    }
    Ok(ExitStatus::Done)
}

/// The item with all pages of its holds. Pages are read one after the other, so an order that
/// changes in between may be seen in its old or its new state.
async fn whole_detail(
    store: &dyn Store,
    site: &Site,
    key: &StockKey,
) -> anyhow::Result<Option<StockDetail>> {
    let mut page = PageRequest::first(PAGE);
    let mut holds: Vec<HeldBy> = Vec::new();
    loop {
        let found = store.stock_item(site, key, &page).await;
        let found = found.with_context(|| format!("cannot read {key} of {site}"))?;
        let Some(mut detail) = found else { return Ok(None) };
        holds.append(&mut detail.holds.items);
        let Some(next) = detail.holds.next.take() else {
            detail.holds.items = holds;
            return Ok(Some(detail));
        };
        page.after = Some(next);
    }
}

fn write_detail(view: &StockDetailView, output: &mut Output<'_>) -> anyhow::Result<()> {
    let item = &view.item;
    let mut facts = vec![
        ("site", text(&item.site)),
        ("key", text(&item.key)),
        ("name", optional(item.name.as_deref())),
        ("received", quantity(&item.counts.received)),
        ("committed", quantity(&item.counts.committed)),
        ("fulfilled", quantity(&item.counts.fulfilled)),
        ("on hand", quantity(&item.counts.on_hand)),
        ("available", available(item)),
        (
            "closed orders",
            text(&format!("{}, fulfilled {}", view.closed.orders, view.closed.fulfilled)),
        ),
        ("dead letters of the site", Cell::new(view.pending.dead)),
    ];
    if !item.tracked {
        facts.push(("tracked", text("no: it is in no oversale figure")));
    }
    write_facts(output.out, output.width, facts)?;
    write_heading(output.out, "Held by")?;
    if view.holds.is_empty() {
        writeln!(output.out, "no order")?;
        return Ok(());
    }
    let columns = [Column::Text("ORDER"), Column::Number("COMMITTED"), Column::Number("FULFILLED")];
    let row = |hold: &HoldView| {
        vec![text(&hold.order), quantity(&hold.committed), quantity(&hold.fulfilled)]
    };
    write_table(output.out, output.width, &columns, view.holds.iter().map(row))?;
    Ok(())
}
