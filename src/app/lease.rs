//! Which of the processes that share a Store does what only one of them should do.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::store::redis::RedisStore;
use crate::store::{Fence, StoreError};

/// A lease by its name, held by one process at a time; of the embedded backend, whose processes are
/// few and on one machine, by each.
#[derive(Debug)]
pub(super) struct Lease {
    store: Option<Arc<RedisStore>>,
    name: &'static str,
    owner: Uuid,
    lasts: Duration,
    held: Option<(Fence, Instant)>,
}

impl Lease {
    /// A lease that is not held yet. It lasts so long, and so long is nothing done after its holder
    /// died.
    pub(super) fn new(store: Option<Arc<RedisStore>>, name: &'static str, lasts: Duration) -> Self {
        Self { store, name, owner: Uuid::now_v7(), lasts, held: None }
    }

    /// Takes or renews it, unless that was done a moment ago; its number, which is another for every
    /// holder, or `None` while it is another's.
    pub(super) async fn hold(&mut self) -> Result<Option<Fence>, StoreError> {
        let Some(store) = &self.store else { return Ok(Some(Fence(0))) };
        if let Some((fence, renewed_at)) = self.held
            && renewed_at.elapsed() < self.lasts / 5
        {
            return Ok(Some(fence));
        }
        // Before the call: it may take long.
        let now = Instant::now();
        let fence = store.lease(self.name, self.owner, self.lasts).await?;
        self.held = fence.map(|fence| (fence, now));
        Ok(fence)
    }

    /// Asks again next time.
    pub(super) fn doubt(&mut self) {
        self.held = None;
    }
}
