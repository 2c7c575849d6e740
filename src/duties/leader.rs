//! The process that leads, or waits to: acquires the lease, renews it, and runs the duties meanwhile.
//!
//! Dies anywhere: the lease runs out, and another process begins every duty anew.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::lease::{LASTS, LeaderLease};
use super::means::{Kind, Means};
use super::supervise::supervise;
use crate::store::{Fence, StoreError};

/// How often the lease is renewed, and how long one attempt may take.
const RENEW_EVERY: Duration = Duration::from_secs(2);
/// A lease that was not renewed for so long is taken for lost: somewhat before it is.
const DOUBTED_AFTER: Duration = Duration::from_secs(7);
/// How often a process that does not lead tries to.
const TRY_EVERY: Duration = Duration::from_secs(1);
/// How long giving the lease back may take.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);
const _: () = assert!(DOUBTED_AFTER.as_secs() + RENEW_EVERY.as_secs() < LASTS.as_secs());

/// A process that leads, or waits to.
#[derive(Debug)]
pub struct Leader {
    lease: LeaderLease,
    means: Arc<Means>,
}

impl Leader {
    /// One that does not lead yet.
    pub fn new(lease: LeaderLease, means: Means) -> Self {
        Self { lease, means: Arc::new(means) }
    }

    /// Leads whenever it may, until `stop`; then it lets another lead at once.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            self.means.report_leading(false);
            let Some(fence) = stop.run_until_cancelled(self.acquired()).await else { return };
            tracing::info!(fence = fence.0, "this process leads");
            self.means.report_leading(true);
            let mut duties = JoinSet::new();
            for kind in Kind::ALL {
                duties.spawn(supervise(Arc::clone(&self.means), kind, fence));
            }
            let lost = stop.run_until_cancelled(self.keep(fence)).await;
            // All of them have stopped before anything is given back.
            duties.shutdown().await;
            let Some(why) = lost else {
                timeout(RELEASE_TIMEOUT, self.lease.release()).await.ok();
                self.means.report_leading(false);
                return;
            };
            tracing::warn!(why, "this process leads no longer");
        }
    }

    /// Waits until this process may lead.
    async fn acquired(&self) -> Fence {
        let mut failing = false;
        loop {
            match timeout(RENEW_EVERY, self.lease.acquire()).await.unwrap_or_else(|_| Err(late())) {
                Ok(Some(fence)) => return fence,
                Ok(None) => failing = false,
                Err(error) => {
                    // Once an outage: readiness says how long it lasts.
                    if !failing {
                        tracing::warn!(%error, "cannot acquire the leader's lease; trying again");
                    }
                    failing = true;
                }
            }
            sleep(TRY_EVERY).await;
        }
    }

    /// Renews the lease until that is no longer certain; answers why.
    async fn keep(&self, fence: Fence) -> String {
        // It was acquired at most RENEW_EVERY before this; from then on it is renewed after `asked`.
        let mut renewed = Instant::now();
        loop {
            let asked = Instant::now() + RENEW_EVERY;
            match timeout_at(renewed + DOUBTED_AFTER, self.renewed(fence)).await {
                Ok(true) => renewed = asked,
                Ok(false) => return "another process acquired the lease".to_owned(),
                Err(_) => return "the lease could not be renewed in time".to_owned(),
            }
        }
    }

    /// Waits until the lease is renewed, or, with `false`, another's.
    async fn renewed(&self, fence: Fence) -> bool {
        loop {
            sleep(RENEW_EVERY).await;
            match timeout(RENEW_EVERY, self.lease.acquire()).await.unwrap_or_else(|_| Err(late())) {
                Ok(held) => return held == Some(fence),
                Err(error) => tracing::debug!(%error, "cannot renew the lease; trying again"),
            }
        }
    }
}

fn late() -> StoreError {
    StoreError::Unavailable { source: "no answer in time".into() }
}
