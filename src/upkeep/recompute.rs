//! What a change of policy does to the orders: each is computed again, in pages.
//!
//! `storekeeper policy apply` puts the configured policy in force first; from then on the Store
//! refuses orders that were computed with another, so a worker that still runs with the old one
//! stops. Then every order that names an older revision is computed again here. Workers of the
//! new policy may run meanwhile: what both do to one order is decided by its revision.
//!
//! Where it may die:
//! 1. before the policy is in force: nothing happened;
//! 2. after that: some orders name an older revision, which an audit reports. Applying the same
//!    policy again changes no revision and goes on with those.
//!
//! # Invariants
//! - Every order is written by itself, whole or not at all: the stock is at all times the sum of
//!   what orders hold.

use std::collections::BTreeMap;

use super::Orders;
use crate::domain::{
    Counts, ItemNames, MessageId, Names, OrderId, Policy, PolicyInForce, Site, StockChange,
    StockKey, Timestamp, catalogue_names, recompute,
};
use crate::store::{Commit, Committed, PageRequest, Store, StoreError, orders};

/// Orders that are read, and written, at a time.
const PAGE: usize = 200;
/// Items that are named at a time: all else waits for it.
const NAMES: usize = 1000;

/// Why orders could not be computed again.
#[derive(Debug, thiserror::Error)]
pub enum RecomputeError {
    /// The Store did not do what was asked.
    #[error("cannot compute orders again")]
    Store(#[from] StoreError),
    /// Somebody else put another policy in force.
    #[error("another policy was put in force meanwhile; look at `storekeeper policy show`")]
    PolicyChanged,
}

/// What is done with what was computed.
#[derive(Debug, Clone, Copy)]
pub enum Mode {
    /// Nothing.
    DryRun,
    /// It is written, in the name of a message that stands for this run.
    Write {
        /// The message, for the change feed.
        message_id: MessageId,
        /// The time, for the change feed.
        at: Timestamp,
    },
}

/// What a policy changes in one site.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effect {
    /// Orders that were computed with another policy.
    pub orders: u64,
    /// Those that hold something else now.
    pub orders_changed: u64,
    /// What changes in sum, by item; items whose changes add up to nothing are left out.
    pub items: BTreeMap<StockKey, Counts>,
    /// Orders that stay as they were, because a total would pass its limit.
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

/// Computes every order of a site again that was computed with another policy; `progress` hears of
/// every order that was looked at.
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
    // Whatever is committed from now on is computed with this policy.
    let mut pages = Orders::of(store, site, PAGE).await?;
    while let Some(mut waiting) = pages.next_page().await? {
        progress(u64::try_from(waiting.len()).unwrap_or(u64::MAX));
        let mut run = RecomputeRun { store, site, in_force, mode, effect: &mut effect };
        // A conflict means that somebody else wrote the order: that is progress, so this ends.
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
    /// Computes orders and returns those that somebody else has written meanwhile.
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
                // A name of a closed order is no name of an order that is open.
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

/// Notes what the catalogue calls items that are others under another policy.
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
            // Nothing that it depends on can refuse it, but that the site is gone.
            if store.commit(vec![commit]).await? != [Committed::Written] {
                tracing::warn!(%site, "items of the catalogue could not be named");
            }
        }
        let Some(next) = found.next else { return Ok(()) };
        page.after = Some(next);
    }
}
