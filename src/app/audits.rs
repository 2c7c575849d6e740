//! The audit as a matter of course: a worker's process audits all sites now and then, so that an
//! alert can tell what nobody looked for.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::lease::Lease;
use crate::audit;
use crate::clock;
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};

/// How often.
pub(super) const AUDIT_EVERY: Duration = Duration::from_hours(1);

/// Audits at once and every hour, until `stop`, where no other process does so.
pub(super) async fn run(
    store: Arc<dyn Store>,
    mut lease: Lease,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let mut turns = tokio::time::interval(AUDIT_EVERY);
    while stop.run_until_cancelled(turns.tick()).await.is_some() {
        let audit = async {
            if lease.hold().await?.is_none() {
                return Ok(None);
            }
            differences(&*store).await.map(Some)
        };
        let Some(found) = stop.run_until_cancelled(audit).await else { return };
        match found {
            // What was found here before is no news any more.
            Ok(None) => metrics.forget_audit(),
            Ok(Some(differences)) => {
                metrics.note_audit(differences, clock::now());
                if differences > 0 {
                    tracing::error!(
                        differences,
                        "the audit found differences; `storekeeper audit` lists them"
                    );
                }
            }
            Err(error) => tracing::warn!(%error, "cannot audit; trying again later"),
        }
    }
}

async fn differences(store: &dyn Store) -> Result<u64, StoreError> {
    let mut differences = 0;
    for site in store.sites().await? {
        differences += audit::site(store, &site, |_| {}).await?.differences_count;
    }
    Ok(differences)
}
