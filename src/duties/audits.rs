//! The audit as a matter of course, so that an alert can report what nobody looked for.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Duty, DutyError, HOURLY, Next};
use crate::audit;
use crate::metrics::Metrics;
use crate::store::{Fence, Store};

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
        let mut differences = 0;
        for site in self.store.sites().await? {
            differences += audit::site(&*self.store, &site, |_| {}).await?.differences_count;
        }
        self.metrics.record_audit(differences);
        if differences > 0 {
            tracing::error!(
                differences,
                "the audit found differences; `storekeeper audit` lists them"
            );
        }
        Ok(Next::After(HOURLY))
    }
}
