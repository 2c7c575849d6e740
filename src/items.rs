//! Which item people mean: they receive and look up goods by any name that orders or the catalogue
//! give them.

use crate::domain::{Identifier, Site, StockKey, StockKeyKind};
use crate::store::{PageRequest, Store, StoreError};

/// How many candidates are named to whoever is not understood.
const CANDIDATES_MAX: usize = 20;

/// Why no item is meant.
#[derive(Debug, thiserror::Error)]
pub enum ItemError {
    /// Several items go by the name.
    #[error("{text:?} may be any of {}; name one of them", join(.candidates))]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// The items.
        candidates: Vec<StockKey>,
    },
    /// No item goes by the name.
    #[error("site {site} has no item {text:?}; {hint}")]
    Unknown {
        /// The shop.
        site: Site,
        /// What was asked for.
        text: String,
        /// What to do.
        hint: &'static str,
    },
    /// There is no such shop.
    #[error("there is no site {site}; to make it, ask with `--create` (API: `create: true`)")]
    UnknownSite {
        /// The shop.
        site: Site,
    },
    /// It is no name at all.
    #[error("{text:?} is no name of an item: it {source}")]
    Invalid {
        /// What was asked for.
        text: String,
        /// Why not.
        source: crate::domain::IdentifierError,
    },
    /// What is known could not be read.
    #[error("cannot read which items there are")]
    Store(#[from] StoreError),
}

fn join(candidates: &[StockKey]) -> String {
    let names: Vec<String> = candidates.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// Whether an item that does not exist is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Create {
    /// It is, and so is its site.
    Yes,
    /// It is not.
    No,
}

/// The one item of a site that a text means: `sku:MUG`, or a bare `MUG`.
///
/// A stock key that is counted means itself; else the names by which orders and the catalogue call
/// items are looked through. With [`Create::Yes`] a text with a kind that means nothing yet is a
/// new item.
pub async fn resolve(
    store: &dyn Store,
    site: &Site,
    text: &str,
    create: Create,
) -> Result<StockKey, ItemError> {
    let key = StockKey::parse(text).ok();
    if let Some(key) = &key
        && store.stock_item(site, key, &PageRequest::first(1)).await?.is_some()
    {
        return Ok(key.clone());
    }
    let mut candidates = match &key {
        Some(key) => {
            store.items_named(site, Some(key.kind), &key.identifier, CANDIDATES_MAX).await?
        }
        None => Vec::new(),
    };
    if candidates.is_empty() {
        candidates = bare(store, site, text).await?;
    }
    match (candidates.as_slice(), key, create) {
        ([only], ..) => Ok(only.clone()),
        ([], Some(key), Create::Yes) => Ok(key),
        ([], key, _) => {
            if create == Create::No && !store.sites().await?.contains(site) {
                return Err(ItemError::UnknownSite { site: site.clone() });
            }
            let hint = match (create, key) {
                (Create::No, Some(_)) => "to make it, ask with `--create` (API: `create: true`)",
                (Create::No, None) => "`stock list` shows what there is",
                (Create::Yes, _) => "a new item needs its kind, as in `sku:MUG`",
            };
            Err(ItemError::Unknown { site: site.clone(), text: text.to_owned(), hint })
        }
        _ => Err(ItemError::Ambiguous { text: text.to_owned(), candidates }),
    }
}

/// The items that a name without a kind may mean.
async fn bare(store: &dyn Store, site: &Site, text: &str) -> Result<Vec<StockKey>, ItemError> {
    let name = Identifier::parse(text)
        .map_err(|source| ItemError::Invalid { text: text.to_owned(), source })?;
    let mut candidates = store.items_named(site, None, &name, CANDIDATES_MAX).await?;
    for kind in StockKeyKind::ALL {
        let key = StockKey { kind, identifier: name.clone() };
        if store.stock_item(site, &key, &PageRequest::first(1)).await?.is_some() {
            candidates.push(key);
        }
    }
    candidates.sort();
    candidates.dedup();
    Ok(candidates)
}
