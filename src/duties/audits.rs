//! Audits all sites regularly, so that alerts report differences that nobody was looking for.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Duty, DutyError, HOURLY, Next};
use crate::metrics::Metrics;
use crate::store::{Fence, Store};
use crate::upkeep::audit;

/// Audits all sites.
#[derive(Debug)]
pub(super) struct Audits {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
}

impl Audits {
    pub(super) fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics }
    }
}

#[async_trait]
impl Duty for Audits {
    async fn turn(&mut self, _: Fence) -> Result<Next, DutyError> {
        let (mut differences, mut failed) = (0, None);
        for site in self.store.sites().await? {
            match audit::site(&*self.store, &site, |_| {}).await {
                Ok(audited) => differences += audited.differences_count,
                // One site that fails must not hold up the others.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        self.metrics.record_audit(differences);
        if differences > 0 {
            tracing::error!(
                differences,
                "the audit found differences; `storekeeper audit` lists them"
            );
        }
        failed.map_or(Ok(()), Err)?;
        Ok(Next::After(HOURLY))
    }
}
