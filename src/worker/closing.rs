//! Closing: orders that are settled and untouched for long become sums.
//!
//! Dies anywhere: each order is closed or not, and the next turn goes on with the others. Two
//! workers may do this at the same time: each order is closed once.

use crate::clock;
use crate::domain::{List, OrderId, Site, Timestamp};
use crate::store::{Commit, Committed, Direction, PageRequest, Store, StoreError, orders};

/// Orders that are looked at together; each page is one short write.
const PAGE: usize = 256;

/// Closes what is settled and was last committed before a time; answers with how many those were.
///
/// Cancel safe: what was closed until then stays closed.
pub async fn close_settled(store: &dyn Store, before: Timestamp) -> Result<u64, StoreError> {
    let mut count = 0;
    for site in store.sites().await? {
        count += close_of_site(store, &site, before).await?;
    }
    Ok(count)
}

async fn close_of_site(
    store: &dyn Store,
    site: &Site,
    before: Timestamp,
) -> Result<u64, StoreError> {
    // Without a policy there is no order.
    let Some(in_force) = store.policy().await? else { return Ok(0) };
    let mut count = 0;
    let mut page = PageRequest::first(PAGE);
    loop {
        let found = store.listed(site, List::Settled, Direction::OldestFirst, &page).await?;
        let read = found.items.len();
        let old: Vec<_> =
            found.items.into_iter().filter(|order| order.at < before).map(|it| it.order).collect();
        let is_whole = old.len() == read;
        let revision = in_force.revision;
        let closings =
            orders::closings(store, site, &old, revision, (before, clock::now())).await?;
        // One that was committed before it was read is not untouched: it has moved in the list. One
        // that was committed since has another revision. Both stay, as does one whose sums would
        // pass their limit.
        let again = store.listed(site, List::Settled, Direction::OldestFirst, &page).await?;
        let stays =
            |order: &OrderId| again.items.iter().any(|it| it.order == *order && it.at < before);
        let is_old = |commit: &Commit| {
            let names = commit.closing.iter().flat_map(|closing| &closing.names);
            names.take(1).all(|(order, _)| stays(order))
        };
        let closings = closings.into_iter().filter(is_old).collect();
        let closed = store.commit(closings).await?;
        let closed = closed.into_iter().filter(|closed| *closed == Committed::Written).count();
        count += u64::try_from(closed).unwrap_or(u64::MAX);
        page.after = found.next;
        if page.after.is_none() || !is_whole {
            return Ok(count);
        }
    }
}
