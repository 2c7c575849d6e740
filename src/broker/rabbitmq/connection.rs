//! One connection to RabbitMQ, made again for as long as the process lives.
//!
//! A [`Link`] is what publishers and consumers use: it has a connection or none for now, and
//! notifies them of changes. Every connection is made under a timeout, since lapin itself waits for
//! ever for a peer that is silent; its own recovery stays off, since it recovers no channels and
//! says nothing to consumers.
//!
//! # Invariants
//! - A connection to publish on is given out only after all queues and bindings were declared on
//!   it: a confirm for a message that nothing is bound for would be a lie.
//! - No error, log line or `Debug` has a password.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::tcp::OwnedTLSConfig;
use lapin::{Connection, ConnectionProperties, Event};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::address::Address;
use super::failure::{at, refusal, words};
use super::topology::Topology;
use crate::broker::BrokerError;
use crate::clock::Delays;
use crate::domain::causes;

/// How long one attempt to connect and to declare may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The delays between attempts.
const DELAY_MIN: Duration = Duration::from_millis(250);
const DELAY_MAX: Duration = Duration::from_secs(30);
/// A connection that stood so long starts the delays again.
const HEALTHY_AFTER: Duration = Duration::from_mins(1);
/// How often the connection is checked, beside its events.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// A connection that stands.
struct Standing {
    connection: Arc<Connection>,
    /// Whether RabbitMQ reads nothing from it: memory or disk is short there.
    is_blocked: bool,
}

/// A connection that is made again whenever it is lost.
pub(super) struct Link {
    /// What it is for, as RabbitMQ's operators see it.
    name: String,
    nodes: Mutex<Arc<[Node]>>,
    topology: Arc<Topology>,
    /// Whether all is declared on a new connection before it is given out.
    declares: bool,
    /// The address to begin with: the last one that answered.
    preferred: AtomicUsize,
    /// `None` while there is no connection.
    state: watch::Sender<Option<Standing>>,
    /// Why there is no connection, as far as is known.
    failure: Mutex<Option<String>>,
    reconnects: AtomicU64,
}

/// A place to connect to.
struct Node {
    address: Address,
    /// Whether it gave no answer, and has not let anybody in since.
    is_silent: AtomicBool,
}

fn nodes(addresses: Vec<Address>) -> Arc<[Node]> {
    let node = |address| Node { address, is_silent: AtomicBool::new(false) };
    addresses.into_iter().map(node).collect()
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Link {
    /// One to publish on.
    pub(super) fn publishing(addresses: Vec<Address>, topology: Arc<Topology>) -> Self {
        Self::new("publishing", true, addresses, topology)
    }

    /// One for all else: what there is to consume is consumed, though something else is missing.
    pub(super) fn consuming(addresses: Vec<Address>, topology: Arc<Topology>) -> Self {
        Self::new("consuming", false, addresses, topology)
    }

    fn new(
        purpose: &str,
        declares: bool,
        addresses: Vec<Address>,
        topology: Arc<Topology>,
    ) -> Self {
        // Whoever was first has installed the same one.
        rustls::crypto::ring::default_provider().install_default().ok();
        Self {
            name: format!("{} {purpose}", topology.namespace()),
            nodes: Mutex::new(nodes(addresses)),
            topology,
            declares,
            preferred: AtomicUsize::new(0),
            state: watch::Sender::new(None),
            failure: Mutex::default(),
            reconnects: AtomicU64::new(0),
        }
    }

    /// Has the next connection made by other addresses or credentials.
    pub(super) fn replace(&self, addresses: Vec<Address>) {
        *self.nodes.lock().unwrap_or_else(PoisonError::into_inner) = nodes(addresses);
        self.preferred.store(0, Ordering::Relaxed);
    }

    fn nodes(&self) -> Arc<[Node]> {
        Arc::clone(&self.nodes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tries every address once; the error is that of the last one.
    pub(super) async fn connect(&self) -> Result<Connection, BrokerError> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut failed = BrokerError::unavailable("rabbitmq.url is empty");
        let nodes = self.nodes();
        let places = nodes.iter().enumerate().cycle().skip(first);
        for (place, node) in places.take(nodes.len()) {
            match self.attempt(node).await {
                Ok(connection) => {
                    self.preferred.store(place, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Makes a connection of the caller's own to the address that comes so many places after the
    /// preferred one. Where there is a balancer behind an address, it may lead to any node.
    pub(super) async fn connect_elsewhere(&self, places: usize) -> Result<Connection, BrokerError> {
        let place = self.preferred.load(Ordering::Relaxed) + places;
        match self.nodes().iter().cycle().nth(place) {
            Some(node) => self.attempt(node).await,
            None => Err(self.away()),
        }
    }

    /// How many addresses there are.
    pub(super) fn places(&self) -> usize {
        self.nodes().len()
    }

    async fn attempt(&self, node: &Node) -> Result<Connection, BrokerError> {
        let attempt = timeout(CONNECT_TIMEOUT, self.connect_to(node)).await;
        let connected = attempt.unwrap_or_else(|_| {
            node.is_silent.store(true, Ordering::Relaxed);
            let message = format!("{}: no answer within {CONNECT_TIMEOUT:?}", node.address);
            Err(BrokerError::unavailable(message))
        });
        if connected.is_ok() {
            node.is_silent.store(false, Ordering::Relaxed);
        }
        connected
    }

    async fn connect_to(&self, node: &Node) -> Result<Connection, BrokerError> {
        let Node { address, is_silent } = node;
        if is_silent.load(Ordering::Relaxed) {
            let answers = address.answers().await;
            answers.map_err(|error| BrokerError::unavailable(format!("{address}: {error}")))?;
        }
        let properties =
            ConnectionProperties::default().with_connection_name(self.name.as_str().into());
        let connect = async {
            let runtime = lapin::runtime::default_runtime()?;
            let tls = OwnedTLSConfig::default();
            Connection::connect_uri_with_config(address.uri().clone(), properties, tls, runtime)
                .await
        };
        let connection = connect.await.map_err(|error| refusal(&address.to_string(), &error))?;
        if self.declares {
            let declared = self.topology.declare(&connection).await;
            declared.map_err(|error| at(address, error))?;
        }
        Ok(connection)
    }

    /// Gives out a connection that was made before anybody waits for it.
    pub(super) fn adopt(&self, connection: Connection) {
        let connection = Arc::new(connection);
        self.state.send_replace(Some(Standing { connection, is_blocked: false }));
    }

    /// Keeps a connection and makes a new one whenever it is lost.
    pub(super) async fn run(&self) {
        let mut delays = Delays::new(DELAY_MIN, DELAY_MAX);
        let mut made = self.connection().ok();
        let mut was_up = false;
        loop {
            let connection = match made.take() {
                Some(connection) => Ok(connection),
                None => self.connect().await.map(Arc::new),
            };
            match connection {
                Ok(connection) => {
                    self.record_failure(None);
                    if was_up {
                        self.reconnects.fetch_add(1, Ordering::Relaxed);
                    }
                    was_up = true;
                    let since = Instant::now();
                    self.serve(connection).await;
                    if since.elapsed() >= HEALTHY_AFTER {
                        delays.reset();
                    }
                }
                Err(error) => {
                    let source = causes(&error);
                    tracing::warn!(connection = self.name, error = source, "cannot connect");
                    // The words around it are those of `away`.
                    self.record_failure(std::error::Error::source(&error).map(ToString::to_string));
                }
            }
            sleep(delays.next()).await;
        }
    }

    /// Gives a connection out until it is lost.
    async fn serve(&self, connection: Arc<Connection>) {
        let mut events = std::pin::pin!(connection.events_listener());
        tracing::info!(connection = self.name, "connected");
        while connection.status().connected() {
            let is_blocked = connection.status().blocked();
            self.state.send_if_modified(|state| {
                let changes = state.as_ref().is_none_or(|it| it.is_blocked != is_blocked);
                if changes {
                    *state = Some(Standing { connection: Arc::clone(&connection), is_blocked });
                }
                changes
            });
            match timeout(POLL_INTERVAL, events.next()).await {
                Ok(Some(Event::ConnectionBlocked(reason))) => {
                    tracing::warn!(connection = self.name, reason, "blocked");
                }
                Ok(Some(Event::ConnectionUnblocked)) => {
                    tracing::info!(connection = self.name, "no longer blocked");
                }
                Ok(Some(Event::Error(error))) => {
                    let error = words(&error);
                    tracing::warn!(connection = self.name, error, "connection failed");
                    self.record_failure(Some(error));
                }
                Ok(Some(_)) | Err(_) => {}
                Ok(None) => break,
            }
        }
        tracing::warn!(connection = self.name, "connection lost; connecting again");
        self.state.send_replace(None);
    }

    /// The connection, unless there is none for now.
    pub(super) fn connection(&self) -> Result<Arc<Connection>, BrokerError> {
        let standing = self.state.borrow();
        let connection = standing.as_ref().map(|it| Arc::clone(&it.connection));
        connection.ok_or_else(|| self.away())
    }

    /// Whether a message would be taken now.
    pub(super) fn takes_messages(&self) -> Result<(), BrokerError> {
        let is_blocked = self.state.borrow().as_ref().map(|it| it.is_blocked);
        match is_blocked {
            Some(false) => Ok(()),
            Some(true) => Err(BrokerError::Blocked),
            None => Err(self.away()),
        }
    }

    pub(super) fn away(&self) -> BrokerError {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        BrokerError::unavailable(match &*failure {
            Some(why) => format!("no connection ({}): {why}", self.name),
            None => format!("no connection yet ({})", self.name),
        })
    }

    fn record_failure(&self, why: Option<String>) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        *failure = why;
    }

    /// Waits for a connection.
    pub(super) async fn connected(&self) -> Arc<Connection> {
        let mut states = self.state.subscribe();
        loop {
            if let Ok(connection) = self.connection() {
                return connection;
            }
            if states.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until a connection is no longer the one that is given out. Whoever waits for something
    /// on it waits for this too, rather than trust that every call ends with its connection.
    pub(super) async fn ended(&self, connection: &Arc<Connection>) {
        let mut states = self.state.subscribe();
        let is_other = |state: &Option<Standing>| {
            !state.as_ref().is_some_and(|it| Arc::ptr_eq(&it.connection, connection))
        };
        if states.wait_for(is_other).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until a connection takes no messages: it is blocked, or no longer the one that is given
    /// out. Returns why.
    pub(super) async fn refuses(&self, connection: &Arc<Connection>) -> BrokerError {
        let mut states = self.state.subscribe();
        let refuses = |state: &Option<Standing>| {
            state
                .as_ref()
                .is_none_or(|it| it.is_blocked || !Arc::ptr_eq(&it.connection, connection))
        };
        match states.wait_for(refuses).await {
            Ok(state) if state.as_ref().is_some_and(|it| it.is_blocked) => BrokerError::Blocked,
            Ok(_) | Err(_) => BrokerError::unavailable("the connection was lost"),
        }
    }

    /// Has everything that was declared checked at once.
    pub(super) fn invalidate(&self) {
        self.topology.invalidate();
    }

    /// How often a lost connection was made again.
    pub(super) fn reconnects(&self) -> u64 {
        self.reconnects.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    /// The threads that lapin has started and not ended.
    fn threads() -> usize {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let name = |task: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default()
        };
        tasks.map(name).filter(|name| name.starts_with("lapin")).count()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the runtime's time stands, that of threads runs"
    )]
    #[tokio::test(start_paused = true)]
    async fn a_node_that_is_silent_costs_one_thread_however_often_it_is_asked() {
        let listening = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent = listening.local_addr().unwrap();
        // It is kept, or somebody else would listen there.
        let bound = TcpSocket::new_v4().unwrap();
        bound.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let refusing = bound.local_addr().unwrap();
        for scheme in ["amqp", "amqps"] {
            let urls = [silent, refusing].map(|place| format!("{scheme}://{place}"));
            let addresses = urls.iter().map(|url| Address::parse(url).unwrap()).collect();
            let topology = Topology::new("sk".into(), 50, &[], (None, None)).unwrap();
            let link = Link::consuming(addresses, Arc::new(topology));
            let before = threads();
            for _ in 0..5 {
                link.connect().await.unwrap_err();
            }
            // Those of refused attempts end by themselves, a moment later.
            for _ in 0..6_000 {
                if threads() <= before + 1 {
                    break;
                }
                tokio::task::yield_now().await;
                std::thread::sleep(Duration::from_millis(10));
            }
            assert!(threads() <= before + 1, "{} threads more", threads() - before);
        }
    }
}
