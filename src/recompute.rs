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

use crate::domain::{
    Counts, EntityName, EntityState, MessageId, OrderId, OrderState, PolicyInForce, Site,
    StockChange, StockKey, Timestamp, recompute,
};
use crate::store::{
    Commit, Committed, EntityId, PageRequest, Revision, Store, StoreError, StoredOrder,
};

/// Orders that are read, and written, at a time.
const PAGE: usize = 200;

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
    let mut page = PageRequest::first(PAGE);
    loop {
        let found = store.orders(site, &page).await?;
        let read = u64::try_from(found.items.len()).unwrap_or(u64::MAX);
        let mut waiting: Vec<_> = found.items.into_iter().map(Waiting::from).collect();
        // A conflict means that somebody else wrote the order: that is progress, so this ends.
        while !waiting.is_empty() {
            waiting.retain(|order| order.state.policy != in_force.revision);
            waiting = match mode {
                Mode::DryRun => foresee(waiting, in_force, &mut effect),
                Mode::Write { message_id, at } => {
                    let commit = |order| commit(order, in_force, message_id, at);
                    let commits = waiting.into_iter().map(commit).collect();
                    write(store, site, commits, &mut effect).await?
                }
            };
        }
        progress(read);
        let Some(next) = found.next else { break };
        page.after = Some(next);
    }
    effect.items.retain(|_, delta| *delta != Counts::default());
    Ok(effect)
}

/// An order that may have to be computed again.
struct Waiting {
    id: EntityId,
    revision: Revision,
    state: OrderState,
}

impl From<StoredOrder> for Waiting {
    fn from(stored: StoredOrder) -> Self {
        let id = EntityId { site: stored.site, name: EntityName::Order(stored.order) };
        Self { id, revision: stored.revision, state: stored.state }
    }
}

fn foresee(waiting: Vec<Waiting>, in_force: &PolicyInForce, effect: &mut Effect) -> Vec<Waiting> {
    for order in waiting {
        effect.add(&recompute(order.state, in_force).changes);
    }
    Vec::new()
}

fn commit(
    order: Waiting,
    in_force: &PolicyInForce,
    message_id: MessageId,
    at: Timestamp,
) -> Commit {
    let decision = recompute(order.state, in_force);
    Commit {
        entity: order.id,
        loaded: Some(order.revision),
        state: EntityState::Order(Box::new(decision.state)),
        changes: decision.changes,
        message_id,
        at,
    }
}

/// Writes orders and answers with those that somebody else has written meanwhile.
async fn write(
    store: &dyn Store,
    site: &Site,
    commits: Vec<Commit>,
    effect: &mut Effect,
) -> Result<Vec<Waiting>, RecomputeError> {
    let written = store.commit(commits.clone()).await?;
    let mut conflicted = Vec::new();
    for (commit, written) in commits.into_iter().zip(written) {
        match written {
            Committed::Written { .. } => effect.add(&commit.changes),
            Committed::Conflict => conflicted.push(commit.entity),
            // It was closed meanwhile: what it holds is what it held under its own policy.
            Committed::Closed { .. } => {}
            Committed::PolicyChanged => return Err(RecomputeError::PolicyChanged),
            Committed::Overflow(error) => {
                if let EntityName::Order(order) = commit.entity.name {
                    tracing::warn!(%site, %order, %error, "the order stays as it is");
                    effect.overflowed.push(order);
                }
            }
        }
    }
    let loaded = store.load(&conflicted).await?;
    let waiting = conflicted.into_iter().zip(loaded).filter_map(|(id, loaded)| {
        let loaded = loaded?;
        let EntityState::Order(state) = loaded.state else { return None };
        Some(Waiting { id, revision: loaded.revision, state: *state })
    });
    Ok(waiting.collect())
}
