//! What audits, the leader's duties and a new policy need.

use std::collections::BTreeMap;

use async_trait::async_trait;
use redis::Cmd;

use super::value::parsed;
use super::{
    RedisStore, audit, dead_letters, failure, feed, history, leader_clock, pause, relay, repair,
    sites,
};
use crate::domain::{
    LeaderClock, Link, OrderId, Pause, Policy, PolicyInForce, PolicyOrigin, Site, Timestamp,
};
use crate::store::{
    AuditedHold, AuditedItem, AuditedOrder, DeadLetterName, Fence, ItemRepair, LoadedDeadLetter,
    Page, PageRequest, ReplayId, StoreError, UpkeepStore, read,
};

#[async_trait]
impl UpkeepStore for RedisStore {
    /// Every site is updated before this returns, even if nothing was replaced: whoever replaced it
    /// may have died before.
    async fn replace_policy(
        &self,
        policy: &Policy,
        origin: &PolicyOrigin,
    ) -> Result<PolicyInForce, StoreError> {
        sites::put_in_force(&self.client, policy, origin, "replace").await
    }

    async fn pause(&self, pause: &Pause) -> Result<Pause, StoreError> {
        pause::begin(&self.client, pause).await
    }

    async fn resume(&self) -> Result<Option<Pause>, StoreError> {
        pause::end(&self.client).await
    }

    async fn links(
        &self,
        site: &Site,
        page: &PageRequest,
    ) -> Result<Page<(OrderId, Link)>, StoreError> {
        let key = self.client.key(site, &["names"]);
        let unknown = |_| failure::rejected("the cursor is not one of this list");
        let cursor = page.after.as_ref().map(|after| after.parse().map_err(unknown));
        let mut cursor: u64 = cursor.transpose()?.unwrap_or_default();
        let mut links = BTreeMap::new();
        loop {
            let mut scan = redis::cmd("HSCAN");
            scan.arg(&key).arg(cursor).arg("COUNT").arg(read::at_most(page.limit));
            let found: Vec<(String, String)>;
            (cursor, found) = self.client.query(&scan).await?;
            for (name, link) in found {
                let name = parsed(&key, &name, OrderId::parse)?;
                links.insert(name, parsed(&key, &link, Link::parse)?);
            }
            if cursor == 0 || !links.is_empty() {
                let next = (cursor != 0).then(|| cursor.to_string());
                return Ok(Page { items: links.into_iter().collect(), next });
            }
        }
    }

    async fn audit_orders(
        &self,
        site: &Site,
        orders: &[OrderId],
    ) -> Result<Vec<AuditedOrder>, StoreError> {
        audit::orders(&self.client, site, orders).await
    }

    async fn audit_holds(
        &self,
        site: &Site,
        page: &PageRequest,
    ) -> Result<Page<AuditedHold>, StoreError> {
        audit::holds(&self.client, site, page).await
    }

    async fn audit_items(
        &self,
        site: &Site,
        page: &PageRequest,
    ) -> Result<Page<AuditedItem>, StoreError> {
        audit::items(&self.client, site, page).await
    }

    async fn repair_item(&self, site: &Site, repair: ItemRepair) -> Result<bool, StoreError> {
        let is_written = repair::item(&self.client, site, &repair).await?;
        if is_written && self.announces {
            relay::record_changed_sites(&self.client, [site]).await;
        }
        Ok(is_written)
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        dead_letters::now(&self.client).await
    }

    async fn trim_changes(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut removed = 0;
        for site in sites::list(&self.client).await? {
            removed += feed::trim(&self.client, &site, before).await?;
        }
        Ok(removed)
    }

    async fn ended_dead_letters(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<LoadedDeadLetter>, StoreError> {
        dead_letters::ended(&self.client, before, limit).await
    }

    async fn replay_chunk(
        &self,
        id: ReplayId,
        chunk: u32,
    ) -> Result<Vec<DeadLetterName>, StoreError> {
        dead_letters::replay_chunk(&self.client, id, chunk).await
    }

    async fn lead_replays(&self, leader: Fence) -> Result<Option<Fence>, StoreError> {
        dead_letters::lead_replays(&self.client, leader).await
    }

    async fn leader_clock(&self) -> Result<Option<LeaderClock>, StoreError> {
        leader_clock::find(&self.client).await
    }

    async fn record_leader_clock(
        &self,
        clock: LeaderClock,
        fence: Option<Fence>,
    ) -> Result<bool, StoreError> {
        leader_clock::record(&self.client, clock, fence).await
    }

    async fn is_complete(&self) -> Result<bool, StoreError> {
        Ok(self.known_history().await?.is_some())
    }

    /// Keeps what is recorded already.
    async fn record_complete(&self) -> Result<(), StoreError> {
        self.client.query(&Cmd::hset_nx(history::key(&self.client), "settled_before", 0)).await
    }
}
