//! Which backends there are: opens them as the settings say, and nobody else knows them.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Role, Roles, StartError};
use crate::broker::embedded::EmbeddedBroker;
use crate::broker::rabbitmq::{self, RabbitBroker, RabbitOptions, StandingQueue};
use crate::broker::{Broker, BrokerError};
use crate::config::{self, Backend, Settings};
use crate::domain::causes;
use crate::duties::{self, LeaderLease};
use crate::store::embedded::EmbeddedStore;
use crate::store::redis::{RedisMode, RedisOptions, RedisStore};
use crate::store::{Store, StoreError};

/// Messages that may wait for RabbitMQ's confirm: more make it no faster.
const UNCONFIRMED_MAX: usize = 512;

/// What a process that stays stands on.
#[derive(Debug)]
pub(super) struct Backends {
    pub(super) broker: Arc<dyn Broker>,
    /// `None` where no role needs it: an ingress must not depend on the state.
    pub(super) store: Option<Arc<dyn Store>>,
    /// What a process that may lead has beside that.
    pub(super) leading: Option<Leading>,
    /// Every connection of the process to servers.
    pub(super) servers: Servers,
}

/// The servers of the distributed backend, by connection; the embedded one has none.
#[derive(Debug, Clone, Default)]
pub(super) struct Servers {
    rabbitmq: Option<Arc<RabbitBroker>>,
    redis: Vec<Arc<RedisStore>>,
}

impl Servers {
    /// Has the next connections made with the addresses and credentials of these settings.
    pub(super) fn replace_addresses(&self, settings: &Settings) -> Result<(), StartError> {
        for redis in &self.redis {
            redis.replace_addresses(&redis_options(settings))?;
        }
        if let Some(rabbitmq) = &self.rabbitmq {
            rabbitmq.replace_addresses(&rabbit_options(settings))?;
        }
        Ok(())
    }
}

/// What only the leader needs.
#[derive(Debug)]
pub(super) struct Leading {
    pub(super) lease: LeaderLease,
    /// The Store; of Redis over a connection of its own: what takes long is not in the way of
    /// commits.
    pub(super) store: Arc<dyn Store>,
    /// Both files of the embedded backend.
    pub(super) files: Option<(Arc<EmbeddedBroker>, Arc<EmbeddedStore>)>,
    /// The servers that other processes share.
    pub(super) servers: Option<(Arc<RabbitBroker>, Arc<RedisStore>)>,
}

impl Backends {
    /// Opens what the roles need. Files must be there and usable; servers may be away for now.
    pub(super) async fn open(settings: &Settings, roles: Roles) -> Result<Self, StartError> {
        match settings.backend {
            Backend::Embedded => {
                let bytes_max = settings.embedded.bytes_max.map(|size| size.0);
                let beside = Some(EmbeddedStore::file(&settings.embedded.path));
                let broker = EmbeddedBroker::open(&settings.embedded.path)?;
                let broker = Arc::new(broker.limited_to(bytes_max, beside));
                let servers = Servers::default();
                if !roles.need_store() {
                    return Ok(Self { broker, store: None, leading: None, servers });
                }
                let directory = &settings.embedded.path;
                let store = Arc::new(EmbeddedStore::open(directory)?);
                if let Err(error) = duties::pair_new(&broker, &store).await {
                    // The leader compares the files anyway.
                    let error = causes(&error);
                    tracing::warn!(error, "cannot note yet that store.db and broker.db are new");
                }
                let leading = || {
                    let lease = LeaderLease::of_directory(directory).map_err(StartError::Lease)?;
                    let files = Some((Arc::clone(&broker), Arc::clone(&store)));
                    let store = Arc::clone(&store) as Arc<dyn Store>;
                    Ok::<_, StartError>(Leading { lease, store, files, servers: None })
                };
                let leading = roles.has(Role::Leader).then(leading).transpose()?;
                Ok(Self { broker, store: Some(store), leading, servers })
            }
            Backend::Distributed => {
                let broker = Arc::new(RabbitBroker::start(&RabbitOptions {
                    publishes_to: publishes_to(roles),
                    ..rabbit_options(settings)
                })?);
                let rabbitmq = Some(Arc::clone(&broker));
                if !roles.need_store() {
                    let servers = Servers { rabbitmq, redis: vec![] };
                    return Ok(Self { broker, store: None, leading: None, servers });
                }
                let start = || RedisStore::start(&redis_options(settings)).map(Arc::new);
                let leading = || {
                    let store = start()?;
                    let lease = LeaderLease::of_server(Arc::clone(&store));
                    let servers = Some((Arc::clone(&broker), Arc::clone(&store)));
                    Ok::<_, StartError>(Leading { lease, store, files: None, servers })
                };
                let leading = roles.has(Role::Leader).then(leading).transpose()?;
                let store = start()?;
                let mut redis = vec![Arc::clone(&store)];
                redis.extend(
                    leading.iter().filter_map(|it| Some(Arc::clone(&it.servers.as_ref()?.1))),
                );
                let servers = Servers { rabbitmq, redis };
                Ok(Self { broker, store: Some(store), leading, servers })
            }
        }
    }
}

/// Opens the state that a `serve` keeps, also while it runs; for commands that read it.
pub async fn open_store(settings: &Settings) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match settings.backend {
        Backend::Embedded => Arc::new(EmbeddedStore::open_existing(&settings.embedded.path)?),
        Backend::Distributed => Arc::new(RedisStore::connect(&redis_options(settings)).await?),
    })
}

/// What is wrong with the files of the embedded backend, each with its path: nothing, as a rule.
/// Reads all of both; blocks.
pub fn damaged_files(settings: &Settings) -> Result<Vec<(PathBuf, String)>, StartError> {
    let mut found = Vec::new();
    if settings.backend == Backend::Embedded {
        found.extend(EmbeddedStore::damage(&settings.embedded.path)?);
        found.extend(EmbeddedBroker::damage(&settings.embedded.path)?);
    }
    Ok(found)
}

/// Opens the queue beside the state of a `serve`, also while it runs; for commands that publish.
pub async fn open_broker(settings: &Settings) -> Result<Arc<dyn Broker>, BrokerError> {
    Ok(match settings.backend {
        Backend::Embedded => Arc::new(EmbeddedBroker::open_existing(&settings.embedded.path)?),
        Backend::Distributed => Arc::new(RabbitBroker::connect(&rabbit_options(settings)).await?),
    })
}

/// Opens the state, also where there is none yet; for the command that fills it.
pub async fn open_or_create_store(settings: &Settings) -> Result<Arc<dyn Store>, StoreError> {
    match settings.backend {
        Backend::Embedded => Ok(Arc::new(EmbeddedStore::open(&settings.embedded.path)?)),
        Backend::Distributed => open_store(settings).await,
    }
}

/// Declares what the queue of the distributed backend needs, or reports the conflict.
pub async fn declare_topology(settings: &Settings) -> Result<(), BrokerError> {
    rabbitmq::declare_topology(&rabbit_options(settings)).await
}

/// The queues of the distributed backend that stand.
pub async fn standing_queues(settings: &Settings) -> Result<Vec<StandingQueue>, BrokerError> {
    rabbitmq::standing_queues(&rabbit_options(settings)).await
}

/// Deletes the queues and exchanges of the distributed backend, with all that is in them.
pub async fn delete_topology(settings: &Settings) -> Result<(), BrokerError> {
    rabbitmq::delete_topology(&rabbit_options(settings)).await
}

/// The exchanges that roles publish webhooks, receipts and what comes again to.
fn publishes_to(roles: Roles) -> &'static [&'static str] {
    let receives = roles.has(Role::Ingress) || roles.has(Role::Console);
    if receives { &["events", "again"] } else { &["again"] }
}

fn rabbit_options(settings: &Settings) -> RabbitOptions {
    let config::RabbitmqSettings { url, namespace, management_url, journal_bytes_max } =
        &settings.rabbitmq;
    RabbitOptions {
        urls: url.iter().map(|url| url.expose().into()).collect(),
        namespace: namespace.clone(),
        delivery_limit: u32::try_from(settings.worker.delivery_limit).unwrap_or(u32::MAX),
        ladder: settings.retry.ladder.clone(),
        journal_retention: Some(settings.journal.retention),
        journal_bytes_max: journal_bytes_max.map(|size| size.0),
        management_url: management_url.as_ref().map(|url| url.expose().into()),
        publish_in_flight_max: UNCONFIRMED_MAX,
        publishes_to: &[],
    }
}

fn redis_options(settings: &Settings) -> RedisOptions {
    let config::RedisSettings {
        url,
        mode,
        sentinel_master,
        sentinel_username,
        sentinel_password,
        prefix,
        allow_volatile,
    } = &settings.redis;
    RedisOptions {
        urls: url.iter().map(|url| url.expose().into()).collect(),
        mode: match mode {
            config::RedisMode::Single => RedisMode::Single,
            config::RedisMode::Sentinel => RedisMode::Sentinel,
            config::RedisMode::Cluster => RedisMode::Cluster,
        },
        sentinel_master: sentinel_master.clone(),
        sentinel_username: sentinel_username.clone(),
        sentinel_password: sentinel_password.clone(),
        prefix: prefix.clone(),
        allow_volatile: *allow_volatile,
        announces: settings.changes.announce,
    }
}
