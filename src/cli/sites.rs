//! Whether a site that was named is one of those that the Store knows.
//!
//! A mistyped name selects nothing, and nothing looks like an empty shop: whoever names a site is
//! told when there is no such one. A site is known from its first commit on.

use anyhow::Context;

use super::output::Output;
use crate::domain::Site;
use crate::store::ReadStore;

/// How many sites are named to a person who named none of them.
const NAMES_SHOWN: usize = 10;

/// The site that was named, or every site; `None` if there is no such one, which is said.
pub(super) async fn chosen(
    store: &dyn ReadStore,
    site: Option<&Site>,
    output: &mut Output<'_>,
) -> anyhow::Result<Option<Vec<Site>>> {
    match site {
        Some(site) => Ok(is_known(store, site, output).await?.then(|| vec![site.clone()])),
        None => store.sites().await.context("cannot list the sites").map(Some),
    }
}

/// Whether anything is known of a site; if not, says which sites there are.
pub(super) async fn is_known(
    store: &dyn ReadStore,
    site: &Site,
    output: &mut Output<'_>,
) -> anyhow::Result<bool> {
    let sites = store.sites().await.context("cannot list the sites")?;
    if sites.contains(site) {
        return Ok(true);
    }
    let names: Vec<&str> = sites.iter().take(NAMES_SHOWN).map(Site::as_str).collect();
    let more = sites.len() - names.len();
    output.say(match (names.join(", "), more) {
        (_, 0) if names.is_empty() => {
            format!("no such site: {site}; a site is known from its first webhook or receipt on")
        }
        (names, 0) => format!("no such site: {site}; there are: {names}"),
        (names, more) => format!("no such site: {site}; there are: {names}, and {more} more"),
    })?;
    Ok(false)
}
