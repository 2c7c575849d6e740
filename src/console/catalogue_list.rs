//! Catalogue entries that people look for.

use super::filtered;
use crate::domain::Site;
use crate::store::{Catalogue, Page, PageRequest, ReadStore, StoreError};

/// A page of the site's entries in order of kind and id; `query` selects those whose id, name, SKU
/// or external id starts with it. Case is ignored.
pub async fn page(
    store: &dyn ReadStore,
    site: &Site,
    query: Option<&str>,
    page: &PageRequest,
) -> Result<Page<Catalogue>, StoreError> {
    let Some(query) = query else { return store.catalogue(site, page).await };
    let read = |page: PageRequest| async move { store.catalogue(site, &page).await };
    let query = query.to_lowercase();
    filtered::page(page, read, |entry| is_named(entry, &query)).await
}

/// Whether a name of the entry starts with the query, which is in lower case.
fn is_named(catalogue: &Catalogue, query: &str) -> bool {
    let begins = |text: &str| text.to_lowercase().starts_with(query);
    let description = &catalogue.entry.description;
    let others = [&description.external_id, &description.sku].into_iter().flatten();
    begins(&catalogue.id.to_string())
        || begins(catalogue.id.identifier.as_str())
        || description.name.as_deref().is_some_and(begins)
        || others.into_iter().any(|name| begins(name.as_str()))
}
