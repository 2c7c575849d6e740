//! Reading the lists of the Store to their ends.

use anyhow::Context;

use crate::store::{Page, PageRequest, StoreError};

/// Items that a command reads at a time.
const PAGE: usize = 500;

/// The pages of a list, one after the other.
pub(super) struct Pages {
    /// What to ask for next; `None` after the last page.
    next: Option<PageRequest>,
}

impl Pages {
    /// All pages, of the usual size.
    pub(super) const fn new() -> Self {
        Self::of(PAGE)
    }

    /// All pages, each of at most so many items.
    pub(super) const fn of(limit: usize) -> Self {
        Self { next: Some(PageRequest::first(limit)) }
    }

    /// Reads the items of the next page; `None` after the last. A failure is an error that begins
    /// with `failure`.
    pub(super) async fn next<T>(
        &mut self,
        failure: &str,
        read: impl AsyncFnOnce(&PageRequest) -> Result<Page<T>, StoreError>,
    ) -> anyhow::Result<Option<Vec<T>>> {
        let Some(request) = self.next.take() else { return Ok(None) };
        let page = read(&request).await.with_context(|| failure.to_owned())?;
        self.next = page.next.map(|after| PageRequest { after: Some(after), ..request });
        Ok(Some(page.items))
    }
}
