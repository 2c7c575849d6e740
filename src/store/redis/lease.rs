//! The lease of the process that leads, by the clock of Redis, and the count that it raises.
//!
//! The count goes back with the data, or vanishes with it: each process that may lead remembers the
//! greatest that it saw. Where `INFO` is allowed, a new history says the same and more.

use std::time::Duration;

use redis::Cmd;
use uuid::Uuid;

use super::RedisStore;
use super::client::Call;
use super::script::Script;
use crate::store::{Fence, StoreError};

/// After so long without a leader, nobody can say that a server without `INFO` has what it had.
const IDLE_MAX: Duration = Duration::from_mins(1);

static LEASE: Script = Script::new("lease.lua", &[include_str!("lease.lua")]);

impl RedisStore {
    /// Acquires or renews the leader's lease; returns its number, which is greater for every later
    /// holder, or `None` while another has it.
    pub async fn acquire_lease(
        &self,
        owner: Uuid,
        lasts: Duration,
    ) -> Result<Option<Fence>, StoreError> {
        let fence = self.lease(owner, &lasts.as_micros().to_string()).await?;
        Ok(fence.map(Fence))
    }

    /// Gives the leader's lease back, if it is the owner's.
    pub async fn release_lease(&self, owner: Uuid) -> Result<(), StoreError> {
        self.lease(owner, "release").await.map(drop)
    }

    /// When it was last found that data is gone, by the clock of Redis in microseconds; 0 for never.
    pub fn data_lost_at(&self) -> u64 {
        self.client.servers().data_lost_at()
    }

    /// Looks whether the leader found that data is gone, where nothing else would say so.
    pub(super) async fn look_for_lost_data(&self) -> Result<(), StoreError> {
        let servers = self.client.servers();
        if servers.histories().is_empty() {
            let find = Cmd::hmget(self.client.keys().global("leader"), &["count", "lost"]);
            let (count, lost_at): (Option<u64>, Option<u64>) = self.client.query(&find).await?;
            servers.remember_count(count.unwrap_or_default(), lost_at.unwrap_or_default());
        }
        Ok(())
    }

    async fn lease(&self, owner: Uuid, what: &str) -> Result<Option<u64>, StoreError> {
        let servers = self.client.servers();
        // Where it is known which history the data belongs to, that says whether it is another.
        let idle_max = if servers.histories().is_empty() { IDLE_MAX } else { Duration::ZERO };
        let call = Call::of(&LEASE)
            .key(self.client.keys().global("leader"))
            .arg(owner.to_string())
            .arg(what)
            .arg(servers.count_seen().to_string())
            .arg(idle_max.as_micros().to_string());
        let (fence, count, lost_at): (Option<u64>, u64, u64) = self.client.run(&call).await?;
        servers.remember_count(count, lost_at);
        Ok(fence)
    }
}
