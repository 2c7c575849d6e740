//! Finds the item that a person means: people receive and look up goods by any name that orders or
//! the catalogue give them.

use crate::domain::{Identifier, Nearest, Site, StockKey, StockKeyKind};
use crate::store::{PageRequest, ReadStore, StoreError};

/// The most candidates that are looked up by one name.
const CANDIDATES_MAX: usize = 20;

/// The most items that are looked at to find what a person may have meant.
const LOOKED_AT_MAX: usize = 10_000;
/// How many are read at a time.
const PAGE: usize = 500;
/// How to make what does not exist.
const CREATE: &str = "to make it, ask with `--create` (API: `create: true`)";

/// Why a name does not identify an item.
#[derive(Debug, thiserror::Error)]
pub enum ItemError {
    /// Several items have the name.
    #[error("{text:?} may be any of {}; {hint}", join(.candidates))]
    Ambiguous {
        /// The requested name.
        text: String,
        /// The items.
        candidates: Vec<StockKey>,
        /// What to do.
        hint: &'static str,
    },
    /// No item has the name.
    #[error("site {site} has no item {text:?}; {}{hint}", proposed(.nearest))]
    Unknown {
        /// The shop.
        site: Site,
        /// The requested name.
        text: String,
        /// The items that were probably meant, the likeliest first.
        nearest: Vec<StockKey>,
        /// Whether it is created on request.
        can_create: bool,
        /// What to do.
        hint: &'static str,
    },
    /// The shop does not exist.
    #[error(
        "there is no site {site}; {}{}",
        proposed(.nearest),
        if *.can_create { CREATE } else { "a site is known from its first webhook or receipt on" }
    )]
    UnknownSite {
        /// The shop.
        site: Site,
        /// The sites that were probably meant, the likeliest first.
        nearest: Vec<Site>,
        /// Whether it is created on request.
        can_create: bool,
    },
    /// The text cannot be a name.
    #[error("{text:?} is no name of an item: it {source}")]
    Invalid {
        /// The requested name.
        text: String,
        /// The reason.
        source: crate::domain::IdentifierError,
    },
    /// The known items could not be read.
    #[error("cannot read which items there are")]
    Store(#[from] StoreError),
}

fn join(candidates: &[StockKey]) -> String {
    let names: Vec<String> = candidates.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// Returns the question whether one of these was meant; an empty text if there are none.
fn proposed(names: &[impl ToString]) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    if names.is_empty() {
        return String::new();
    }
    format!("did you mean {}? ", names.join(" or "))
}

/// Whether a missing item is created, and whether a counted stock key means itself although other
/// items have that name, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Create {
    /// The item is created, and so is its site; a stock key means itself.
    Yes,
    /// It is not created, and a name of several items is rejected: goods must not be received on
    /// the wrong one.
    No,
    /// It is not created; a counted stock key means itself.
    Never,
}

impl Create {
    /// Returns the choice for `--create`, given or not.
    pub const fn asked(is_asked: bool) -> Self {
        if is_asked { Self::Yes } else { Self::No }
    }
}

/// Returns the one item of a site that a text means: `sku:MUG`, or a bare `MUG`.
///
/// The text is a counted stock key, or a name that orders or the catalogue give to items.
pub async fn resolve(
    store: &dyn ReadStore,
    site: &Site,
    text: &str,
    create: Create,
) -> Result<StockKey, ItemError> {
    let key = StockKey::parse(text).ok();
    let mut candidates = match &key {
        Some(key) => of_kind(store, site, key, create).await?,
        None => Vec::new(),
    };
    if candidates.is_empty() {
        candidates = bare(store, site, text).await?;
    }
    match (candidates.as_slice(), key, create) {
        ([only], ..) => Ok(only.clone()),
        ([], Some(key), Create::Yes) => Ok(key),
        ([], key, _) => {
            if create != Create::Yes
                && let Some(nearest) = sites_like(store, site).await?
            {
                let can_create = create == Create::No;
                return Err(ItemError::UnknownSite { site: site.clone(), nearest, can_create });
            }
            let nearest = items_like(store, site, text).await?;
            let can_create = create == Create::No && key.is_some();
            let hint = match create {
                Create::No if can_create => CREATE,
                Create::No | Create::Never => "`stock list` shows what there is",
                Create::Yes => "a new item needs its kind, as in `sku:MUG`",
            };
            let (site, text) = (site.clone(), text.to_owned());
            Err(ItemError::Unknown { site, text, nearest, can_create, hint })
        }
        (_, key, _) => {
            let is_one = key.is_some_and(|key| candidates.contains(&key));
            let hint = if is_one {
                "name another, or ask with `--create` (API: `create: true`) for the item of that key"
            } else {
                "name one of them"
            };
            Err(ItemError::Ambiguous { text: text.to_owned(), candidates, hint })
        }
    }
}

/// Returns the sites whose names are like that of a site that does not exist; `None` if it does.
async fn sites_like(store: &dyn ReadStore, site: &Site) -> Result<Option<Vec<Site>>, StoreError> {
    let sites = store.sites().await?;
    if sites.contains(site) {
        return Ok(None);
    }
    let mut nearest = Nearest::new(site.as_str());
    for known in &sites {
        nearest.consider([known.as_str()], known.clone());
    }
    Ok(Some(nearest.into_values()))
}

/// Returns the items of a site whose key or name is like a text.
async fn items_like(
    store: &dyn ReadStore,
    site: &Site,
    text: &str,
) -> Result<Vec<StockKey>, StoreError> {
    let mut nearest = Nearest::new(text);
    let mut page = PageRequest::first(PAGE);
    for _ in 0..LOOKED_AT_MAX / PAGE {
        let found = store.stock(site, None, &page).await?;
        for item in &found.items {
            let key = item.key.to_string();
            let names = [&key, item.key.identifier.as_str()];
            nearest.consider(names.into_iter().chain(item.name.as_deref()), item.key.clone());
        }
        let Some(next) = found.next else { break };
        page.after = Some(next);
    }
    Ok(nearest.into_values())
}

/// Returns the items that a name with its kind may mean.
async fn of_kind(
    store: &dyn ReadStore,
    site: &Site,
    key: &StockKey,
    create: Create,
) -> Result<Vec<StockKey>, ItemError> {
    let is_counted = store.stock_item(site, key, &PageRequest::first(1)).await?.is_some();
    if is_counted && create != Create::No {
        return Ok(vec![key.clone()]);
    }
    let mut candidates =
        store.items_named(site, Some(key.kind), &key.identifier, CANDIDATES_MAX).await?;
    if is_counted && !candidates.contains(key) {
        candidates.push(key.clone());
    }
    Ok(candidates)
}

/// Returns the items that a name without a kind may mean.
async fn bare(store: &dyn ReadStore, site: &Site, text: &str) -> Result<Vec<StockKey>, ItemError> {
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
