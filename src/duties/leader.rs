//! The process that leads or waits to lead: it acquires the lease, renews it and runs the duties.
//!
//! If it dies, the lease expires and another process starts every duty afresh.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::lease::{LASTS, LeaderLease};
use super::means::{Kind, Means};
use super::supervise::supervise;
use crate::domain::causes;
use crate::store::{Fence, StoreError};

/// The renewal interval of the lease. Each renewal raises the count by which lost data is noticed.
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// The timeout of one attempt.
const RENEW_TIMEOUT: Duration = Duration::from_secs(2);
/// A lease that was not renewed for this long counts as lost, shortly before it expires.
const DOUBTED_AFTER: Duration = Duration::from_secs(7);
/// How often a process that does not lead tries to acquire the lease.
const TRY_EVERY: Duration = Duration::from_secs(1);
/// The timeout for releasing the lease.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);
const _: () = assert!(DOUBTED_AFTER.as_secs() + RENEW_TIMEOUT.as_secs() < LASTS.as_secs());

/// A process that leads or waits to lead.
#[derive(Debug)]
pub struct Leader {
    lease: LeaderLease,
    means: Arc<Means>,
}

impl Leader {
    /// Creates one that does not lead yet.
    pub fn new(lease: LeaderLease, means: Means) -> Self {
        Self { lease, means: Arc::new(means) }
    }

    /// Leads whenever it can until `stop`, then releases the lease at once.
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
            // All duties have stopped before the lease is released.
            duties.shutdown().await;
            let Some(why) = lost else {
                timeout(RELEASE_TIMEOUT, self.lease.release()).await.ok();
                self.means.report_leading(false);
                return;
            };
            tracing::warn!(why, "this process leads no longer");
        }
    }

    /// Waits until this process holds the lease.
    async fn acquired(&self) -> Fence {
        let mut failing = false;
        loop {
            match timeout(RENEW_TIMEOUT, self.lease.acquire()).await.unwrap_or_else(|_| Err(late()))
            {
                Ok(Some(fence)) => return fence,
                Ok(None) => failing = false,
                Err(error) => {
                    // Logged once per outage; readiness shows how long it lasts.
                    if !failing {
                        let error = causes(&error);
                        tracing::warn!(error, "cannot acquire the leader's lease; trying again");
                    }
                    failing = true;
                }
            }
            sleep(TRY_EVERY).await;
        }
    }

    /// Renews the lease until it may be lost, and returns the reason.
    async fn keep(&self, fence: Fence) -> String {
        // It was acquired at most RENEW_TIMEOUT before this; from then on it is renewed after `asked`.
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

    /// Waits until the lease is renewed; returns `false` if another process holds it.
    async fn renewed(&self, fence: Fence) -> bool {
        loop {
            sleep(RENEW_EVERY).await;
            match timeout(RENEW_TIMEOUT, self.lease.acquire()).await.unwrap_or_else(|_| Err(late()))
            {
                Ok(acquired) => return acquired == Some(fence),
                Err(error) => {
                    let error = causes(&error);
                    tracing::debug!(error, "cannot renew the lease; trying again");
                }
            }
        }
    }
}

fn late() -> StoreError {
    StoreError::Unavailable { source: "no answer in time".into() }
}
