//! What a worker's process does beside consuming: sweeping, auditing, and what the processes on Redis
//! have to agree about.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::audits::{self, AUDIT_EVERY};
use super::backends::SharedUpkeep;
use super::lease::Lease;
use super::sweep::{SWEEP_EVERY, Sweeper};
use crate::broker::Broker;
use crate::broker::embedded::EmbeddedBroker;
use crate::config::Settings;
use crate::metrics::Metrics;
use crate::store::Store;

/// What the upkeep works with.
pub(super) struct Upkeep {
    /// `None` where the journal shortens itself.
    pub(super) journal: Option<Arc<EmbeddedBroker>>,
    pub(super) shared: Option<SharedUpkeep>,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) store: Arc<dyn Store>,
    pub(super) metrics: Arc<Metrics>,
}

impl Upkeep {
    /// Goes on until `stop`.
    pub(super) fn run(
        self,
        settings: &Settings,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let Self { journal, shared, broker, store, metrics } = self;
        let aside = shared.as_ref().map(|shared| Arc::clone(&shared.aside));
        let store = aside.clone().map_or(store, |aside| aside as Arc<dyn Store>);
        // As long as their turns, so that a holder keeps it and somebody else follows one that died.
        let [sweeps, audits] = [("sweep", SWEEP_EVERY), ("audit", AUDIT_EVERY)]
            .map(|(name, every)| Lease::new(aside.clone(), name, every + every / 10));
        let swept = (Arc::clone(&store), sweeps);
        let sweeper = Sweeper::new(settings, journal, broker, swept, Arc::clone(&metrics));
        async move {
            let agreeing = async {
                if let Some(SharedUpkeep { relay, catch_up, .. }) = shared {
                    let relaying = async {
                        if let Some(relay) = relay {
                            relay.run(stop.clone()).await;
                        }
                    };
                    tokio::join!(relaying, catch_up.run(stop.clone()));
                }
            };
            tokio::join!(
                sweeper.run(stop.clone()),
                audits::run(store, audits, metrics, stop.clone()),
                agreeing
            );
        }
    }
}
