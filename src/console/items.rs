//! Which stock item a path means, and what is answered if it is none.

use super::request::{invalid, parse_site};
use super::{Backends, store_problem};
use crate::domain::{Site, StockKey};
use crate::http::problem::{Problem, ProblemCode};
use crate::requests::items::{self, Create, ItemError};

/// What is wanted of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Its counts.
    Read,
    /// To change its counts, and maybe to make it.
    Change(Create),
}

/// The item that a path names, by any of its names.
pub(super) async fn resolve(
    backends: &Backends,
    (site, key): (&str, &str),
    purpose: Purpose,
) -> Result<(Site, StockKey), Problem> {
    let site = parse_site(site)?;
    let create = match purpose {
        Purpose::Read => Create::Never,
        Purpose::Change(create) => create,
    };
    let found = items::resolve(&*backends.store, &site, key, create).await;
    let key = found.map_err(|error| problem(&error, key, purpose))?;
    Ok((site, key))
}

fn problem(error: &ItemError, key: &str, purpose: Purpose) -> Problem {
    let is_whole = StockKey::parse(key).is_ok();
    let code = match (error, purpose) {
        (ItemError::Store(error), _) => return store_problem(error),
        (ItemError::Invalid { source, .. }, _) => return invalid(format!("stock key: {source}")),
        (ItemError::Ambiguous { candidates, .. }, _) => {
            let candidates = candidates.iter().map(ToString::to_string).collect();
            let problem = Problem::new(ProblemCode::StockAmbiguous, error.to_string());
            return problem.with_candidates(candidates);
        }
        (ItemError::Unknown { .. }, Purpose::Read) => {
            return Problem::new(ProblemCode::StockUnknown, "this item was never counted");
        }
        (ItemError::UnknownSite { site }, Purpose::Read) => return site_unknown(site),
        (ItemError::Unknown { hint, .. }, Purpose::Change(Create::Yes)) => {
            return invalid(format!("stock key: {hint}"));
        }
        (ItemError::Unknown { .. }, Purpose::Change(Create::Never)) => ProblemCode::StockUnknown,
        (ItemError::UnknownSite { site }, Purpose::Change(Create::Never)) => {
            return site_unknown(site);
        }
        (ItemError::Unknown { .. }, Purpose::Change(Create::No)) if !is_whole => {
            ProblemCode::StockUnknown
        }
        (ItemError::Unknown { .. } | ItemError::UnknownSite { .. }, Purpose::Change(_)) => {
            ProblemCode::StockCreateNeeded
        }
    };
    Problem::new(code, error.to_string())
}

/// There is no such site.
pub(super) fn site_unknown(site: &Site) -> Problem {
    let detail = format!("there is no site {site}; /v1/sites lists those there are");
    Problem::new(ProblemCode::SiteUnknown, detail)
}

/// Refuses a site of which nothing is known; for lists that found nothing, as an empty answer would
/// hide a misspelt name.
pub(super) async fn check_site(backends: &Backends, site: &Site) -> Result<(), Problem> {
    let sites = backends.store.sites().await.map_err(|error| store_problem(&error))?;
    if sites.contains(site) { Ok(()) } else { Err(site_unknown(site)) }
}
