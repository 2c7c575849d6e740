//! `stock list`, `stock show` and `stock export`

use std::io;
use std::sync::Arc;

use anyhow::Context;
use comfy_table::Cell;

use super::changes::{self, signed};
use super::output::Output;
use super::pages::Pages;
use super::table::{Column, Listing, optional, quantity, spare, text, write_facts, write_section};
use super::{ExitStatus, Format, StockCommand, StockListArgs, failure, formula, sites};
use crate::broker::{Broker, BrokerError};
use crate::console::item_detail::{self, ItemDetail};
use crate::console::stock_list::{self, Short, StockFilter};
use crate::console::views::{
    HoldView, ItemCursors, ItemReceiptView, StockDetailView, StockItemView,
};
use crate::domain::{Site, StockKey, printable};
use crate::http::problem::ProblemCode;
use crate::requests::items::{self, Create, ItemError};
use crate::store::{PageRequest, StockItem, Store};

/// Orders and receipts that are read at a time of those of an item.
const PAGE: usize = 500;

/// Runs a `stock` command that only reads. The broker is opened only to show what it still holds.
pub async fn run(
    store: &dyn Store,
    broker: impl AsyncFnOnce() -> Result<Arc<dyn Broker>, BrokerError>,
    command: &StockCommand,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    match command {
        StockCommand::Export => export(store, output).await,
        StockCommand::List(args) => list(store, args, output).await,
        StockCommand::Show { site, key } => show(store, broker, (site, key), output).await,
    }
}

/// Lists the stock items that the filters select, of one site or of all.
async fn list(
    store: &dyn Store,
    args: &StockListArgs,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let Some(sites) = sites::chosen(store, args.site.as_ref(), output).await? else {
        return Ok(ExitStatus::NotHeld);
    };
    let oversold = args.oversold.then_some(Short::Oversold);
    let filter = StockFilter {
        query: args.query.clone().filter(|query| !query.is_empty()),
        short: oversold.or_else(|| args.low.map(Short::Low)),
    };
    let mut listing = Listing::new(LIST_COLUMNS);
    for site in &sites {
        let mut pages = Pages::new();
        while let Some(items) = next_page(store, site, &filter, &mut pages).await? {
            listing.add(items.iter().map(StockItemView::from), output)?;
        }
    }
    let none = if filter.is_open() {
        "No stock items. An item appears with the first order of it, or with `storekeeper stock \
         receive SITE KEY QTY --reference R --create`."
    } else {
        "No stock items match."
    };
    listing.finish_or_say(none, output)
}

async fn next_page(
    store: &dyn Store,
    site: &Site,
    filter: &StockFilter,
    pages: &mut Pages,
) -> anyhow::Result<Option<Vec<StockItem>>> {
    let failure = format!("cannot list the stock of {site}");
    pages.next(&failure, async |page| stock_list::page(store, site, filter, page).await).await
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
        return list(store, &StockListArgs::default(), output).await;
    }
    let mut csv = csv::Writer::from_writer(&mut *output.out);
    csv.write_record(EXPORT_COLUMNS).map_err(io::Error::from)?;
    let everything = StockFilter::default();
    for site in store.sites().await.context("cannot list the sites")? {
        let mut pages = Pages::new();
        while let Some(items) = next_page(store, &site, &everything, &mut pages).await? {
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

/// Shows one stock item, and what its counts are made of.
async fn show(
    store: &dyn Store,
    broker: impl AsyncFnOnce() -> Result<Arc<dyn Broker>, BrokerError>,
    (site, name): (&Site, &str),
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let item = match items::resolve(store, site, name, Create::Never).await {
        Ok(key) => whole_item(store, site, &key).await?,
        Err(ItemError::Unknown { .. }) => None,
        Err(ItemError::UnknownSite { .. }) => return sites::say_unknown(store, site, output).await,
        Err(error @ ItemError::Ambiguous { .. }) => return failure::not_found(error, output),
        Err(error @ (ItemError::Invalid { .. } | ItemError::Store(_))) => return Err(error.into()),
    };
    let Some(item) = item else {
        let name = printable(name, false);
        let reason = format_args!("{name} of {site} was never counted");
        return output.not_found(ProblemCode::StockUnknown, reason);
    };
    // The counts are useful even if nobody knows what is queued.
    let depth = match broker().await {
        Ok(broker) => {
            let depth = broker.depth().await.ok();
            broker.close().await;
            depth
        }
        Err(_) => None,
    };
    let view = StockDetailView::new(&item, ItemCursors::default(), depth.as_ref());
    output.show(&view, write_detail)?;
    Ok(ExitStatus::Done)
}

/// The item with all pages of its holds and receipts. An order that changes while the pages are
/// read may be seen in its old or its new state.
async fn whole_item(
    store: &dyn Store,
    site: &Site,
    key: &StockKey,
) -> anyhow::Result<Option<ItemDetail>> {
    let failure = || format!("cannot read {key} of {site}");
    let first = PageRequest::first(PAGE);
    let item = item_detail::read(store, site, key, &first, &first).await;
    let Some(mut item) = item.with_context(failure)? else { return Ok(None) };
    while let Some(after) = item.detail.holds.next.take() {
        let page = PageRequest { after: Some(after), ..first };
        let more = store.stock_item(site, key, &page).await.with_context(failure)?;
        let Some(more) = more else { break };
        let names: Vec<_> = more.holds.items.iter().map(|held| held.order.clone()).collect();
        item.orders.extend(item_detail::holding(store, site, &names).await.with_context(failure)?);
        item.detail.holds.items.extend(more.holds.items);
        item.detail.holds.next = more.holds.next;
    }
    while let Some(after) = item.receipts.next.take() {
        let page = PageRequest { after: Some(after), ..first };
        let more = store.receipts(site, key, &page).await.with_context(failure)?;
        item.receipts.items.extend(more.items);
        item.receipts.next = more.next;
    }
    Ok(Some(item))
}

fn write_detail(view: &StockDetailView, output: &mut Output<'_>) -> io::Result<()> {
    let item = &view.item;
    let counts = &item.counts;
    let closed = format!("{}, fulfilled {}", view.closed.orders, view.closed.fulfilled);
    let events = |count: Option<u64>| {
        text(&count.map_or_else(|| "not known".to_owned(), |count| count.to_string()))
    };
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
        ("queued, all sites", events(view.pending.queued)),
        ("retrying, all sites", events(view.pending.retrying)),
        ("dead letters of the site", Cell::new(view.pending.dead)),
    ];
    if !item.tracked {
        facts.push(("tracked", text("no: it is in no oversale figure")));
    }
    write_facts(facts, output)?;
    write_section("Received by", RECEIPT_COLUMNS, &view.receipts, "No receipt.", output)?;
    write_section("Held by", HOLDS_COLUMNS, &view.holds, "No order.", output)?;
    let none = "None that is kept, or none among the last changes of the site.";
    write_section("Last changes", changes::OF_ITEM, &view.last_changes, none, output)
}

const RECEIPT_COLUMNS: &[Column<ItemReceiptView>] = &[
    Column::name("REFERENCE", |receipt| text(&receipt.reference)),
    Column::number("ADDS", |receipt| text(&signed(&receipt.adds))),
    Column::text("AS", |receipt| text(&kind_of(receipt))),
    spare(2, Column::name("AT", |receipt| optional(receipt.received_at.as_deref()))),
    spare(3, Column::text("BY", |receipt| optional(receipt.actor.as_deref()))),
    Column::text("REASON", |receipt| optional(receipt.reason.as_deref())),
];

fn kind_of(receipt: &ItemReceiptView) -> String {
    let by =
        |actor: &Option<String>| actor.as_ref().map_or(String::new(), |by| format!(" by {by}"));
    match (&receipt.void, &receipt.on_hand) {
        (Some(void), _) => format!("void{}", by(&void.actor)),
        (None, Some(counted)) => format!("count of {counted}"),
        (None, None) => "receipt".to_owned(),
    }
}

const HOLDS_COLUMNS: &[Column<HoldView>] = &[
    Column::name("ORDER", |hold| text(&hold.order)),
    Column::number("COMMITTED", |hold| quantity(&hold.committed)),
    Column::number("FULFILLED", |hold| quantity(&hold.fulfilled)),
    Column::text("STATUS", |hold| optional(hold.status.as_deref())),
    Column::text("WHY", |hold| optional(hold.why.as_ref().map(|why| why.rule))),
];
