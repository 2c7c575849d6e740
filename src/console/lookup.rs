//! Finds the order that a person names, by any of its names, bare or with its kind.
//!
//! API and commands use it before they show or correct an order.

use crate::domain::{Identifier, IdentifierError, OrderId, OrderIdKind, Site, Timestamp};
use crate::store::orders::{self, StoredOrder};
use crate::store::{Store, StoreError};

/// How many candidates a message lists.
const CANDIDATES_SHOWN: usize = 20;

/// Why a name does not lead to one order.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// Several orders go by the name.
    #[error("{text:?} may be any of {}; name one of them", shown(.candidates))]
    Ambiguous {
        /// The name.
        text: String,
        /// The orders.
        candidates: Vec<OrderId>,
    },
    /// The order was closed.
    #[error(
        "the order {text:?} of {site} was closed: what has left for it stays counted, its details \
         are gone"
    )]
    Closed {
        /// The shop.
        site: Site,
        /// The name.
        text: String,
        /// Nothing had arrived for it since before this time.
        before: Timestamp,
    },
    /// No order goes by the name.
    #[error("no event of the order {text:?} of {site} was applied")]
    Unknown {
        /// The shop.
        site: Site,
        /// The name.
        text: String,
    },
    /// There is no such shop.
    #[error("there is no site {0}")]
    UnknownSite(Site),
    /// It is not a name at all.
    #[error("{text:?} is not a name of an order: it {source}")]
    Invalid {
        /// The name.
        text: String,
        /// Why not.
        source: IdentifierError,
    },
    /// The Store could not be read.
    #[error("cannot read the orders")]
    Store(#[from] StoreError),
}

fn shown(candidates: &[OrderId]) -> String {
    let names: Vec<String> =
        candidates.iter().take(CANDIDATES_SHOWN).map(ToString::to_string).collect();
    match candidates.len() - names.len() {
        0 => names.join(", "),
        more => format!("{}, and {more} more", names.join(", ")),
    }
}

/// Finds the one order of a site that goes by a name.
pub async fn find(store: &dyn Store, site: &Site, text: &str) -> Result<StoredOrder, OrderError> {
    let names = names(text)?;
    let mut found = orders::named(store, site, text).await?;
    if found.len() > 1 {
        return Err(OrderError::Ambiguous { text: text.to_owned(), candidates: found });
    }
    if let Some(name) = found.pop()
        && let Some(order) = orders::order(store, site, &name).await?
    {
        return Ok(order);
    }
    let (closed, before) = store.closed(site, &names).await?;
    let (site, text) = (site.clone(), text.to_owned());
    if closed.iter().any(Option::is_some) {
        return Err(OrderError::Closed { site, text, before });
    }
    if !store.sites().await?.contains(&site) {
        return Err(OrderError::UnknownSite(site));
    }
    Err(OrderError::Unknown { site, text })
}

/// The names that a text may stand for.
fn names(text: &str) -> Result<Vec<OrderId>, OrderError> {
    let with_kind = OrderId::parse(text).ok();
    let bare = Identifier::parse(text);
    match (with_kind, bare) {
        (None, Err(source)) => Err(OrderError::Invalid { text: text.to_owned(), source }),
        (with_kind, bare) => {
            let of_kind = |kind| Some(OrderId { kind, identifier: bare.clone().ok()? });
            Ok(with_kind
                .into_iter()
                .chain(OrderIdKind::ALL.into_iter().filter_map(of_kind))
                .collect())
        }
    }
}
