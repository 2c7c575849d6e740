//! Applies a change of policy to the orders: recomputes each of them, in pages.
//!
//! `storekeeper policy apply` puts the configured policy in force first. From then on the Store
//! rejects orders that were computed with another policy, so a worker that still runs with the old
//! one stops. Then every order with an older policy revision is recomputed here. Workers with the
//! new policy may run meanwhile: if both write one order, its revision decides.
//!
//! Where it may die:
//! 1. before the policy is in force: nothing happened;
//! 2. after that: some orders have an older policy revision, which an audit reports. Applying the
//!    same policy again changes no revision and continues with those.
//!
//! # Invariants
//! - Every order is written separately, completely or not at all: the stock is always the sum of
//!   what orders hold.

use std::collections::BTreeMap;

use super::Orders;
use crate::domain::{
    Counts, ItemNames, MessageId, Names, OrderId, Policy, PolicyInForce, Site, StockChange,
    StockKey, Timestamp, catalogue_names, recompute,
};
use crate::store::{Commit, Committed, PageRequest, Store, StoreError, orders};

/// How many orders are read, and written, at a time.
const PAGE: usize = 200;
/// How many items are named at a time: everything else waits for that commit.
const NAMES: usize = 1000;

/// Why orders could not be recomputed.
#[derive(Debug, thiserror::Error)]
pub enum RecomputeError {
    /// A Store operation failed.
    #[error("cannot compute orders again")]
    Store(#[from] StoreError),
    /// Another policy was put in force meanwhile.
    #[error("another policy was put in force meanwhile; look at `storekeeper policy show`")]
    PolicyChanged,
}

/// What is done with the computed orders.
#[derive(Debug, Clone, Copy)]
pub enum Mode {
    /// They are not written.
    DryRun,
    /// They are written, under a message id that stands for this run.
    Write {
        /// The message, for the change feed.
        message_id: MessageId,
        /// The time, for the change feed.
        at: Timestamp,
    },
}

/// The changes that a policy makes to one site.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effect {
    /// Orders that were computed with another policy.
    pub orders: u64,
    /// The orders among them that now hold something else.
    pub orders_changed: u64,
    /// The total change by item; items whose changes add up to zero are left out.
    pub items: BTreeMap<StockKey, Counts>,
    /// Orders that stay unchanged because a total would pass its limit.
    pub overflowed: Vec<OrderId>,
}

impl Effect {
    fn add(&mut self, changes: &[StockChange]) {
        self.orders += 1;
        self.orders_changed += u64::from(!changes.is_empty());
        for StockChange { key, delta, .. } in changes {
            let sum = self.items.entry(key.clone()).or_default();
            sum.committed = sum.committed.saturating_add(delta.committed);
            sum.fulfilled = sum.fulfilled.saturating_add(delta.fulfilled);
        }
    }
}

/// Recomputes every order of a site that was computed with another policy, and calls `progress`
/// with the number of orders in each page.
pub async fn site(
    store: &dyn Store,
    site: &Site,
    in_force: &PolicyInForce,
    mode: Mode,
    progress: impl Fn(u64) + Send,
) -> Result<Effect, RecomputeError> {
    let mut effect = Effect::default();
    if let Mode::Write { message_id, at } = mode {
        name_items(store, site, &in_force.policy, (message_id, at)).await?;
    }
    // Every order that is committed from now on is computed with this policy.
    let mut pages = Orders::of(store, site, PAGE).await?;
    while let Some(mut waiting) = pages.next_page().await? {
        progress(u64::try_from(waiting.len()).unwrap_or(u64::MAX));
        let mut run = RecomputeRun { store, site, in_force, mode, effect: &mut effect };
        // A conflict means that another writer committed the order: that is progress, so this loop
        // ends.
        while !waiting.is_empty() {
            waiting = run.turn(waiting).await?;
        }
    }
    effect.items.retain(|_, delta| *delta != Counts::default());
    Ok(effect)
}

struct RecomputeRun<'a> {
    store: &'a dyn Store,
    site: &'a Site,
    in_force: &'a PolicyInForce,
    mode: Mode,
    effect: &'a mut Effect,
}

impl RecomputeRun<'_> {
    /// Computes orders, and returns those that another writer has committed meanwhile.
    async fn turn(&mut self, waiting: Vec<OrderId>) -> Result<Vec<OrderId>, RecomputeError> {
        let mut readings = orders::read(self.store, self.site, &waiting).await?;
        let of_site = readings.of(self.site);
        let (mut outdated, mut commits) = (Vec::new(), Vec::new());
        for order in waiting {
            let record = of_site.reading.record(&order);
            if record.is_none_or(|record| record.policy == self.in_force.revision) {
                continue;
            }
            let part = of_site.reading.part([&Names::only(order.clone())]);
            let decision = recompute(&part, self.in_force);
            match self.mode {
                Mode::DryRun => self.effect.add(&decision.changes),
                Mode::Write { message_id, at } => {
                    let message = (message_id, at);
                    let revision = self.in_force.revision;
                    commits.push(of_site.commit(self.site, &part, decision, revision, message));
                    outdated.push(order);
                }
            }
        }
        if commits.is_empty() {
            return Ok(Vec::new());
        }
        let changes: Vec<_> = commits.iter().map(|commit| commit.changes.clone()).collect();
        let written = self.store.commit(commits).await?;
        let mut conflicted = Vec::new();
        for ((order, changes), written) in outdated.into_iter().zip(changes).zip(written) {
            match written {
                Committed::Written => self.effect.add(&changes),
                // A name of a closed order cannot be a name of an open order.
                Committed::Conflict | Committed::Closed { .. } => conflicted.push(order),
                Committed::PolicyChanged => return Err(RecomputeError::PolicyChanged),
                Committed::Overflow(error) => {
                    tracing::warn!(site = %self.site, %order, %error, "the order stays as it is");
                    self.effect.overflowed.push(order);
                }
            }
        }
        Ok(conflicted)
    }
}

/// Records the catalogue's names of items whose stock keys differ under another policy.
async fn name_items(
    store: &dyn Store,
    site: &Site,
    policy: &Policy,
    (message_id, at): (MessageId, Timestamp),
) -> Result<(), StoreError> {
    let mut page = PageRequest::first(PAGE);
    loop {
        let found = store.catalogue(site, &page).await?;
        let names: Vec<ItemNames> =
            found.items.iter().flat_map(|it| catalogue_names(&it.entry, policy)).collect();
        for names in names.chunks(NAMES) {
            let nothing = Commit::nothing(site.clone(), message_id, at);
            let commit = Commit { item_names: names.to_vec(), ..nothing };
            // It depends on nothing that could reject it, except that the site may be gone.
            if store.commit(vec![commit]).await? != [Committed::Written] {
                tracing::warn!(%site, "items of the catalogue could not be named");
            }
        }
        let Some(next) = found.next else { return Ok(()) };
        page.after = Some(next);
    }
}
