//! `orders list`

use anyhow::Context;
use comfy_table::Cell;

use super::OrdersListArgs;
use crate::cli::output::Output;
use crate::cli::table::{Column, Listing, text};
use crate::cli::{ExitStatus, Format, sites};
use crate::console::order_list::{self, OrderFilter};
use crate::console::views::OrderSummaryView;
use crate::domain::Timestamp;
use crate::store::{PageRequest, Store};

/// Orders asked for at a time.
const PAGE: usize = 500;

const COLUMNS: [Column; 6] = [
    Column::Text("SITE"),
    Column::Text("ORDER"),
    Column::Text("STATUS"),
    Column::Text("CHANGED"),
    Column::Text("WHY"),
    Column::Text("FLAGS"),
];

/// Writes the orders that the filters select, site by site.
pub(super) async fn run(
    store: &dyn Store,
    args: &OrdersListArgs,
    now: Timestamp,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let Some(sites) = sites::chosen(store, args.site.as_ref(), output).await? else {
        return Ok(ExitStatus::NotHeld);
    };
    let filter = OrderFilter {
        list: args.flag.list(),
        status: args.status.clone(),
        changed_before: args.older_than.map(|time| time.resolve(now)),
        query: args.query.clone(),
    };
    let in_force = store.policy().await.context("cannot read the policy in force")?;
    let policy = in_force.map(|in_force| in_force.policy).unwrap_or_default();
    let mut listing = Listing::new(&COLUMNS, output.width);
    for site in &sites {
        let mut page = PageRequest::first(PAGE);
        loop {
            let found = order_list::page(store, site, &filter, &page).await;
            let found = found.with_context(|| format!("cannot list the orders of {site}"))?;
            let mut orders = found.items.iter().map(|order| OrderSummaryView::new(order, &policy));
            match output.format {
                Format::Table => listing.add(output.out, orders.map(|order| row(&order)))?,
                Format::Json => orders.try_for_each(|order| output.json(&order))?,
            }
            let Some(next) = found.next else { break };
            page.after = Some(next);
        }
    }
    let is_shown = listing.finish(output.out)?;
    if !is_shown && output.format == Format::Table {
        output.say(if filter == OrderFilter::default() {
            "No orders."
        } else {
            "No orders match."
        })?;
    }
    Ok(ExitStatus::Done)
}

fn row(order: &OrderSummaryView) -> Vec<Cell> {
    let mut flags = order.flags.clone();
    if order.deleted {
        flags.push("deleted");
    }
    vec![
        text(&order.site),
        text(&order.order),
        text(&order.status),
        text(&order.changed_at),
        text(order.why.rule),
        text(&flags.join(", ")),
    ]
}
