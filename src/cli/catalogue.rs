//! `catalogue`

use super::output::Output;
use super::pages::Pages;
use super::table::{Column, Listing, optional, text};
use super::{CatalogueArgs, ExitStatus, sites};
use crate::console::catalogue_list;
use crate::console::views::CatalogueEntryView;
use crate::store::Store;

const COLUMNS: &[Column<CatalogueEntryView>] = &[
    Column::text("ENTRY", |entry| text(&entry.entry)),
    Column::text("NAME", |entry| optional(entry.name.as_deref())),
    Column::text("SKU", |entry| optional(entry.sku.as_deref())),
    Column::text("STOCK ITEMS", |entry| text(&entry.stock_keys.join(", "))),
    Column::text("CHANGED", |entry| optional(entry.changed_at.as_deref())),
    Column::text("", |entry| text(if entry.deleted { "deleted" } else { "" })),
];

/// Lists the entries of a site, or those that the query selects.
pub async fn run(
    store: &dyn Store,
    args: &CatalogueArgs,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let (site, query) = (&args.site, args.query.as_deref());
    if !sites::is_known(store, site, output).await? {
        return Ok(ExitStatus::NotHeld);
    }
    let failure = format!("cannot list the catalogue of {site}");
    let (mut listing, mut pages) = (Listing::new(COLUMNS), Pages::new());
    while let Some(entries) = pages
        .next(&failure, async |page| catalogue_list::page(store, site, query, page).await)
        .await?
    {
        listing.add(entries.iter().map(CatalogueEntryView::from), output)?;
    }
    let none =
        if query.is_some() { "No catalogue entries match." } else { "No catalogue entries." };
    listing.finish_or_say(none, output)
}
