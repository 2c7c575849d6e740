//! The routers that know secrets: made at the start, and anew when the secrets change.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Role, Roles};
use crate::broker::Broker;
use crate::config::Settings;
use crate::http::Router;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::{console, ingress};

/// The current routers; those of roles that the process does not have are empty.
#[derive(Debug)]
pub(super) struct Routers {
    roles: Roles,
    broker: Arc<dyn Broker>,
    store: Option<Arc<dyn Store>>,
    metrics: Arc<Metrics>,
    /// Ends the streams of the console.
    stop: CancellationToken,
    ingress: watch::Sender<Router>,
    console: watch::Sender<Router>,
}

impl Routers {
    pub(super) fn new(
        settings: &Settings,
        roles: Roles,
        (broker, store): (Arc<dyn Broker>, Option<Arc<dyn Store>>),
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) -> Self {
        let [ingress, console] = [(); 2].map(|()| watch::Sender::new(Router::new()));
        let routers = Self { roles, broker, store, metrics, stop, ingress, console };
        routers.replace(settings);
        routers
    }

    /// Makes new routers, for the requests that arrive from now on. Those under way are still
    /// limited by the router that they arrived at.
    pub(super) fn replace(&self, settings: &Settings) {
        let broker = || Arc::clone(&self.broker);
        if self.roles.has(Role::Ingress) {
            let metrics = Arc::clone(&self.metrics);
            drop(self.ingress.send_replace(ingress::router(broker(), &settings.ingress, metrics)));
        }
        if let Some(store) = self.store.clone().filter(|_| self.roles.has(Role::Console)) {
            let stop = self.stop.clone();
            drop(self.console.send_replace(console::router(store, broker(), settings, stop)));
        }
    }

    pub(super) fn ingress(&self) -> watch::Receiver<Router> {
        self.ingress.subscribe()
    }

    pub(super) fn console(&self) -> watch::Receiver<Router> {
        self.console.subscribe()
    }
}
