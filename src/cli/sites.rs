//! `sites`, and the check that the Store knows the site that a person named.
//!
//! A mistyped name selects nothing, which would look like an empty shop, so it is an error. A site
//! is known from its first commit on.

use anyhow::Context;

use super::ExitStatus;
use super::output::Output;
use super::table::{Column, Listing, text};
use crate::console::views::SiteView;
use crate::domain::Site;
use crate::http::problem::ProblemCode;
use crate::store::{ReadStore, Store};

/// How many sites are suggested in place of an unknown one.
const NAMES_SHOWN: usize = 10;

const COLUMNS: &[Column<SiteView>] = &[Column::name("SITE", |site| text(&site.site))];

/// Lists the sites.
pub async fn run(store: &dyn Store, output: &mut Output<'_>) -> anyhow::Result<ExitStatus> {
    let sites = store.sites().await.context("cannot list the sites")?;
    let mut listing = Listing::new(COLUMNS);
    listing.add(sites.iter().map(SiteView::from), output)?;
    listing.finish_or_say("No sites.", output)
}

/// The named site, or every site; `None`, after a message, if there is no such site.
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

/// Whether the Store knows a site; if not, lists the sites that it knows.
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
    let reason = match (names.join(", "), more) {
        (_, 0) if names.is_empty() => {
            format!("no such site: {site}; a site is known from its first webhook or receipt on")
        }
        (names, 0) => format!("no such site: {site}; there are: {names}"),
        (names, more) => format!("no such site: {site}; there are: {names}, and {more} more"),
    };
    output.not_found(ProblemCode::SiteUnknown, reason)?;
    Ok(false)
}

/// Reports a site that does not exist.
pub(super) async fn say_unknown(
    store: &dyn ReadStore,
    site: &Site,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    is_known(store, site, output).await?;
    Ok(ExitStatus::NotHeld)
}
