//! `stock list`, `stock show` and `stock export`

use std::io;

use anyhow::Context;
use comfy_table::Cell;

use super::output::Output;
use super::pages::Pages;
use super::table::{Column, Listing, optional, quantity, spare, text, write_facts, write_section};
use super::{ExitStatus, Format, StockCommand, failure, formula, sites};
use crate::console::views::{HoldView, StockDetailView, StockItemView};
use crate::domain::{Site, StockKey, printable};
use crate::http::problem::ProblemCode;
use crate::requests::items::{self, Create, ItemError};
use crate::store::{HeldBy, PageRequest, StockDetail, StockItem, Store};

/// Orders that are read at a time of those that hold an item.
const HOLDS_PAGE: usize = 500;

/// Runs a `stock` command that only reads.
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

/// Lists the stock items of one site or of all.
async fn list(
    store: &dyn Store,
    site: Option<&Site>,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let Some(sites) = sites::chosen(store, site, output).await? else {
        return Ok(ExitStatus::NotHeld);
    };
    let mut listing = Listing::new(LIST_COLUMNS);
    for site in &sites {
        let mut pages = Pages::new();
        while let Some(items) = next_page(store, site, &mut pages).await? {
            listing.add(items.iter().map(StockItemView::from), output)?;
        }
    }
    listing.finish_or_say(
        "No stock items. An item appears with the first order of it, or with `storekeeper stock \
         receive SITE KEY QTY --reference R --create`.",
        output,
    )
}

async fn next_page(
    store: &dyn Store,
    site: &Site,
    pages: &mut Pages,
) -> anyhow::Result<Option<Vec<StockItem>>> {
    let failure = format!("cannot list the stock of {site}");
    pages.next(&failure, async |page| store.stock(site, None, page).await).await
}

const LIST_COLUMNS: &[Column<StockItemView>] = &[
    Column::name("SITE", |item| text(&item.site)),
    Column::name("KEY", |item| text(&item.key)),
    spare(5, Column::text("NAME", |item| optional(item.name.as_deref()))),
    spare(3, Column::number("RECEIVED", |item| quantity(&item.counts.received))),
    spare(2, Column::number("COMMITTED", |item| quantity(&item.counts.committed))),
    spare(4, Column::number("FULFILLED", |item| quantity(&item.counts.fulfilled))),
    spare(1, Column::number("ON HAND", |item| quantity(&item.counts.on_hand))),
    Column::number("AVAILABLE", available),
    spare(2, Column::name("", |item| text(if item.tracked { "" } else { "not tracked" }))),
];

/// The available units; below zero they stand out if the item is oversold.
fn available(item: &StockItemView) -> Cell {
    let units = &item.counts.available;
    if item.tracked { quantity(units) } else { text(units) }
}

/// Exports every stock item of all sites.
async fn export(store: &dyn Store, output: &mut Output<'_>) -> anyhow::Result<ExitStatus> {
    if output.format == Format::Json {
        return list(store, None, output).await;
    }
    let mut csv = csv::Writer::from_writer(&mut *output.out);
    csv.write_record(EXPORT_COLUMNS).map_err(io::Error::from)?;
    for site in store.sites().await.context("cannot list the sites")? {
        let mut pages = Pages::new();
        while let Some(items) = next_page(store, &site, &mut pages).await? {
            for item in items.iter().map(StockItemView::from) {
                csv.write_record(export_row(&item)).map_err(io::Error::from)?;
            }
        }
    }
    csv.flush()?;
    Ok(ExitStatus::Done)
}

const EXPORT_COLUMNS: [&str; 8] =
    ["site", "key", "name", "received", "committed", "fulfilled", "on_hand", "available"];

fn export_row(item: &StockItemView) -> [String; 8] {
    let text = |text: &str| formula::neutralised(printable(text, false));
    [
        text(&item.site),
        text(&item.key),
        text(item.name.as_deref().unwrap_or_default()),
        item.counts.received.clone(),
        item.counts.committed.clone(),
        item.counts.fulfilled.clone(),
        item.counts.on_hand.clone(),
        item.counts.available.clone(),
    ]
}

/// Shows one stock item and every order that holds some of it.
async fn show(
    store: &dyn Store,
    site: &Site,
    name: &str,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let detail = match items::resolve(store, site, name, Create::Never).await {
        Ok(key) => whole_detail(store, site, &key).await?,
        Err(ItemError::Unknown { .. }) => None,
        Err(ItemError::UnknownSite { .. }) => return sites::say_unknown(store, site, output).await,
        Err(error @ ItemError::Ambiguous { .. }) => return failure::not_found(error, output),
        Err(error @ (ItemError::Invalid { .. } | ItemError::Store(_))) => return Err(error.into()),
    };
    let Some(detail) = detail else {
        let name = printable(name, false);
        let reason = format_args!("{name} of {site} was never counted");
        return output.not_found(ProblemCode::StockUnknown, reason);
    };
    // Commands ask no broker: what is queued is the server's to say.
    output.show(&StockDetailView::new(&detail, None, None), write_detail)?;
    Ok(ExitStatus::Done)
}

/// The item with all pages of its holds. An order that changes while the pages are read may be
/// seen in its old or its new state.
async fn whole_detail(
    store: &dyn Store,
    site: &Site,
    key: &StockKey,
) -> anyhow::Result<Option<StockDetail>> {
    let mut page = PageRequest::first(HOLDS_PAGE);
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

fn write_detail(view: &StockDetailView, output: &mut Output<'_>) -> io::Result<()> {
    let item = &view.item;
    let counts = &item.counts;
    let closed = format!("{}, fulfilled {}", view.closed.orders, view.closed.fulfilled);
    let mut facts = vec![
        ("site", text(&item.site)),
        ("key", text(&item.key)),
        ("name", optional(item.name.as_deref())),
        ("received", quantity(&counts.received)),
        ("committed", quantity(&counts.committed)),
        ("fulfilled", quantity(&counts.fulfilled)),
        ("on hand", quantity(&counts.on_hand)),
        ("available", available(item)),
        ("closed orders", text(&closed)),
        ("dead letters of the site", Cell::new(view.pending.dead)),
    ];
    if !item.tracked {
        facts.push(("tracked", text("no: it is in no oversale figure")));
    }
    write_facts(facts, output)?;
    write_section("Held by", HOLDS_COLUMNS, &view.holds, "No order.", output)
}

const HOLDS_COLUMNS: &[Column<HoldView>] = &[
    Column::name("ORDER", |hold| text(&hold.order)),
    Column::number("COMMITTED", |hold| quantity(&hold.committed)),
    Column::number("FULFILLED", |hold| quantity(&hold.fulfilled)),
];
