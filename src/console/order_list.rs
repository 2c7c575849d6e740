//! Lists of orders, for people who look for what needs them: the Store's lists, filtered.
//!
//! Filters are applied to what is read of a list, a bounded part at a time. So a page may have
//! fewer orders than were asked for, and still a cursor.

use crate::console::views::status_of;
use crate::domain::{List, OrderId, Site, Timestamp};
use crate::store::orders::{self, StoredOrder};
use crate::store::{Direction, Listed, Page, PageRequest, Store, StoreError};

/// How often the Store is asked for one page.
const READS_MAX: usize = 12;
/// Orders that are read at a time at least, as filters often take few of them; and at most.
const READ: (usize, usize) = (100, 200);

/// The lists that people may ask for.
pub const FLAGS: [List; 6] = [
    List::Ambiguous,
    List::Contested,
    List::AfterDeletion,
    List::Unmapped,
    List::Waiting,
    List::Corrected,
];

/// Which orders are listed; what is `None` does not restrict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// Those in this list.
    pub list: Option<List>,
    /// Those whose latest snapshot says this status, in any case.
    pub status: Option<String>,
    /// Those whose last change was before this time, oldest first.
    pub changed_before: Option<Timestamp>,
    /// Those one of whose names begins so, in any case and with or without its kind.
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

/// A page of a site's orders: those changed last first, or oldest first where the filter asks for
/// those that were not changed for long.
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
        // Of more than there is room for, only so many are read that the last is the last shown:
        // then the cursor stands right behind it.
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
        // One that belongs to another order since is listed by that one's name.
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
