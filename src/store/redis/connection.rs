//! Reaching Redis: one server, the master that Sentinels name, or a cluster.
//!
//! # Invariants
//! - Every answer and every connection has a deadline: a server that is frozen is away.
//! - The client library sends nothing twice: its retries are off, as it cannot know what was done
//!   already.

use std::sync::Once;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo};
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    Pipeline, RedisConnectionInfo, RedisResult, TlsMode, Value,
};
use secrecy::ExposeSecret;

use super::failure::{error_of, in_words, is_unknown_script, rejected};
use super::script::Call;
use super::{RedisMode, RedisOptions};
use crate::store::StoreError;

/// How long an answer may take.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long connecting to one server may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long connecting may take where several servers are asked.
pub(super) const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// After so long without traffic the system checks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Where Redis is.
pub(super) enum Target {
    Single(Box<Client>),
    Sentinel { sentinels: Vec<ConnectionInfo>, master: String, node: SentinelNodeConnectionInfo },
    Cluster(Box<ClusterClient>),
}

/// A connection; its clones share it.
#[derive(Clone)]
pub(super) enum Connection {
    Node(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Target {
    /// Reads the addresses; also returns what the server is called in errors, without credentials.
    /// Errors about addresses do not show them: they may hold a password.
    pub(super) fn new(options: &RedisOptions) -> Result<(Self, String), StoreError> {
        install_tls_provider();
        let mut nodes = Vec::with_capacity(options.urls.len());
        for url in &options.urls {
            let info = url.expose_secret().into_connection_info().map_err(|error| {
                rejected(format!(
                    "redis.url is no address: {error}; write redis://user:password@host:port"
                ))
            })?;
            nodes.push(info.set_tcp_settings(tcp_settings()));
        }
        let Some(first) = nodes.first().cloned() else {
            return Err(rejected("redis.url has no address"));
        };
        let unusable = |error| rejected(format!("redis.url cannot be used: {error}"));
        let addresses: Vec<String> = nodes.iter().map(|node| node.addr().to_string()).collect();
        let addresses = addresses.join(", ");
        Ok(match options.mode {
            RedisMode::Single if nodes.len() > 1 => {
                return Err(rejected("redis.url has several addresses, and redis.mode is single"));
            }
            RedisMode::Single => {
                let client = Client::open(first).map_err(unusable)?;
                (Self::Single(Box::new(client)), format!("redis at {addresses}"))
            }
            RedisMode::Sentinel => {
                let master = options.sentinel_master.clone();
                let server = format!("redis ({master} of the sentinels at {addresses})");
                let node = node_info(&first);
                let sentinels = nodes.into_iter().map(|it| as_sentinel(it, options)).collect();
                (Self::Sentinel { sentinels, master, node }, server)
            }
            RedisMode::Cluster => {
                let client = ClusterClient::builder(nodes)
                    .retries(0)
                    .connection_timeout(CONNECT_TIMEOUT)
                    .response_timeout(RESPONSE_TIMEOUT)
                    .tcp_settings(tcp_settings())
                    .build()
                    .map_err(unusable)?;
                (Self::Cluster(Box::new(client)), format!("redis (cluster at {addresses})"))
            }
        })
    }

    /// Connects; with Sentinels, to whoever is the master now.
    pub(super) async fn connect(&self) -> RedisResult<Connection> {
        match self {
            Self::Single(client) => connect_to(client).await,
            Self::Sentinel { sentinels, master, node } => {
                let kind = SentinelServerType::Master;
                let (sentinels, node) = (sentinels.clone(), Some(node.clone()));
                let mut client = SentinelClient::build(sentinels, master, node, kind)?;
                connect_to(&client.async_get_client().await?).await
            }
            Self::Cluster(client) => client.get_async_connection().await.map(Connection::Cluster),
        }
    }

    /// What a single server says of the login that it has refused: the client library does not pass
    /// it on.
    pub(super) async fn words_on_login(&self) -> Option<String> {
        let Self::Single(client) = self else { return None };
        let address = client.get_connection_info().clone();
        let mut login = redis::cmd("AUTH");
        login.arg(address.redis_settings().username());
        login.arg(address.redis_settings().password()?);
        let address = address.set_redis_settings(RedisConnectionInfo::default());
        let mut connection = connect_to(&Client::open(address).ok()?).await.ok()?;
        let answer = connection.send(&login).await.and_then(Value::extract_error);
        answer.err().map(|error| in_words(&error))
    }
}

async fn connect_to(client: &Client) -> RedisResult<Connection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT));
    client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::Node)
}

impl Connection {
    pub(super) async fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Node(node) => node.req_packed_command(command).await,
            Self::Cluster(cluster) => cluster.req_packed_command(command).await,
        }
    }

    /// Sends commands at once; their answers come in order, errors among them.
    pub(super) async fn send_all(&mut self, commands: &Pipeline) -> RedisResult<Vec<Value>> {
        let count = commands.len();
        match self {
            Self::Node(node) => node.req_packed_commands(commands, 0, count).await,
            Self::Cluster(cluster) => cluster.req_packed_commands(commands, 0, count).await,
        }
    }

    /// Sends a command to the server, or to every master of a cluster.
    async fn send_to_all(&mut self, command: &Cmd) -> RedisResult<Vec<Value>> {
        let answer = match self {
            Self::Node(node) => return Ok(vec![node.req_packed_command(command).await?]),
            Self::Cluster(cluster) => {
                let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                cluster.route_command(command.clone(), all).await?
            }
        };
        let Value::Map(nodes) = answer else { return Ok(vec![answer]) };
        Ok(nodes.into_iter().map(|(_, answer)| answer).collect())
    }

    /// Runs a script over a connection that no call uses yet.
    pub(super) async fn run(&mut self, call: &Call) -> RedisResult<Value> {
        let answer = self.send(&call.command()).await.and_then(Value::extract_error);
        if !answer.as_ref().is_err_and(is_unknown_script) {
            return answer;
        }
        self.send(&call.script().load()).await?.extract_error()?;
        self.send(&call.command()).await.and_then(Value::extract_error)
    }

    /// The same at every master of a cluster, of a script without keys.
    pub(super) async fn run_on_all(&mut self, call: &Call) -> RedisResult<Vec<Value>> {
        let answers = self.send_to_all(&call.command()).await?;
        let errors = answers.iter().filter_map(error_of);
        if !errors.into_iter().any(|error| is_unknown_script(&error)) {
            return Ok(answers);
        }
        self.send(&call.script().load()).await?.extract_error()?;
        self.send_to_all(&call.command()).await
    }

    /// Whether commands that are sent at once must be of one hash slot.
    pub(super) const fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }
}

fn tcp_settings() -> TcpSettings {
    TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3))
}

/// How to reach the master that a Sentinel names: as the Sentinel itself is reached.
fn node_info(sentinel: &ConnectionInfo) -> SentinelNodeConnectionInfo {
    let node = SentinelNodeConnectionInfo::default()
        .set_tcp_settings(tcp_settings())
        .set_redis_connection_info(sentinel.redis_settings().clone());
    if matches!(sentinel.addr(), ConnectionAddr::TcpTls { .. }) {
        return node.set_tls_mode(TlsMode::Secure);
    }
    node
}

/// How to reach a Sentinel: it has no databases, and perhaps credentials of its own.
fn as_sentinel(node: ConnectionInfo, options: &RedisOptions) -> ConnectionInfo {
    let mut settings = node.redis_settings().clone().set_db(0);
    if options.sentinel_username.is_some() || options.sentinel_password.is_some() {
        settings = RedisConnectionInfo::default();
        if let Some(username) = &options.sentinel_username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &options.sentinel_password {
            settings = settings.set_password(password.expose_secret());
        }
    }
    node.set_redis_settings(settings)
}

/// `rediss://` needs one; whoever comes first installs it for the process.
fn install_tls_provider() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().ok();
    });
}
