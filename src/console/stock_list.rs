//! Filtered lists of stock items, for people who look for items that need them.

use super::filtered;
use crate::domain::{Quantity, Site};
use crate::store::{Page, PageRequest, ReadStore, StockItem, StoreError};

/// Selects stock items; what is `None` does not restrict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StockFilter {
    /// Those whose key or name starts with this.
    pub query: Option<String>,
    /// Those that are short.
    pub short: Option<Short>,
}

/// Which tracked items are short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Short {
    /// Those with less than nothing available.
    Oversold,
    /// Those with so much available or less.
    Low(Quantity),
}

impl StockFilter {
    /// Whether it selects everything.
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }

    fn takes(&self, item: &StockItem) -> bool {
        let available = item.counts.available();
        self.short.is_none_or(|short| {
            let is_short = match short {
                Short::Oversold => available < Quantity::ZERO.to_decimal(),
                Short::Low(units) => available <= units.to_decimal(),
            };
            is_short && item.is_tracked()
        })
    }
}

/// A page of the site's items that the filter selects, in order of key.
pub async fn page(
    store: &dyn ReadStore,
    site: &Site,
    filter: &StockFilter,
    page: &PageRequest,
) -> Result<Page<StockItem>, StoreError> {
    let query = filter.query.as_deref();
    if filter.short.is_none() {
        return store.stock(site, query, page).await;
    }
    let read = |page: PageRequest| async move { store.stock(site, query, &page).await };
    filtered::page(page, read, |item| filter.takes(item)).await
}
