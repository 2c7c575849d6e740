//! The lease of the process that leads, by the clock of Redis.

use std::time::Duration;

use uuid::Uuid;

use super::RedisStore;
use super::client::Call;
use super::script::Script;
use crate::store::{Fence, StoreError};

static LEASE: Script = Script::new("lease.lua", &[include_str!("lease.lua")]);

impl RedisStore {
    /// Acquires or renews the leader's lease; returns its number, which is greater for every later
    /// holder, or `None` while another has it.
    pub async fn acquire_lease(
        &self,
        owner: Uuid,
        lasts: Duration,
    ) -> Result<Option<Fence>, StoreError> {
        let call = self.lease(owner).arg(lasts.as_micros().to_string());
        let fence: Option<u64> = self.client.run(&call).await?;
        Ok(fence.map(Fence))
    }

    /// Gives the leader's lease back, if it is the owner's.
    pub async fn release_lease(&self, owner: Uuid) -> Result<(), StoreError> {
        self.client.run::<Option<u64>>(&self.lease(owner).arg("release")).await.map(drop)
    }

    fn lease(&self, owner: Uuid) -> Call {
        Call::of(&LEASE).key(self.client.keys().global("leader")).arg(owner.to_string())
    }
}
