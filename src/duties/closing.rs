//! Closes orders that are final and have long been untouched: only their sums remain.
//!
//! If the process dies, each order is closed or not, and the next turn closes the rest. Two
//! processes may run this at the same time: each order is closed once.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::retention::{LOOK_AGAIN, Retention};
use super::sweep::time_before;
use super::{Duty, DutyError, HOURLY, Next};
use crate::broker::Broker;
use crate::clock;
use crate::domain::{List, OrderId, Site, Timestamp};
use crate::store::{Commit, Committed, Direction, Fence, PageRequest, Store, StoreError, orders};

/// Orders per page; each page is one short write.
const PAGE: usize = 256;
/// The retry interval while a backlog is in the way.
const AFTER_A_BACKLOG: Duration = Duration::from_mins(1);

/// Closes orders once they are untouched for as long as `orders.retention` says.
#[derive(Debug)]
pub(super) struct Closing {
    queue: Arc<dyn Broker>,
    store: Arc<dyn Store>,
    kept: Duration,
    retention: Retention,
}

impl Closing {
    pub(super) fn new(
        queue: Arc<dyn Broker>,
        store: Arc<dyn Store>,
        kept: Duration,
        retention: Retention,
    ) -> Self {
        Self { queue, store, kept, retention }
    }
}

#[async_trait]
impl Duty for Closing {
    /// A queue may still hold an event of an order that seems long untouched. If the order were
    /// closed before that event is applied, the event would count as already known.
    async fn turn(&mut self, _: Fence) -> Result<Next, DutyError> {
        if let Some(why) = self.retention.waits().await? {
            return Ok(Next::Postponed(LOOK_AGAIN, why));
        }
        let Some(settled) = self.queue.settled_before().await? else {
            return Ok(Next::Postponed(AFTER_A_BACKLOG, "webhooks wait in a queue"));
        };
        let closed = close_final(&*self.store, time_before(self.kept).min(settled)).await?;
        if closed > 0 {
            tracing::info!(closed, "orders outlived their retention");
        }
        Ok(Next::After(HOURLY))
    }
}

/// Closes final orders that were last committed before a time and returns their number.
///
/// Cancel safe: what was closed by then stays closed.
pub async fn close_final(store: &dyn Store, before: Timestamp) -> Result<u64, StoreError> {
    let (mut count, mut failed) = (0, None);
    for site in store.sites().await? {
        match close_of_site(store, &site, before).await {
            Ok(closed) => count += closed,
            // One site that fails must not hold up the others.
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(count), Err)
}

async fn close_of_site(
    store: &dyn Store,
    site: &Site,
    before: Timestamp,
) -> Result<u64, StoreError> {
    // Without a policy there are no orders.
    let Some(in_force) = store.policy().await? else { return Ok(0) };
    let mut count = 0;
    let mut page = PageRequest::first(PAGE);
    loop {
        let found = store.listed(site, List::Final, Direction::OldestFirst, &page).await?;
        let read = found.items.len();
        let old: Vec<_> =
            found.items.into_iter().filter(|order| order.at < before).map(|it| it.order).collect();
        let is_complete = old.len() == read;
        let revision = in_force.revision;
        let closings =
            orders::closings(store, site, &old, revision, (before, clock::now())).await?;
        // An order committed before it was read has moved in the list; one committed since has
        // another revision. Both stay open, as does one whose sums would exceed their limit.
        let again = store.listed(site, List::Final, Direction::OldestFirst, &page).await?;
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
        if page.after.is_none() || !is_complete {
            return Ok(count);
        }
    }
}
