//! Everything that makes up the counts of a stock item: why it is what it is.
//!
//! API and commands show the same.

use crate::domain::{OrderId, Policy, Site, StockKey};
use crate::store::orders::{self, StoredOrder};
use crate::store::{
    Change, Page, PageRequest, StockDetail, Store, StoreError, StoredReceipt, changes,
};

/// The newest changes that are shown, and how many of the site's changes are looked at for them.
const CHANGES: (usize, usize) = (10, 5000);

/// A stock item, and what its counts are made of.
#[derive(Debug, Clone)]
pub struct ItemDetail {
    /// The item, and a page of the orders that hold it.
    pub detail: StockDetail,
    /// These orders, in the same order; `None` for one that is gone since, or
    /// cannot be used.
    pub orders: Vec<Option<StoredOrder>>,
    /// A page of its receipts.
    pub receipts: Page<StoredReceipt>,
    /// Its newest changes, newest first.
    pub changes: Vec<Change>,
    /// The policy that says why the orders hold it.
    pub policy: Policy,
}

/// Reads an item with these pages of its lists; `None` if it was never counted.
pub async fn read(
    store: &dyn Store,
    site: &Site,
    key: &StockKey,
    holds: &PageRequest,
    receipts: &PageRequest,
) -> Result<Option<ItemDetail>, StoreError> {
    let Some(detail) = store.stock_item(site, key, holds).await? else { return Ok(None) };
    let names: Vec<_> = detail.holds.items.iter().map(|held| held.order.clone()).collect();
    let in_force = store.policy().await?;
    Ok(Some(ItemDetail {
        orders: holding(store, site, &names).await?,
        receipts: store.receipts(site, key, receipts).await?,
        changes: changes::newest(store, site, Some(key), CHANGES).await?,
        policy: in_force.map(|in_force| in_force.policy).unwrap_or_default(),
        detail,
    }))
}

/// Reads the orders that hold an item. One that cannot be used is `None`, and hides no other.
pub async fn holding(
    store: &dyn Store,
    site: &Site,
    names: &[OrderId],
) -> Result<Vec<Option<StoredOrder>>, StoreError> {
    match orders::orders(store, site, names).await {
        Err(StoreError::Corrupt { .. } | StoreError::Newer { .. }) => {}
        read => return read,
    }
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        match orders::orders(store, site, std::slice::from_ref(name)).await {
            Ok(order) => found.extend(order),
            Err(StoreError::Corrupt { .. } | StoreError::Newer { .. }) => found.push(None),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}
