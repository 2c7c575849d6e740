//! `orders list`

use anyhow::Context;

use super::OrdersListArgs;
use crate::cli::output::Output;
use crate::cli::pages::Pages;
use crate::cli::table::{Column, Listing, spare, text};
use crate::cli::{ExitStatus, sites};
use crate::console::order_list::{self, OrderFilter};
use crate::console::views::OrderSummaryView;
use crate::domain::{Policy, Timestamp};
use crate::store::Store;

const COLUMNS: &[Column<OrderSummaryView>] = &[
    Column::name("SITE", |order| text(&order.head.site)),
    Column::name("ORDER", |order| text(&order.head.order)),
    Column::text("STATUS", |order| text(&order.head.status)),
    spare(2, Column::name("CHANGED", |order| text(&order.changed_at))),
    spare(1, Column::text("WHY", |order| text(order.head.why.rule))),
    Column::text("FLAGS", |order| {
        let deleted = order.head.deleted.then_some("deleted");
        text(&order.flags.iter().copied().chain(deleted).collect::<Vec<_>>().join(", "))
    }),
];

/// Lists the orders that the filters select, site by site.
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
    let policy = policy(store).await?;
    let mut listing = Listing::new(COLUMNS);
    for site in &sites {
        let failure = format!("cannot list the orders of {site}");
        let mut pages = Pages::new();
        while let Some(orders) = pages
            .next(&failure, async |page| order_list::page(store, site, &filter, page).await)
            .await?
        {
            listing
                .add(orders.iter().map(|order| OrderSummaryView::new(order, &policy)), output)?;
        }
    }
    let is_filtered = filter != OrderFilter::default();
    let none = if is_filtered {
        "No orders match."
    } else {
        "No orders. An order appears with its first webhook; `storekeeper dead-letters groups` \
         counts the webhooks that could not be applied."
    };
    listing.finish_or_say(none, output)
}

/// The policy in force.
pub(super) async fn policy(store: &dyn Store) -> anyhow::Result<Policy> {
    let in_force = store.policy().await.context("cannot read the policy in force")?;
    Ok(in_force.map(|in_force| in_force.policy).unwrap_or_default())
}
