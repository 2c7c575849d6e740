//! What one process does at a time, of all that share the Store.

use std::time::Duration;

use uuid::Uuid;

use super::RedisStore;
use super::client::Call;
use super::script::Script;
use crate::store::{Fence, StoreError};

static LEASE: Script = Script::new("lease.lua", &[include_str!("lease.lua")]);

impl RedisStore {
    /// Takes or renews the lease of that name; `None` while another holds it. The number is another
    /// for every holder.
    pub async fn lease(
        &self,
        name: &str,
        owner: Uuid,
        lasts: Duration,
    ) -> Result<Option<Fence>, StoreError> {
        let keys = self.client.keys();
        let call = Call::of(&LEASE)
            .key(format!("{}:{name}", keys.global("lease")))
            .arg(owner.to_string())
            .arg(lasts.as_micros().to_string());
        let fence: Option<u64> = self.client.run(&call).await?;
        Ok(fence.map(Fence))
    }
}
