//! The settings: compiled-in defaults, then a file, then the environment.
//!
//! [`Settings::load`] merges the three and checks every value, so [`Settings`] are always in range
//! and safe together. `config/default.toml` is both the defaults and the
//! documentation; `tests/it/tidy.rs` compares it with the fields of this file.
//!
//! # Invariants
//! - Unknown settings are refused, in the environment too: a misspelt setting is never ignored.
//! - Errors and output never contain a secret.
//! - No other module reads settings from the environment.

mod backend_url;
mod byte_size;
mod check;
mod console_token;
mod exposed;
mod layers;
mod log_filter;
mod old_sources;
mod read;
mod show;
mod sources;
mod strangers;
#[cfg(test)]
mod tests;
mod token;
mod toml;
mod value;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretBox, SecretString};
use serde::{Deserialize, Serialize};

pub use backend_url::BackendUrl;
pub use byte_size::ByteSize;
pub use console_token::{ConsoleToken, Role};
pub use exposed::{ADDRESSES, SECRETS};
use layers::LoadedFrom;
pub use log_filter::LogFilter;

use crate::domain::{
    Cancelled, DEFAULT_SOURCE, Deleted, ProposedPolicy, Restock, Site, SourceRules, StockKeyKind,
    TestMode,
};

/// With fewer bytes a signature secret is short.
const SECRET_BYTES_FEW: usize = 16;

/// All settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// Where queue and state are kept.
    pub backend: Backend,
    /// Where the embedded backend keeps its files.
    pub embedded: EmbeddedSettings,
    /// Where the distributed backend has its queue.
    pub rabbitmq: RabbitmqSettings,
    /// Where the distributed backend has its state.
    pub redis: RedisSettings,
    /// Who may write which sites, for every role; holds no secret.
    pub sources: Vec<SourceSettings>,
    /// The ingress.
    pub ingress: IngressSettings,
    /// The worker pool.
    pub worker: WorkerSettings,
    /// Retries of one message.
    pub retry: RetrySettings,
    /// `stock.*`
    pub stock: StockSettings,
    /// `orders.*`
    pub orders: OrderSettings,
    /// `refunds.*`
    pub refunds: RefundSettings,
    /// The journal of raw bodies.
    pub journal: JournalSettings,
    /// Dead letters.
    pub dead_letters: DeadLetterSettings,
    /// The change feed.
    pub changes: ChangesSettings,
    /// The operator API.
    pub console: ConsoleSettings,
    /// Liveness, readiness, metrics.
    pub probes: ProbeSettings,
    /// Logs.
    pub log: LogSettings,
    /// The origins of the settings that are not defaults.
    #[serde(skip)]
    origins: BTreeMap<String, String>,
    #[serde(skip)]
    loaded_from: Arc<LoadedFrom>,
}

impl Settings {
    /// The policy that these settings propose to the Store.
    pub fn policy(&self) -> ProposedPolicy {
        ProposedPolicy {
            key_precedence: self.stock.key_precedence.clone(),
            test_mode: self.orders.test_mode,
            cancelled: self.orders.cancelled,
            deleted: self.orders.deleted,
            restock: self.refunds.restock,
        }
    }

    /// Which sites each source may write.
    pub fn source_rules(&self) -> SourceRules {
        let mut rules = SourceRules::default();
        for source in &self.sources {
            rules.allow(&source.name, source.sites.as_deref());
        }
        rules
    }

    /// The sources as which nobody can send, for want of a credential.
    pub fn sources_without_credential(&self) -> impl Iterator<Item = &str> {
        let names = self.sources.iter().map(|source| source.name.as_str());
        names.filter(|name| {
            let ingress = &self.ingress;
            let is_default = *name == DEFAULT_SOURCE;
            let has_other = is_default && (ingress.is_open() || ingress.has_own_credential());
            !has_other && ingress.credentials.iter().all(|given| given.source != *name)
        })
    }

    /// The settings that are not defaults, and the file or variable that each comes from.
    pub fn origins(&self) -> &BTreeMap<String, String> {
        &self.origins
    }
}

/// One of `[[sources]]`: a trust domain of webhooks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SourceSettings {
    /// Its name in envelopes.
    pub name: String,
    /// The sites that it alone may write; `None` for every site that no source names.
    pub sites: Option<Vec<Site>>,
}

/// `backend`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Files on this machine.
    Embedded,
    /// RabbitMQ and Redis, shared by many machines.
    Distributed,
}

/// `embedded.*`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EmbeddedSettings {
    /// The directory of `broker.db` and `store.db`; created if missing.
    pub path: PathBuf,
    /// How large queue and journal may grow before webhooks are refused.
    pub bytes_max: Option<ByteSize>,
}

/// `rabbitmq.*`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RabbitmqSettings {
    /// The nodes of one cluster, any of which is used: `amqp://` or `amqps://`.
    pub url: Vec<BackendUrl>,
    /// The prefix of the names of all exchanges and queues.
    pub namespace: String,
    /// The address of RabbitMQ's management API: `http://`, as it is in one network
    /// with RabbitMQ.
    pub management_url: Option<BackendUrl>,
    /// How large the journal may grow before its oldest bodies are removed.
    pub journal_bytes_max: Option<ByteSize>,
}

/// `redis.*`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RedisSettings {
    /// The server, or the nodes or sentinels of one deployment: `redis://` or `rediss://`.
    pub url: Vec<BackendUrl>,
    /// What the addresses point to.
    pub mode: RedisMode,
    /// The name by which sentinels know the server.
    pub sentinel_master: String,
    /// The user name of the sentinels, if it is not that of the server.
    pub sentinel_username: Option<String>,
    /// The password of the sentinels, if it is not that of the server.
    #[serde(default, with = "value::token")]
    pub sentinel_password: Option<SecretString>,
    /// The prefix of the names of all keys.
    pub prefix: String,
    /// Whether a server without persistence is accepted.
    pub allow_volatile: bool,
}

/// `redis.mode`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RedisMode {
    /// One server.
    Single,
    /// Sentinels, which know the server.
    Sentinel,
    /// A cluster, which shares the keys among its nodes.
    Cluster,
}

/// `ingress.*`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IngressSettings {
    /// The address to listen on; port 0 chooses one.
    #[serde(deserialize_with = "value::listen")]
    pub listen: SocketAddr,
    /// Decoded signature secrets, any of which may have signed; empty means unsigned.
    #[serde(with = "value::secrets")]
    pub secrets: Vec<SecretBox<[u8]>>,
    /// The secret last segment of the path.
    #[serde(default, with = "value::token")]
    pub path_token: Option<SecretString>,
    /// Further credentials; secrets and path token above are one of [`DEFAULT_SOURCE`].
    pub credentials: Vec<CredentialSettings>,
    /// Whether unverified webhooks are accepted on an address other than loopback.
    pub allow_unsigned: bool,
    /// How far the signature's timestamp may be from now, each way.
    #[serde(with = "value::duration")]
    pub replay_window: Duration,
    /// What happens to authentic webhooks outside that window.
    pub expired: Expired,
    /// The largest body, in bytes.
    pub body_bytes_max: usize,
    /// How long a body may take to arrive.
    #[serde(with = "value::duration")]
    pub body_timeout: Duration,
    /// How long headers may take to arrive.
    #[serde(with = "value::duration")]
    pub header_timeout: Duration,
    /// How long the broker may take to confirm.
    #[serde(with = "value::duration")]
    pub publish_timeout: Duration,
    /// The most memory of all bodies that are being read, beyond the first 64 KiB of each.
    pub reading_bytes_max: ByteSize,
    /// Authentic webhooks on their way to the queue; more are answered 503.
    pub in_flight_max: usize,
    /// Connections at a time; more wait.
    pub connections_max: usize,
    /// The most webhooks of one source within a minute, at this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_per_minute: Option<u64>,
    /// The most bytes of bodies of one source within a minute, at this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_bytes_per_minute: Option<ByteSize>,
}

impl IngressSettings {
    /// Whether secrets or a path token are set, a credential of [`DEFAULT_SOURCE`].
    pub fn has_own_credential(&self) -> bool {
        !self.secrets.is_empty() || self.path_token.is_some()
    }

    /// Whether a signature secret is short enough to be guessed. Duda issues them, so it is no error.
    pub fn has_short_secret(&self) -> bool {
        let others = self.credentials.iter().flat_map(|given| &given.secrets);
        let mut secrets = self.secrets.iter().chain(others);
        secrets.any(|secret| secret.expose_secret().len() < SECRET_BYTES_FEW)
    }

    /// Whether there is no credential at all, so that everybody is [`DEFAULT_SOURCE`].
    pub fn is_open(&self) -> bool {
        !self.has_own_credential() && self.credentials.is_empty()
    }
}

/// One of `[[ingress.credentials]]`: how a sender shows that it is a source. All that is set must
/// hold; of several credentials of a source, any one does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CredentialSettings {
    /// The name of the source.
    pub source: String,
    /// Decoded signature secrets, any of which may have signed.
    #[serde(default, with = "value::secrets")]
    pub secrets: Vec<SecretBox<[u8]>>,
    /// The secret last segment of the path.
    #[serde(default, with = "value::token")]
    pub path_token: Option<SecretString>,
}

/// `ingress.expired`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expired {
    /// They are refused.
    Reject,
    /// They become dead letters.
    Park,
}

/// `worker.*`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorkerSettings {
    /// Unsettled deliveries at a time.
    pub prefetch: usize,
    /// Deliveries in one batch.
    pub batch_max: usize,
    /// Batches at a time.
    pub concurrency: usize,
    /// How often a delivery may be redelivered unsettled, because its worker died or dropped it.
    pub delivery_limit: usize,
    /// How long deliveries stay unacked while the Store is away, before they are handed back.
    #[serde(with = "value::duration")]
    pub unacked_max_age: Duration,
    /// How long the work in flight may take when the process stops.
    #[serde(with = "value::duration")]
    pub drain_timeout: Duration,
}

/// `retry.*`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RetrySettings {
    /// The delays before the second, third, ... attempt; the last is repeated.
    #[serde(with = "value::durations")]
    pub ladder: Vec<Duration>,
    /// How long after its first attempt failed an envelope is still retried.
    #[serde(with = "value::duration")]
    pub max_age: Duration,
}

/// `stock.*`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StockSettings {
    /// The kinds of names by precedence: the first that a line has is its stock key.
    pub key_precedence: Option<Vec<StockKeyKind>>,
}

/// `orders.*`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OrderSettings {
    /// What orders of mode TEST hold.
    pub test_mode: Option<TestMode>,
    /// What cancelled orders hold.
    pub cancelled: Option<Cancelled>,
    /// What deleted orders hold.
    pub deleted: Option<Deleted>,
    /// How long final orders are kept; `None` means for ever.
    #[serde(with = "value::retention")]
    pub retention: Option<Duration>,
}

/// `refunds.*`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RefundSettings {
    /// Whether refunded goods are restocked.
    pub restock: Option<Restock>,
}

/// `journal.*`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JournalSettings {
    /// How long raw bodies are kept.
    #[serde(with = "value::duration")]
    pub retention: Duration,
    /// How much further back `journal replay --since` goes.
    #[serde(with = "value::duration")]
    pub overlap: Duration,
}

/// `dead_letters.*`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeadLetterSettings {
    /// How long dead letters are kept; their bodies hold personal data.
    #[serde(with = "value::duration")]
    pub retention: Duration,
    /// The most bytes of parked bodies; `None` is as much as the Store's memory allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_max: Option<ByteSize>,
}

/// `changes.*`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChangesSettings {
    /// How long entries of the change feed are kept.
    #[serde(with = "value::duration")]
    pub retention: Duration,
    /// Whether changes are published at RabbitMQ.
    pub announce: bool,
}

/// `console.*`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConsoleSettings {
    /// The address to listen on; without tokens, loopback only.
    #[serde(deserialize_with = "value::listen")]
    pub listen: SocketAddr,
    /// The callers that are allowed; empty means everyone on this machine.
    pub tokens: Vec<ConsoleToken>,
}

/// `probes.*`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProbeSettings {
    /// The address to listen on.
    #[serde(deserialize_with = "value::listen")]
    pub listen: SocketAddr,
}

/// `log.*`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogSettings {
    /// The format of log lines.
    pub format: LogFormat,
    /// A level, and directives for single targets: `info,hyper=debug`; see [`LogFilter`].
    pub level: String,
}

/// `log.format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Why the settings are invalid, in one line: the setting, what is allowed, and its origin. Only
/// the refusal of what another form has replaced goes on with the lines to write instead.
///
/// Never contains a secret, so it may be printed and logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{subject}: {message}{}", origin.as_ref().map(|o| format!(" (from {o})")).unwrap_or_default())]
pub struct SettingsError {
    /// The setting, or the file or variable that could not be read.
    subject: String,
    /// What is wrong with it, and what is allowed.
    message: String,
    /// The file or variable that the value comes from.
    origin: Option<String>,
}

impl SettingsError {
    fn new(subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self { subject: subject.into(), message: message.into(), origin: None }
    }
}
