//! Filtered lists of orders, for people who look for orders that need them.
//!
//! Filters are applied to a bounded part of a Store's list at a time. So a page may have fewer
//! orders than requested and still a cursor.

use crate::console::views::status_of;
use crate::domain::{List, OrderId, Site, Timestamp};
use crate::store::orders::{self, StoredOrder};
use crate::store::{Direction, Listed, Page, PageRequest, Store, StoreError};

/// How often the Store is read for one page.
const READS_MAX: usize = 12;
/// The fewest orders that are read at a time, as filters often select few of them; and the most.
const READ: (usize, usize) = (100, 200);

/// The lists that people may select.
pub const FLAGS: [List; 6] = [
    List::Ambiguous,
    List::Contested,
    List::AfterDeletion,
    List::Unmapped,
    List::Waiting,
    List::Corrected,
];

/// Selects orders; `None` does not restrict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// Those in this list.
    pub list: Option<List>,
    /// Those whose latest snapshot has this status; case is ignored.
    pub status: Option<String>,
    /// Those whose last change was before this time, oldest first.
    pub changed_before: Option<Timestamp>,
    /// Those with a name that starts with this, with or without its kind; case is ignored.
    pub query: Option<String>,
}

/// An order of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedOrder {
    /// The order.
    pub order: StoredOrder,
    /// When it was changed last.
    pub changed_at: Timestamp,
}

/// A page of a site's orders: the most recently changed first, or oldest first if the filter has
/// `changed_before`.
pub async fn page(
    store: &dyn Store,
    site: &Site,
    filter: &OrderFilter,
    page: &PageRequest,
) -> Result<Page<ListedOrder>, StoreError> {
    let list = filter.list.unwrap_or(List::All);
    let direction = match filter.changed_before {
        Some(_) => Direction::OldestFirst,
        None => Direction::NewestFirst,
    };
    let mut items = Vec::new();
    let to_read = |room: usize| room.clamp(READ.0, READ.1);
    let mut from = PageRequest { after: page.after.clone(), limit: to_read(page.limit) };
    for _ in 0..READS_MAX {
        let found = store.listed(site, list, direction, &from).await?;
        let is_older =
            |order: &&Listed| filter.changed_before.is_none_or(|before| order.at < before);
        let older: Vec<&Listed> = found.items.iter().take_while(is_older).collect();
        let is_end = older.len() < found.items.len();
        let mut matching = matching(store, site, filter, &older).await?;
        let room = page.limit - items.len();
        // If more match than fit, the read is repeated so that it ends with the last one that fits:
        // then the cursor is right after it.
        if let Some((place, _)) = room.checked_sub(1).and_then(|last| matching.get(last))
            && matching.len() > room
        {
            from.limit = place + 1;
            continue;
        }
        items.extend(matching.drain(..).map(|(_, order)| order));
        let next = found.next.filter(|_| !is_end);
        if next.is_none() || items.len() == page.limit {
            return Ok(Page { items, next });
        }
        from = PageRequest { after: next, limit: to_read(page.limit - items.len()) };
    }
    Ok(Page { items, next: from.after })
}

/// The orders that the filter selects, each with its place among those that were listed.
async fn matching(
    store: &dyn Store,
    site: &Site,
    filter: &OrderFilter,
    listed: &[&Listed],
) -> Result<Vec<(usize, ListedOrder)>, StoreError> {
    let names: Vec<OrderId> = listed.iter().map(|order| order.order.clone()).collect();
    let read = orders::orders(store, site, &names).await?;
    let of_list = listed.iter().zip(read).enumerate();
    let matching = of_list.filter_map(|(place, (listed, order))| {
        // A record that now belongs to another order is listed under that order's name.
        let order = order.filter(|order| order.order == listed.order && filter.takes(order))?;
        Some((place, ListedOrder { order, changed_at: listed.at }))
    });
    Ok(matching.collect())
}

impl OrderFilter {
    fn takes(&self, order: &StoredOrder) -> bool {
        let is_status = |status: &String| {
            order.record.latest.is_some()
                && status.to_lowercase() == status_of(&order.record).to_lowercase()
        };
        let is_named = |query: &String| {
            let query = query.to_lowercase();
            let begins = |text: &str| text.to_lowercase().starts_with(&query);
            names(order).any(|name| begins(&name.to_string()) || begins(name.identifier.as_str()))
        };
        self.status.as_ref().is_none_or(is_status) && self.query.as_ref().is_none_or(is_named)
    }
}

/// Every name that an order goes by.
fn names(order: &StoredOrder) -> impl Iterator<Item = &OrderId> {
    let second = order.second_names.iter().map(|(name, _)| name);
    let invoices = order.record.invoices.iter().map(|(_, invoice)| invoice);
    std::iter::once(&order.order).chain(second).chain(invoices)
}
