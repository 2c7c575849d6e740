//! The audit: recomputes every number from its parts, and compares.
//!
//! A site is read page by page while workers go on. Each pair that is compared was read at one
//! moment. Differences are read once more, and only a difference that is still the same is
//! reported, so neither a moving system nor a policy that is put in force meanwhile is a
//! difference. Only [`repair()`] writes, and only on request. An order that cannot be read is a
//! difference, and the others are still checked.
//!
//! # Invariants
//! - What is compared, and when it differs, is defined only in [`rules`].
//! - Memory does not grow with the number of orders, only with the numbers of differences and
//!   items.

mod feed;
mod repair;
mod rules;

use std::future::Future;

pub use repair::{Repair, Repaired, repair};
pub use rules::{Difference, Kind};

use crate::domain::{Link, Names, OrderId, PolicyInForce, Reading, Site};
use crate::store::orders::{self, OrderReadings};
use crate::store::{AuditedOrder, PageRequest, Store, StoreError};
use crate::upkeep::Orders;

/// How many rows are read at a time.
const PAGE: usize = 500;
/// The most differences of a site that are kept; more are only counted.
const KEPT_MAX: usize = 1000;

/// The result of an audit of a site.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// The differences, at most a thousand.
    pub differences: Vec<Difference>,
    /// The number of differences.
    pub differences_count: u64,
    /// How many second names were seen beside several ids. A person should look at them, but they
    /// are not differences.
    pub names_contested: u64,
    /// How many orders were checked.
    pub orders: u64,
    /// How many items were checked.
    pub items: u64,
}

impl Findings {
    /// How many of the differences are in past entries of the change feed. No count depends on
    /// those, and they go when their retention has passed.
    pub fn of_feed(&self) -> u64 {
        let of_feed = self.differences.iter().filter(|it| it.kind == Kind::After);
        u64::try_from(of_feed.count()).unwrap_or(u64::MAX)
    }

    fn add(&mut self, found: Vec<Difference>) {
        self.differences_count += u64::try_from(found.len()).unwrap_or(u64::MAX);
        let room = KEPT_MAX.saturating_sub(self.differences.len());
        self.differences.extend(found.into_iter().take(room));
    }
}

/// Audits one site and calls `progress` with the number of orders in each page.
pub async fn site(
    store: &dyn Store,
    site: &Site,
    progress: impl Fn(u64) + Send,
) -> Result<Findings, StoreError> {
    let mut findings = Findings::default();
    orders(store, site, &progress, &mut findings).await?;
    names(store, site, &mut findings).await?;
    holds(store, site, &mut findings).await?;
    items(store, site, &mut findings).await?;
    findings.add(feed::differences(store, site).await?);
    Ok(findings)
}

/// Compares what orders hold with what they should hold, and with what the items record.
async fn orders(
    store: &dyn Store,
    site: &Site,
    progress: &(impl Fn(u64) + Send),
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let mut pages = Orders::of(store, site, PAGE).await?;
    while let Some(due) = pages.next_page().await? {
        let count = u64::try_from(due.len()).unwrap_or(u64::MAX);
        progress(count);
        findings.orders += count;
        let look = || of_readable(store, site, &due, Compared::Orders);
        findings.add(persisting(look().await?, look).await?);
    }
    Ok(())
}

/// Returns the differences of orders. If the policy changes between two readings, the orders differ
/// from it only until they are recomputed.
async fn of_orders(
    store: &dyn Store,
    site: &Site,
    names: &[OrderId],
) -> Result<Vec<Difference>, StoreError> {
    let mut readings = orders::read(store, site, names).await?;
    let reading = &readings.of(site).reading;
    // Includes the records that lead to an order, which must hold nothing themselves.
    let members: Vec<OrderId> = names
        .iter()
        .flat_map(|order| reading.members(order).into_iter().map(|(name, _)| name.clone()))
        .collect();
    let audited: Vec<AuditedOrder> = store.audit_orders(site, &members).await?;
    let in_force: Option<PolicyInForce> = store.policy().await?;
    Ok(rules::of_orders(&audited, reading, in_force.as_ref()))
}

/// Compares what second names and invoice numbers lead to with what exists.
async fn names(store: &dyn Store, site: &Site, findings: &mut Findings) -> Result<(), StoreError> {
    let mut page = PageRequest::first(PAGE);
    loop {
        let found = store.links(site, &page).await?;
        let is_contested =
            |(name, link): &&(OrderId, Link)| name.kind.is_second_name() && link.is_contested();
        let contested = found.items.iter().filter(is_contested).count();
        findings.names_contested += u64::try_from(contested).unwrap_or(u64::MAX);
        let names: Vec<OrderId> = found.items.into_iter().map(|(name, _)| name).collect();
        let look = || of_readable(store, site, &names, Compared::Names);
        findings.add(persisting(look().await?, look).await?);
        let Some(next) = found.next else { return Ok(()) };
        page.after = Some(next);
    }
}

async fn of_names(
    store: &dyn Store,
    site: &Site,
    names: &[OrderId],
) -> Result<Vec<Difference>, StoreError> {
    let own: Vec<Names> = names.iter().cloned().map(Names::only).collect();
    let mut readings = OrderReadings::default();
    let events: Vec<_> = own.iter().map(|names| (site, names)).collect();
    readings.fill(store, &events, Vec::new()).await?;
    readings.fill_links(store, site, names).await?;
    // Every id that was seen beside a name must exist, even if the name leads nowhere.
    let beside: Vec<OrderId> = {
        let reading: &Reading = &readings.of(site).reading;
        names.iter().flat_map(|name| reading.link(name).ids).collect()
    };
    let beside: Vec<Names> = beside.into_iter().map(Names::only).collect();
    let events: Vec<_> = beside.iter().map(|names| (site, names)).collect();
    readings.fill(store, &events, Vec::new()).await?;
    // A contested name keeps the ids that were seen beside it, including those of closed orders.
    let reading = &readings.of(site).reading;
    let gone = beside.iter().map(Names::own).filter(|id| reading.record(id).is_none());
    let gone: Vec<OrderId> = gone.cloned().collect();
    if !gone.is_empty() {
        let (closed, watermark) = store.closed(site, &gone).await?;
        readings.add_closed(site, gone.into_iter().zip(closed), watermark);
    }
    Ok(rules::of_names(names, &readings.of(site).reading))
}

/// Compares what items record that orders hold with what the orders record.
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

/// Compares the counts of items with the sums of their parts.
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

/// What the names are compared as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Compared {
    Orders,
    Names,
}

/// Returns the differences of names. If one of them cannot be read, the names are split until all
/// others were checked.
async fn of_readable(
    store: &dyn Store,
    site: &Site,
    names: &[OrderId],
    compared: Compared,
) -> Result<Vec<Difference>, StoreError> {
    let (mut found, mut open) = (Vec::new(), vec![names]);
    while let Some(names) = open.pop() {
        let differences = match compared {
            Compared::Orders => of_orders(store, site, names).await,
            Compared::Names => of_names(store, site, names).await,
        };
        match (differences, names) {
            (Ok(differences), _) => found.extend(differences),
            (Err(error), [only]) if error.is_of_data() => {
                // A name that cannot be read was already reported with its order.
                let is_reported = compared == Compared::Names;
                found.extend((!is_reported).then(|| Difference::unreadable(only, &error)));
            }
            (Err(error), [_, _, ..]) if error.is_of_data() => {
                let (first, second) = names.split_at(names.len() / 2);
                open.extend([second, first]);
            }
            (Err(error), _) => return Err(error),
        }
    }
    Ok(found)
}

/// Returns the differences that a second look finds unchanged.
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
