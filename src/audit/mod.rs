//! The audit: every number is computed again from what it is made of, and compared.
//!
//! A site is read page by page while workers go on. Each pair that is compared was read at one
//! moment; what differs is read once more, and only a difference that is still the same is
//! reported. So a moving system, or a policy that is put in force meanwhile, is no difference.
//! Nothing is written.
//!
//! # Invariants
//! - What is compared, and when it differs, is said in [`rules`] and nowhere else.
//! - Memory does not grow with the number of orders, only with that of differences and items.

mod feed;
mod rules;

use std::future::Future;

pub use rules::{Difference, Kind};

use crate::domain::{PolicyInForce, Site};
use crate::store::{Page, PageRequest, Store, StoreError};

/// Rows that are read at a time.
const PAGE: usize = 500;
/// At most so many differences of a site are kept; more are only counted.
const KEPT_MAX: usize = 1000;

/// What an audit of a site found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// What differs, at most a thousand.
    pub differences: Vec<Difference>,
    /// How many differences there are.
    pub differences_count: u64,
    /// Orders whose names another order bears too: for a person to look at, and no difference.
    pub alias_conflicts: Vec<crate::domain::OrderId>,
    /// How many orders were looked at.
    pub orders: u64,
    /// How many items were looked at.
    pub items: u64,
}

impl Findings {
    fn add(&mut self, found: Vec<Difference>) {
        self.differences_count += u64::try_from(found.len()).unwrap_or(u64::MAX);
        let room = KEPT_MAX.saturating_sub(self.differences.len());
        self.differences.extend(found.into_iter().take(room));
    }
}

/// Audits one site; `progress` hears of every order that was looked at.
pub async fn site(
    store: &dyn Store,
    site: &Site,
    progress: impl Fn(u64) + Send,
) -> Result<Findings, StoreError> {
    let mut findings = Findings::default();
    orders(store, site, &progress, &mut findings).await?;
    holds(store, site, &mut findings).await?;
    items(store, site, &mut findings).await?;
    findings.add(feed::differences(store, site).await?);
    Ok(findings)
}

/// Compares what orders hold with what they should hold, and with what the items say.
async fn orders(
    store: &dyn Store,
    site: &Site,
    progress: &(impl Fn(u64) + Send),
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let mut page = PageRequest::first(PAGE);
    loop {
        let (found, in_force) = read_orders(store, site, &page).await?;
        let differences = rules::of_orders(&found.items, in_force.as_ref());
        let read = u64::try_from(found.items.len()).unwrap_or(u64::MAX);
        progress(read);
        findings.orders += read;
        let conflicts = found.items.iter().filter(|order| order.stored.alias_conflict);
        let room = KEPT_MAX.saturating_sub(findings.alias_conflicts.len());
        let conflicts = conflicts.map(|order| order.stored.order.clone()).take(room);
        findings.alias_conflicts.extend(conflicts);
        let persisting = persisting(differences, async || {
            let (again, in_force) = read_orders(store, site, &page).await?;
            Ok(rules::of_orders(&again.items, in_force.as_ref()))
        });
        findings.add(persisting.await?);
        let Some(next) = found.next else { return Ok(()) };
        page.after = Some(next);
    }
}

/// Orders and the policy in force; should that change between the two, the orders differ from it
/// only until they are computed again.
async fn read_orders(
    store: &dyn Store,
    site: &Site,
    page: &PageRequest,
) -> Result<(Page<crate::store::AuditedOrder>, Option<PolicyInForce>), StoreError> {
    let orders = store.audit_orders(site, page).await?;
    Ok((orders, store.policy().await?))
}

/// Compares what items say that orders hold with what those say.
async fn holds(store: &dyn Store, site: &Site, findings: &mut Findings) -> Result<(), StoreError> {
    let mut page = PageRequest::first(PAGE);
    loop {
        let found = store.audit_holds(site, &page).await?;
        let differences = rules::of_holds(&found.items);
        let persisting = persisting(differences, async || {
            Ok(rules::of_holds(&store.audit_holds(site, &page).await?.items))
        });
        findings.add(persisting.await?);
        let Some(next) = found.next else { return Ok(()) };
        page.after = Some(next);
    }
}

/// Compares the counts of items with the sums of what they are made of.
async fn items(store: &dyn Store, site: &Site, findings: &mut Findings) -> Result<(), StoreError> {
    let mut page = PageRequest::first(PAGE);
    loop {
        let found = store.audit_items(site, &page).await?;
        findings.items += u64::try_from(found.items.len()).unwrap_or(u64::MAX);
        let differences = rules::of_items(&found.items);
        let persisting = persisting(differences, async || {
            Ok(rules::of_items(&store.audit_items(site, &page).await?.items))
        });
        findings.add(persisting.await?);
        let Some(next) = found.next else { return Ok(()) };
        page.after = Some(next);
    }
}

/// The differences that are still there, and the same, when they are looked for again.
async fn persisting<F: Future<Output = Result<Vec<Difference>, StoreError>>>(
    differences: Vec<Difference>,
    look_again: impl FnOnce() -> F,
) -> Result<Vec<Difference>, StoreError> {
    if differences.is_empty() {
        return Ok(differences);
    }
    let again = look_again().await?;
    Ok(differences.into_iter().filter(|difference| again.contains(difference)).collect())
}
