//! Repairs what an audit found, where records and receipts define the correct value.
//!
//! There are three steps, each an optimistic commit of its own. First, what orders hold is
//! recomputed. Then what items record that orders hold is set to what the orders record. Finally
//! each item's counts are set to the sums of their parts, and the change feed records that. The
//! comparison detects a commit that happens meanwhile, and the step is repeated. It may die
//! anywhere: the next repair finds the remaining differences.
//!
//! # Invariants
//! - No commit causes the difference between an item's counts and their sums, so it stays the same
//!   whatever is committed meanwhile, unless another repair is faster.
//! - The feed's changes of an item add up to its counts.

use std::collections::{BTreeMap, BTreeSet};

use super::feed::FeedReading as Feed;
use super::{Difference, Findings, Kind, PAGE, site as audit};
use crate::domain::{
    Cause, Counts, Identifier, MessageId, Names, OrderId, Site, StockChange, StockKey, Timestamp,
    recompute,
};
use crate::store::{
    AuditedItem, Commit, Committed, EntityName, ItemRepair, PageRequest, Store, StoreError, orders,
};

/// How many times a step is attempted while other commits are faster.
const ROUNDS_MAX: usize = 5;
/// How many orders are recomputed at a time.
const ORDERS: usize = 100;

/// The person and the message under which a repair is made.
#[derive(Debug, Clone)]
pub struct Repair {
    /// The person.
    pub actor: Identifier,
    /// The message id in the change feed.
    pub message_id: MessageId,
    /// The time of the repair.
    pub at: Timestamp,
}

/// The result of a repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// The findings before the repair.
    pub before: Findings,
    /// The findings that remain.
    pub after: Findings,
}

/// Audits a site, repairs what can be repaired, and audits it again.
pub async fn repair(
    store: &dyn Store,
    site: &Site,
    repair: &Repair,
    progress: impl Fn(u64) + Send + Sync,
) -> Result<Repaired, StoreError> {
    let before = audit(store, site, &progress).await?;
    let mut after = before.clone();
    let run = RepairRun { store, site, repair };
    for _ in 0..ROUNDS_MAX {
        if !after.differences.iter().any(|difference| difference.kind.is_repairable()) {
            break;
        }
        run.turn(&after.differences).await?;
        after = audit(store, site, |_| {}).await?;
    }
    Ok(Repaired { before, after })
}

struct RepairRun<'a> {
    store: &'a dyn Store,
    site: &'a Site,
    repair: &'a Repair,
}

impl RepairRun<'_> {
    async fn turn(&self, differences: &[Difference]) -> Result<(), StoreError> {
        let of_kind = |kind| differences.iter().filter(move |it| it.kind == kind);
        let applied: BTreeSet<OrderId> =
            of_kind(Kind::Applied).filter_map(|it| it.order.clone()).collect();
        let not_computed = self.orders(applied.into_iter().collect()).await?;
        let mut holds: BTreeMap<OrderId, BTreeSet<StockKey>> = BTreeMap::new();
        for it in of_kind(Kind::Hold) {
            if let (Some(order), Some(key)) = (&it.order, &it.key)
                && !not_computed.contains(order)
            {
                holds.entry(order.clone()).or_default().insert(key.clone());
            }
        }
        for (order, keys) in holds {
            self.holds(order, keys).await?;
        }
        self.items().await
    }

    const fn message(&self) -> (MessageId, Timestamp) {
        (self.repair.message_id, self.repair.at)
    }

    /// Recomputes orders; a resulting change to what they hold is a change like any other. Returns
    /// the orders that could not be written, because other commits were faster each time or a total
    /// would pass its limit. What these orders record about themselves is wrong, so items must not
    /// take it over.
    async fn orders(&self, mut names: Vec<OrderId>) -> Result<Vec<OrderId>, StoreError> {
        for _ in 0..ROUNDS_MAX {
            let Some(in_force) = self.store.policy().await? else { break };
            let mut refused = Vec::new();
            for names in names.chunks(ORDERS) {
                let mut readings = orders::read(self.store, self.site, names).await?;
                let of_site = readings.of(self.site);
                let (mut computed, mut commits) = (Vec::new(), Vec::new());
                for order in names {
                    let part = of_site.reading.part([&Names::only(order.clone())]);
                    let decision = recompute(&part, &in_force);
                    if decision.changes_anything() {
                        let (revision, message) = (in_force.revision, self.message());
                        commits.push(of_site.commit(self.site, &part, decision, revision, message));
                        computed.push(order.clone());
                    }
                }
                let written = self.store.commit(commits).await?.into_iter();
                let of_order = computed.into_iter().zip(written);
                let failed = of_order.filter(|(_, written)| *written != Committed::Written);
                refused.extend(failed.map(|(order, _)| order));
            }
            if refused.is_empty() {
                return Ok(refused);
            }
            names = refused;
        }
        Ok(names)
    }

    /// Sets what items record about an order to what the order records itself.
    async fn holds(&self, order: OrderId, keys: BTreeSet<StockKey>) -> Result<(), StoreError> {
        for _ in 0..ROUNDS_MAX {
            let found = self.store.audit_orders(self.site, std::slice::from_ref(&order)).await?;
            let found = found.into_iter().next();
            let (revision, applied) =
                found.map(|found| (found.revision, found.record.applied)).unzip();
            let applied = applied.unwrap_or_default();
            let changes = keys.iter().map(|key| StockChange {
                key: key.clone(),
                cause: Cause::Order(order.clone()),
                delta: Counts::default(),
                hold: Some(applied.get(key).copied().unwrap_or_default()),
                closed: None,
            });
            let (message_id, at) = self.message();
            let commit = Commit {
                read: vec![(EntityName::Order(order.clone()), revision)],
                changes: changes.collect(),
                ..Commit::nothing(self.site.clone(), message_id, at)
            };
            if self.store.commit(vec![commit]).await? != [Committed::Conflict] {
                break;
            }
        }
        Ok(())
    }

    /// Sets the counts of every item to the sums of their parts.
    async fn items(&self) -> Result<(), StoreError> {
        let mut feed = Feed::default();
        let mut page = PageRequest::first(PAGE);
        loop {
            let found = self.store.audit_items(self.site, &page).await?;
            feed.read_on(self.store, self.site).await?;
            for item in &found.items {
                if self.of_item(item, &feed).is_some() {
                    self.item(&page, &item.key, &mut feed).await?;
                }
                page.after = Some(item.key.to_string());
            }
            let Some(next) = found.next else { return Ok(()) };
            page.after = Some(next);
        }
    }

    /// Repairs one item: the first after the position of the page.
    async fn item(
        &self,
        page: &PageRequest,
        key: &StockKey,
        feed: &mut Feed,
    ) -> Result<(), StoreError> {
        let page = PageRequest { after: page.after.clone(), limit: 1 };
        for _ in 0..ROUNDS_MAX {
            feed.read_on(self.store, self.site).await?;
            let before = feed.latest(key);
            let mut found = self.store.audit_items(self.site, &page).await?.items.into_iter();
            let Some(item) = found.next().filter(|item| item.key == *key) else { return Ok(()) };
            // If the feed's last change of the item is still the same, it was also the last one
            // when the item was read.
            feed.read_on(self.store, self.site).await?;
            if feed.latest(key) != before {
                continue;
            }
            let Some(repair) = self.of_item(&item, feed) else { return Ok(()) };
            if self.store.repair_item(self.site, repair).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Returns the repair of an item, if it needs one. A sum beyond the limits of a count is left
    /// to a person.
    fn of_item(&self, item: &AuditedItem, feed: &Feed) -> Option<ItemRepair> {
        let counts = Counts::default().plus(item.sums?).ok()?;
        let in_feed = feed.latest(&item.key).map_or(item.counts, |(_, after)| after);
        let is_right = item.counts == counts && in_feed == counts;
        let (message_id, at) = self.message();
        (!is_right).then(|| ItemRepair {
            key: item.key.clone(),
            read: item.counts,
            counts,
            delta: Counts {
                received: counts.received.saturating_sub(in_feed.received),
                committed: counts.committed.saturating_sub(in_feed.committed),
                fulfilled: counts.fulfilled.saturating_sub(in_feed.fulfilled),
            },
            actor: self.repair.actor.clone(),
            message_id,
            at,
        })
    }
}
