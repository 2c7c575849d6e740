//! Finds the stock item that a path names, and the problem if there is none.

use serde::Deserialize;
use utoipa::IntoParams;

use super::Backends;
use super::request::{invalid, parse_site};
use crate::domain::{Site, StockKey};
use crate::http::problem::{Problem, ProblemCode};
use crate::requests::items::{self, Create, ItemError};

/// What a request does with an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It shows the counts.
    Read,
    /// It changes the counts, and may create the item.
    Change(Create),
}

/// The path of a stock item.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct ItemPath {
    /// The shop.
    site: String,
    /// Any name of the stock item, bare or as `kind:identifier`, a slash as %2F.
    #[param(example = "product:P1")]
    key: String,
}

impl ItemPath {
    /// An item of a site, by any of its names.
    pub(super) fn new(site: &Site, key: String) -> Self {
        Self { site: site.to_string(), key }
    }
}

/// The item that a path names, by any of its names.
pub(super) async fn resolve(
    backends: &Backends,
    ItemPath { site, key }: &ItemPath,
    purpose: Purpose,
) -> Result<(Site, StockKey), Problem> {
    let site = parse_site(site)?;
    let create = match purpose {
        Purpose::Read => Create::Never,
        Purpose::Change(create) => create,
    };
    let found = items::resolve(&*backends.store, &site, key, create).await;
    let key = found.map_err(|error| problem(error, purpose))?;
    Ok((site, key))
}

fn problem(error: ItemError, purpose: Purpose) -> Problem {
    let detail = error.to_string();
    let mut nearest = Vec::new();
    let code = match (error, purpose) {
        (ItemError::Store(error), _) => return error.into(),
        (ItemError::Invalid { source, .. }, _) => return invalid(format!("stock key: {source}")),
        (ItemError::Ambiguous { candidates, .. }, _) => {
            let candidates = candidates.iter().map(ToString::to_string).collect();
            return Problem::new(ProblemCode::StockAmbiguous, detail).with_candidates(candidates);
        }
        (ItemError::Unknown { .. }, Purpose::Read) => {
            return Problem::new(ProblemCode::StockUnknown, "this item was never counted");
        }
        (ItemError::UnknownSite { site, .. }, Purpose::Read | Purpose::Change(Create::Never)) => {
            return site_unknown(&site);
        }
        (ItemError::Unknown { hint, .. }, Purpose::Change(Create::Yes)) => {
            return invalid(format!("stock key: {hint}"));
        }
        (ItemError::Unknown { nearest: keys, can_create, .. }, Purpose::Change(_)) => {
            nearest.extend(keys.iter().map(ToString::to_string));
            if can_create { ProblemCode::StockCreateNeeded } else { ProblemCode::StockUnknown }
        }
        (ItemError::UnknownSite { nearest: sites, .. }, Purpose::Change(_)) => {
            nearest.extend(sites.iter().map(ToString::to_string));
            ProblemCode::StockCreateNeeded
        }
    };
    Problem::new(code, detail).with_candidates(nearest)
}

/// There is no such site.
pub(super) fn site_unknown(site: &Site) -> Problem {
    let detail = format!("there is no site {site}; /v1/sites lists the sites");
    Problem::new(ProblemCode::SiteUnknown, detail)
}

/// Refuses a site that the Store does not know.
pub(super) async fn check_site(backends: &Backends, site: &Site) -> Result<(), Problem> {
    let sites = backends.store.sites().await?;
    if sites.contains(site) { Ok(()) } else { Err(site_unknown(site)) }
}
