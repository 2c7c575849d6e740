//! The composition root: which parts a process has, and in which order they start and stop.
//!
//! Settings and [`Roles`] come in; backends, listeners and tasks are made of them here and nowhere
//! else. Processes of single roles meet in the files of one directory: an ingress publishes while
//! no worker runs, and of several workers one consumes while the others stand by. The order of a
//! stop, after SIGTERM:
//! 1. readiness goes off;
//! 2. the ingress stops accepting and finishes its requests, for half of `worker.drain_timeout` at
//!    most: senders repeat what is cut off;
//! 3. consuming ends;
//! 4. what is in flight is settled until `worker.drain_timeout`; the rest comes again;
//! 5. console and probes end, and the files are closed.
//!
//! # Invariants
//! - Nothing is detached: a task that ends or panics by itself stops the process.
//! - A worker consumes only under the policy that is in force.

mod backends;
mod backup;
mod consume;
mod descriptors;
mod heartbeats;
mod ready_file;
mod roles;
mod routers;
pub mod sampling;
mod secrets;
pub mod signals;
pub mod telemetry;
mod wiring;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinError;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::{Broker, BrokerError};
use crate::config::{Backend, Settings};
use crate::domain::causes;
use crate::duties::{Leader, Means};
use crate::health::{Health, probes};
use crate::http::{self, Limits};
use crate::ingress;
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};
use crate::worker::{Drained, PoolError};

pub use crate::broker::rabbitmq::StandingQueue;
use backends::{Backends, Leading};
pub use backends::{
    damaged_files, declare_topology, delete_topology, open_broker, open_or_create_store,
    open_store, standing_queues,
};
pub use backup::{BackUpError, back_up};
use consume::WorkerRole;
use heartbeats::Heartbeats;
pub use ready_file::Addresses;
pub use roles::{Role, Roles};
use routers::Routers;
use secrets::SecretFiles;
use wiring::{Stops, Tasks};

/// How long the ingress waits for the queue at the start before it refuses webhooks.
const INGRESS_PATIENCE: Duration = Duration::from_secs(5);
/// How often is looked whether the backends are there, at the start.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Connections at a time to the console, and to the probes.
const OPERATOR_CONNECTIONS_MAX: usize = 256;
/// How long a client of the probes may take to send its headers, or be silent between two requests.
const PROBES_HEADER_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a process could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address} ({setting})")]
    Listen {
        /// The setting that named the address.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The queue cannot be opened.
    #[error("cannot open the queue")]
    Broker(#[from] BrokerError),
    /// The state cannot be opened.
    #[error("cannot open the store")]
    Store(#[from] StoreError),
    /// The file by which one process leads cannot be opened.
    #[error("cannot open the lock of the leader; check embedded.path and its permissions")]
    Lease(#[source] io::Error),
}

/// Why a process ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The worker pool ended.
    #[error("the worker pool ended")]
    Pool(#[from] PoolError),
    /// A part ended that should not.
    #[error("{0} ended by itself")]
    Ended(&'static str),
    /// A part panicked.
    #[error("a part of the process failed")]
    Panicked(#[source] JoinError),
    /// The system does not say where the process listens.
    #[error("cannot read the addresses that are listened on")]
    Addresses(#[source] io::Error),
    /// The ready file cannot be written.
    #[error("cannot write {path}")]
    ReadyFile {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

/// A process that has everything open and serves nothing yet.
#[derive(Debug)]
pub struct App {
    settings: Settings,
    roles: Roles,
    backends: Backends,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    ingress: Option<TcpListener>,
    console: Option<TcpListener>,
    probes: TcpListener,
}

impl App {
    /// Binds the listeners and opens the files that the roles need.
    pub async fn start(settings: Settings, roles: Roles) -> Result<Self, StartError> {
        log_start(&settings, roles);
        descriptors::raise(settings.ingress.connections_max + 2 * OPERATOR_CONNECTIONS_MAX);
        let listen_as = async |role, setting, address| {
            if !roles.has(role) {
                return Ok(None);
            }
            listen(setting, address).await.map(Some)
        };
        let ingress = listen_as(Role::Ingress, "ingress.listen", settings.ingress.listen).await?;
        let console = listen_as(Role::Console, "console.listen", settings.console.listen).await?;
        let probes = listen("probes.listen", settings.probes.listen).await?;
        let backends = Backends::open(&settings, roles).await?;
        let metrics = Metrics::new();
        for role in Role::ALL.into_iter().filter(|role| roles.has(*role)) {
            metrics.note_role(role.as_str());
        }
        Ok(Self {
            settings,
            roles,
            backends,
            metrics: Arc::new(metrics),
            health: Arc::new(Health::new()),
            ingress,
            console,
            probes,
        })
    }

    /// Where the process listens.
    pub fn addresses(&self) -> io::Result<Addresses> {
        let address = |listener: &Option<TcpListener>| {
            listener.as_ref().map(TcpListener::local_addr).transpose()
        };
        Ok(Addresses {
            ingress: address(&self.ingress)?,
            console: address(&self.console)?,
            probes: self.probes.local_addr()?,
        })
    }

    /// The state, for what the demo reads of it; `None` if no role needs it.
    pub fn store(&self) -> Option<Arc<dyn Store>> {
        self.backends.store.clone()
    }

    /// The queue, for what the demo puts into it beside webhooks.
    pub fn broker(&self) -> Arc<dyn Broker> {
        Arc::clone(&self.backends.broker)
    }

    /// Serves until `stop`, then drains. With a `ready_file`, the addresses are written there once
    /// everything is up.
    pub async fn run(
        self,
        ready_file: Option<&Path>,
        stop: CancellationToken,
    ) -> Result<Drained, RunError> {
        let addresses = self.addresses().map_err(RunError::Addresses)?;
        let (broker, store) = (self.broker(), self.backends.store.clone());
        let health = Arc::clone(&self.health);
        let drain_timeout = self.settings.worker.drain_timeout;
        let stops = Stops::default();
        let backends = (Arc::clone(&broker), store.clone());
        let (metrics, streams) = (Arc::clone(&self.metrics), stops.operators.clone());
        let routers = Routers::new(&self.settings, self.roles, backends, metrics, streams);
        let secrets = SecretFiles::new(self.settings.clone(), Arc::clone(&self.metrics));
        let mut heartbeats = Heartbeats::new(
            self.roles,
            (Arc::clone(&broker), store.clone()),
            Arc::clone(&self.metrics),
            Arc::clone(&health),
        );
        let servers = self.backends.servers.clone();
        let (mut parts, policy_decided) = self.start_parts(&stops, &routers);
        let announced = async {
            // An error means that there is no consumer, or that it ended: the wait below finds out
            // why.
            policy_decided.await.ok();
            reached(&*broker, store.as_deref()).await;
            health.mark_started();
            addresses.log();
            match ready_file.map_or(Ok(()), |path| addresses.write_to(path)) {
                Ok(()) => std::future::pending().await,
                Err(error) => error,
            }
        };
        // A Store that cannot say which policy is in force must not keep the process from stopping.
        let failed = tokio::select! {
            () = stop.cancelled() => None,
            failed = parts.one_ends() => Some(failed),
            failed = announced => Some(failed),
            never = secrets.watch(|settings| {
                servers.replace_addresses(settings)?;
                routers.replace(settings);
                Ok(())
            }) => never,
            never = heartbeats.run() => never,
        };
        health.mark_draining();
        let drained = parts.drain(&stops, drain_timeout).await;
        heartbeats.stop().await;
        broker.close().await;
        if let Some(store) = store {
            store.close().await;
        }
        let ended = failed.map_or(drained, Err);
        match &ended {
            Ok(Drained::Whole) => tracing::info!("stopped; everything in flight was settled"),
            Ok(Drained::InPart) => {
                tracing::warn!("stopped at worker.drain_timeout; what was in flight comes again");
            }
            Err(error) => tracing::error!(error = causes(error), "stopped by a failure"),
        }
        ended
    }

    /// Starts the parts of the roles; the receiver answers once the worker, if there is one, knows
    /// which policy is in force.
    fn start_parts(self, stops: &Stops, routers: &Routers) -> (Tasks, oneshot::Receiver<()>) {
        let Self { settings, roles, backends, metrics, health, ingress, console, probes } = self;
        let Backends { broker, store, leading, .. } = backends;
        let tracker = TaskTracker::new();
        let header_timeout = settings.ingress.header_timeout;
        let operators = Limits { connections_max: OPERATOR_CONNECTIONS_MAX, header_timeout };
        let ingress = ingress.map(|listener| {
            warn_of_senders(&settings);
            let limits = Limits { connections_max: settings.ingress.connections_max, ..operators };
            let count_invalid = ingress::count_invalid(Arc::clone(&metrics));
            let (router, stop) = (routers.ingress(), stops.ingress.clone());
            let broker = Arc::clone(&broker);
            tracker.spawn(async move {
                // Until the queue is there, senders wait for their connection: a refusal in the
                // first moments would be a webhook to repeat.
                let reached = timeout(INGRESS_PATIENCE, reached(&*broker, None));
                stop.run_until_cancelled(reached).await;
                http::serve_current(listener, router, limits, count_invalid, stop).await;
            })
        });
        let console = console.map(|listener| {
            let (router, stop) = (routers.console(), stops.operators.clone());
            tracker.spawn(http::serve_current(listener, router, operators, || (), stop))
        });
        let router = probes::router(
            Arc::clone(&health),
            Arc::clone(&metrics),
            store.clone(),
            Arc::clone(&broker),
        );
        let limits = Limits { header_timeout: PROBES_HEADER_TIMEOUT, ..operators };
        let probes = tracker.spawn(http::serve(probes, router, limits, stops.operators.clone()));
        let leader = leading.map(|Leading { lease, store, files, servers }| {
            let means = Means {
                settings: settings.clone(),
                broker: Arc::clone(&broker),
                store,
                files,
                servers,
                metrics: Arc::clone(&metrics),
                health: Arc::clone(&health),
            };
            tracker.spawn(Leader::new(lease, means).run(stops.consuming.clone()))
        });
        let (decided, policy_decided) = oneshot::channel();
        let worker = store.filter(|_| roles.has(Role::Worker)).map(|store| {
            let worker = WorkerRole { broker, store, metrics, health, settings };
            let (consuming, abandoned) = (stops.consuming.clone(), stops.abandoned.clone());
            tracker.spawn(worker.run(decided, consuming, abandoned))
        });
        tracker.close();
        (Tasks { ingress, worker, leader, console, probes: Some(probes) }, policy_decided)
    }
}

/// Logs which program starts, and on what.
fn log_start(settings: &Settings, roles: Roles) {
    let version = env!("CARGO_PKG_VERSION");
    let verified = roles.has(Role::Ingress).then(|| !settings.ingress.is_open());
    let has = |role: &Role| roles.has(*role);
    let roles: Vec<_> = Role::ALL.into_iter().filter(has).map(Role::as_str).collect();
    let roles = roles.join(", ");
    match settings.backend {
        Backend::Embedded => {
            let path = &settings.embedded.path;
            let directory = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            tracing::info!(
                version,
                backend = "embedded",
                directory = %directory.display(),
                roles,
                webhooks_verified = verified,
                "starting"
            );
        }
        Backend::Distributed => tracing::info!(
            version,
            backend = "distributed",
            rabbitmq_namespace = settings.rabbitmq.namespace,
            redis_prefix = settings.redis.prefix,
            roles,
            webhooks_verified = verified,
            "starting"
        ),
    }
}

/// Logs what a person should know about who may send webhooks.
fn warn_of_senders(settings: &Settings) {
    for source in settings.sources_without_credential() {
        tracing::warn!(source, "no [[ingress.credentials]] section names this source");
    }
    if settings.ingress.is_open() {
        tracing::warn!(
            "webhooks are not verified: whoever reaches ingress.listen can change the stock; set \
             ingress.secrets or ingress.path_token"
        );
    }
    if settings.ingress.has_short_secret() {
        tracing::warn!(
            "a secret of ingress.secrets or ingress.credentials is shorter than 16 bytes: check \
             that it is the one that Duda issued, and whole"
        );
    }
}

/// Waits until both backends were reachable once: until then nothing could be taken or shown. One
/// that is there and has no room is another matter, which its own answers show.
async fn reached(broker: &dyn Broker, store: Option<&dyn Store>) {
    while matches!(broker.check().await, Err(BrokerError::Unavailable { .. })) {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    if let Some(store) = store {
        while matches!(store.policy().await, Err(StoreError::Unavailable { .. })) {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

async fn listen(setting: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let listen = TcpListener::bind(address).await;
    listen.map_err(|source| StartError::Listen { setting, address, source })
}
