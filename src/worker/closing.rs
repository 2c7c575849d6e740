//! Closing: orders that are settled and untouched for long become sums.
//!
//! Dies anywhere: each order is closed or not, and the next turn goes on with the others. Two
//! workers may do this at the same time: each order is closed once.

use crate::domain::{Timestamp, close};
use crate::store::{Closing, PageRequest, Store, StoreError};

/// Orders that are looked at together; each page is one short write.
const PAGE: usize = 256;

/// Closes what is settled and was last committed before a time; answers with how many those were.
///
/// Cancel safe: what was closed until then stays closed.
pub async fn close_settled(store: &dyn Store, before: Timestamp) -> Result<u64, StoreError> {
    // Without a policy there is no order.
    let Some(in_force) = store.policy().await? else { return Ok(0) };
    let mut count = 0;
    let mut page = PageRequest::first(PAGE);
    loop {
        let settled = store.settled_orders(before, &page).await?;
        let closings = settled.items.into_iter().filter_map(|settled| {
            let remains = close(&settled.order, &settled.state, in_force.revision)?;
            let (site, order, loaded) = (settled.site, settled.order, settled.revision);
            Some(Closing { site, order, loaded, remains, before })
        });
        // One that was committed meanwhile is not untouched: it stays.
        let closed = store.close_orders(closings.collect()).await?;
        count += closed.into_iter().map(u64::from).sum::<u64>();
        page.after = settled.next;
        if page.after.is_none() {
            return Ok(count);
        }
    }
}
