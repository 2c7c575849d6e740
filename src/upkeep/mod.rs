//! Keeps the numbers correct over the years: [`audit`] recomputes and compares each of them, and
//! repairs on request, [`recompute`] applies a new policy to existing orders, and [`rebuild`] sends
//! the journal through the workers again.

pub mod audit;
pub mod rebuild;
pub mod recompute;

use crate::domain::{List, OrderId, Site, Timestamp};
use crate::store::{Direction, PageRequest, Store, StoreError};

/// The orders that a site has at the start, page by page, oldest first.
///
/// An order that is committed meanwhile moves to the newest end, where it would be read again. So
/// reading ends at the order that was the newest at the start.
struct Orders<'a> {
    store: &'a dyn Store,
    site: &'a Site,
    newest_at: Option<Timestamp>,
    /// `None` once all pages were read.
    page: Option<PageRequest>,
}

impl<'a> Orders<'a> {
    async fn of(
        store: &'a dyn Store,
        site: &'a Site,
        page_length: usize,
    ) -> Result<Self, StoreError> {
        let newest = PageRequest::first(1);
        let newest = store.listed(site, List::All, Direction::NewestFirst, &newest).await?;
        let newest_at = newest.items.first().map(|order| order.at);
        Ok(Self { store, site, newest_at, page: Some(PageRequest::first(page_length)) })
    }

    async fn next_page(&mut self) -> Result<Option<Vec<OrderId>>, StoreError> {
        let (Some(page), Some(newest_at)) = (&mut self.page, self.newest_at) else {
            return Ok(None);
        };
        let found = self.store.listed(self.site, List::All, Direction::OldestFirst, page).await?;
        let read = found.items.len();
        let orders = found.items.into_iter().take_while(|order| order.at <= newest_at);
        let orders: Vec<OrderId> = orders.map(|order| order.order).collect();
        match found.next {
            Some(next) if orders.len() == read => page.after = Some(next),
            Some(_) | None => self.page = None,
        }
        Ok(Some(orders))
    }
}
