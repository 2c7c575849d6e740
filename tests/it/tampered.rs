//! A decorator of the Store that misbehaves: when, and how, each test says.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use storekeeper::domain::dead_letter::DeadLetterState;
use storekeeper::domain::{
    ClosedName, Identifier, LeaderClock, Link, List, MessageId, OrderId, Policy, PolicyInForce,
    PolicyOrigin, Site, StockKey, StockKeyKind, Timestamp, TotalError,
};
use storekeeper::store::embedded::EmbeddedStore;
use storekeeper::store::{
    Asked, AuditedHold, AuditedItem, AuditedOrder, Catalogue, Change, Commit, Committed,
    DeadLetterCommit, DeadLetterFilter, DeadLetterGroup, DeadLetterName, DeadLetterPlace,
    DeadLetterTotals, DeadLettersCommitted, Direction, EntityId, EntityName, FeedStart, Fence,
    Found, ItemRepair, Listed, LoadedDeadLetter, LoadedReplay, Page, PageRequest, ReadStore,
    ReplayId, ReplayList, ReplayPlace, StateStore, StockDetail, StockItem, StoreError, UpkeepStore,
};

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It panics.
    Panic,
    /// It is refused.
    Refusal,
    /// The Store is away.
    Away,
    /// A newer release wrote what is asked for.
    Newer,
    /// It is done, and its answer is lost.
    LostAnswer,
    /// Somebody else writes the same before.
    Race,
    /// Somebody else has written something else before.
    Beaten,
    /// It would pass a limit.
    Overflow,
}

/// A call, as far as faults tell calls apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Load,
    Commit,
    /// Any other that writes.
    Write,
}

/// Says what goes wrong.
pub(crate) trait Faults: Debug + Send + Sync + 'static {
    /// What goes wrong with a call that is about these entities; `None` if it goes well.
    fn strike(&self, call: Call, entities: &[EntityId]) -> Option<Fault>;
}

#[derive(Debug)]
pub(crate) struct Tampered<F> {
    pub(crate) inner: Arc<EmbeddedStore>,
    pub(crate) faults: F,
    /// Calls that broke the port's condition: one commit of an entity at most.
    pub(crate) repeating_calls: AtomicUsize,
}

impl<F: Faults> Tampered<F> {
    pub(crate) fn new(inner: Arc<EmbeddedStore>, faults: F) -> Self {
        Self { inner, faults, repeating_calls: AtomicUsize::new(0) }
    }

    /// Makes a call, unless the fault keeps it from being made or answered.
    async fn suffer<T>(
        &self,
        fault: Option<Fault>,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match fault {
            // Without a message: the test wants it so.
            Some(Fault::Panic) => std::panic::resume_unwind(Box::new(())),
            Some(Fault::Refusal) => {
                Err(StoreError::Rejected { source: "the test wants it so".into() })
            }
            Some(Fault::Away) => Err(away()),
            Some(Fault::Newer) => Err(StoreError::Newer { detail: "the test wants it so".into() }),
            Some(Fault::LostAnswer) => {
                call.await?;
                Err(away())
            }
            Some(Fault::Race | Fault::Beaten | Fault::Overflow) | None => call.await,
        }
    }

    async fn write<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.suffer(self.faults.strike(Call::Write, &[]), call).await
    }
}

fn away() -> StoreError {
    StoreError::Unavailable { source: "the test wants it so".into() }
}

#[async_trait]
impl<F: Faults> StateStore for Tampered<F> {
    async fn load(&self, asked: &Asked) -> Result<Found, StoreError> {
        let fault = self.faults.strike(Call::Load, &asked.entities);
        self.suffer(fault, self.inner.load(asked)).await
    }

    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<Committed>, StoreError> {
        let written = |commit: &Commit| -> Vec<EntityId> {
            let entity =
                |name: &EntityName| EntityId { site: commit.site.clone(), name: name.clone() };
            commit.writes.iter().map(|write| entity(&write.name)).collect()
        };
        let entities: Vec<EntityId> = commits.iter().flat_map(written).collect();
        if entities.iter().collect::<BTreeSet<_>>().len() < entities.len() {
            self.repeating_calls.fetch_add(1, Ordering::SeqCst);
        }
        let fault = self.faults.strike(Call::Commit, &entities);
        if fault == Some(Fault::Overflow) {
            return Ok(vec![Committed::Overflow(TotalError::TooLarge); commits.len()]);
        }
        if fault == Some(Fault::Beaten) {
            return Ok(vec![Committed::Conflict; commits.len()]);
        }
        if fault == Some(Fault::Race) {
            self.inner.commit(commits.clone()).await?;
        }
        self.suffer(fault, self.inner.commit(commits)).await
    }

    async fn policy(&self) -> Result<Option<PolicyInForce>, StoreError> {
        self.inner.policy().await
    }

    async fn adopt_policy(
        &self,
        proposed: &Policy,
        origin: &PolicyOrigin,
    ) -> Result<PolicyInForce, StoreError> {
        self.write(self.inner.adopt_policy(proposed, origin)).await
    }

    async fn load_dead_letters(
        &self,
        ids: &[MessageId],
        with_bodies: bool,
    ) -> Result<Vec<Option<LoadedDeadLetter>>, StoreError> {
        self.inner.load_dead_letters(ids, with_bodies).await
    }

    async fn commit_dead_letters(
        &self,
        commits: Vec<DeadLetterCommit>,
    ) -> Result<Vec<DeadLettersCommitted>, StoreError> {
        self.write(self.inner.commit_dead_letters(commits)).await
    }

    async fn overwrite_dead_letter(
        &self,
        id: MessageId,
        state: DeadLetterState,
    ) -> Result<(), StoreError> {
        self.write(self.inner.overwrite_dead_letter(id, state)).await
    }

    fn memory_max(&self) -> Option<u64> {
        self.inner.memory_max()
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.inner.check().await
    }

    async fn check_site(&self, site: &Site) -> Result<(), StoreError> {
        self.inner.check_site(site).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[async_trait]
impl<F: Faults> ReadStore for Tampered<F> {
    async fn policy_origin(&self) -> Result<Option<PolicyOrigin>, StoreError> {
        self.inner.policy_origin().await
    }

    async fn sites(&self) -> Result<Vec<Site>, StoreError> {
        self.inner.sites().await
    }

    async fn stock(
        &self,
        site: &Site,
        prefix: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<StockItem>, StoreError> {
        self.inner.stock(site, prefix, page).await
    }

    async fn stock_item(
        &self,
        site: &Site,
        key: &StockKey,
        holds: &PageRequest,
    ) -> Result<Option<StockDetail>, StoreError> {
        self.inner.stock_item(site, key, holds).await
    }

    async fn closed(
        &self,
        site: &Site,
        names: &[OrderId],
    ) -> Result<(Vec<Option<ClosedName>>, Timestamp), StoreError> {
        self.inner.closed(site, names).await
    }

    async fn listed(
        &self,
        site: &Site,
        list: List,
        direction: Direction,
        page: &PageRequest,
    ) -> Result<Page<Listed>, StoreError> {
        self.inner.listed(site, list, direction, page).await
    }

    async fn count_listed(&self, list: List) -> Result<u64, StoreError> {
        self.inner.count_listed(list).await
    }

    async fn items_named(
        &self,
        site: &Site,
        kind: Option<StockKeyKind>,
        name: &Identifier,
        limit: usize,
    ) -> Result<Vec<StockKey>, StoreError> {
        self.inner.items_named(site, kind, name, limit).await
    }

    async fn catalogue(
        &self,
        site: &Site,
        page: &PageRequest,
    ) -> Result<Page<Catalogue>, StoreError> {
        self.inner.catalogue(site, page).await
    }

    async fn changes(
        &self,
        site: &Site,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Change>, StoreError> {
        self.inner.changes(site, after, limit).await
    }

    async fn feed_start(&self, site: &Site) -> Result<FeedStart, StoreError> {
        self.inner.feed_start(site).await
    }

    async fn oversold(&self) -> Result<u64, StoreError> {
        self.inner.oversold().await
    }

    async fn list_dead_letters(
        &self,
        filter: &DeadLetterFilter,
        after: Option<DeadLetterPlace>,
        limit: usize,
    ) -> Result<Vec<LoadedDeadLetter>, StoreError> {
        self.inner.list_dead_letters(filter, after, limit).await
    }

    async fn dead_letter_groups(&self) -> Result<Vec<DeadLetterGroup>, StoreError> {
        self.inner.dead_letter_groups().await
    }

    async fn dead_letter_totals(&self) -> Result<DeadLetterTotals, StoreError> {
        self.inner.dead_letter_totals().await
    }

    async fn load_replay(&self, id: ReplayId) -> Result<Option<LoadedReplay>, StoreError> {
        self.inner.load_replay(id).await
    }

    async fn list_replays(
        &self,
        list: ReplayList,
        after: Option<ReplayPlace>,
        limit: usize,
    ) -> Result<Vec<LoadedReplay>, StoreError> {
        self.inner.list_replays(list, after, limit).await
    }

    fn is_volatile(&self) -> Option<bool> {
        self.inner.is_volatile()
    }

    fn failovers(&self) -> u64 {
        self.inner.failovers()
    }
}

#[async_trait]
impl<F: Faults> UpkeepStore for Tampered<F> {
    async fn replace_policy(
        &self,
        policy: &Policy,
        origin: &PolicyOrigin,
    ) -> Result<PolicyInForce, StoreError> {
        self.write(self.inner.replace_policy(policy, origin)).await
    }

    async fn links(
        &self,
        site: &Site,
        page: &PageRequest,
    ) -> Result<Page<(OrderId, Link)>, StoreError> {
        self.inner.links(site, page).await
    }

    async fn audit_orders(
        &self,
        site: &Site,
        orders: &[OrderId],
    ) -> Result<Vec<AuditedOrder>, StoreError> {
        self.inner.audit_orders(site, orders).await
    }

    async fn audit_holds(
        &self,
        site: &Site,
        page: &PageRequest,
    ) -> Result<Page<AuditedHold>, StoreError> {
        self.inner.audit_holds(site, page).await
    }

    async fn audit_items(
        &self,
        site: &Site,
        page: &PageRequest,
    ) -> Result<Page<AuditedItem>, StoreError> {
        self.inner.audit_items(site, page).await
    }

    async fn repair_item(&self, site: &Site, repair: ItemRepair) -> Result<bool, StoreError> {
        self.write(self.inner.repair_item(site, repair)).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.inner.now().await
    }

    async fn trim_changes(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.write(self.inner.trim_changes(before)).await
    }

    async fn ended_dead_letters(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<LoadedDeadLetter>, StoreError> {
        self.inner.ended_dead_letters(before, limit).await
    }

    async fn replay_chunk(
        &self,
        id: ReplayId,
        chunk: u32,
    ) -> Result<Vec<DeadLetterName>, StoreError> {
        self.inner.replay_chunk(id, chunk).await
    }

    async fn lead_replays(&self, leader: Fence) -> Result<Option<Fence>, StoreError> {
        self.write(self.inner.lead_replays(leader)).await
    }

    async fn leader_clock(&self) -> Result<Option<LeaderClock>, StoreError> {
        self.inner.leader_clock().await
    }

    async fn record_leader_clock(
        &self,
        clock: LeaderClock,
        fence: Option<Fence>,
    ) -> Result<bool, StoreError> {
        self.write(self.inner.record_leader_clock(clock, fence)).await
    }

    async fn is_complete(&self) -> Result<bool, StoreError> {
        self.inner.is_complete().await
    }

    async fn record_complete(&self) -> Result<(), StoreError> {
        self.inner.record_complete().await
    }
}
