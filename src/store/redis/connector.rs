//! The connection in use, and the making of the next one.
//!
//! Whoever needs a connection begins an attempt; others wait for it, and after a failure every call
//! fails at once until the next attempt is due.
//!
//! # Invariants
//! - No attempt depends on its caller: it is a task of its own. The caller may be a future that is no
//!   longer polled, as a worker's batches are while it waits for the Store.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{ErrorKind, RedisError};
use secrecy::ExposeSecret;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::RedisOptions;
use super::connection::{CONNECT_DEADLINE, Connection, Target};
use super::failure::{self, in_words};
use super::keys::Keys;
use super::layout;
use super::refusal::ConnectRefusal;
use super::rights;
use super::server::{Finding, Servers};
use crate::clock::Delays;
use crate::store::StoreError;

/// After so many timeouts in a row a connection is given up: the other side may have vanished.
const TIMEOUTS_MAX: u32 = 3;
/// The delays between attempts to connect.
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LAST_DELAY: Duration = Duration::from_secs(2);

/// Makes connections, one at a time.
pub(super) struct Connector {
    /// Where the next connection leads.
    place: Mutex<Arc<Place>>,
    keys: Keys,
    servers: Servers,
    state: Mutex<ConnectorState>,
    timeouts: AtomicU32,
    attempts: TaskTracker,
}

/// Where Redis is.
struct Place {
    target: Target,
    /// What the server is called in errors: its address, without credentials.
    server: String,
    is_tls: bool,
}

impl Place {
    fn new(options: &RedisOptions) -> Result<Self, StoreError> {
        let (target, server) = Target::new(options)?;
        let is_tls = options.urls.iter().any(|url| url.expose_secret().starts_with("rediss://"));
        Ok(Self { target, server, is_tls })
    }

    async fn connect(&self) -> Result<Connection, ConnectRefusal> {
        let error = match self.target.connect().await {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        let mut why = in_words(&error);
        if error.kind() == ErrorKind::AuthenticationFailed {
            why = self.target.words_on_login().await.unwrap_or(why);
        } else if error.code().is_none() {
            why += self.tls_hint();
        }
        Err(ConnectRefusal::of_connecting(&error, &why))
    }

    /// A server that does not speak TLS answers nothing, or what looks like anything.
    const fn tls_hint(&self) -> &'static str {
        if self.is_tls {
            "; TLS was tried, as redis.url says rediss://: is this a port for TLS?"
        } else {
            ""
        }
    }
}

struct ConnectorState {
    in_use: ConnectionUse,
    /// How many connections were made: an error of an earlier one does not concern this one.
    made: u64,
    delays: Delays,
}

/// What became of an attempt, once it has ended.
type ConnectAttempt = watch::Receiver<Option<Result<LiveConnection, ConnectRefusal>>>;

enum ConnectionUse {
    Connected(Connection),
    Connecting(ConnectAttempt),
    /// Not before this, as the last attempt failed.
    Away(Option<(Instant, ConnectRefusal)>),
    Closed,
}

/// The connection in use, for one call.
#[derive(Clone)]
pub(super) struct LiveConnection {
    pub(super) connection: Connection,
    number: u64,
}

impl Connector {
    /// A connector without a connection so far.
    pub(super) fn new(options: &RedisOptions) -> Result<Self, StoreError> {
        let delays = Delays::new(FIRST_DELAY, LAST_DELAY);
        Ok(Self {
            place: Mutex::new(Arc::new(Place::new(options)?)),
            keys: Keys::new(&options.prefix),
            servers: Servers::new(options.allow_volatile),
            state: Mutex::new(ConnectorState {
                in_use: ConnectionUse::Away(None),
                made: 0,
                delays,
            }),
            timeouts: AtomicU32::new(0),
            attempts: TaskTracker::new(),
        })
    }

    /// Has the next connection made by other addresses or credentials.
    pub(super) fn replace(&self, options: &RedisOptions) -> Result<(), StoreError> {
        let place = Arc::new(Place::new(options)?);
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = place;
        Ok(())
    }

    fn place(&self) -> Arc<Place> {
        Arc::clone(&self.place.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the server is called in errors.
    pub(super) fn server(&self) -> String {
        self.place().server.clone()
    }

    /// What was learned of the servers.
    pub(super) const fn servers(&self) -> &Servers {
        &self.servers
    }

    /// The connection in use, or a new one if an attempt is due.
    pub(super) async fn live(self: &Arc<Self>) -> Result<LiveConnection, ConnectRefusal> {
        let mut attempt = {
            let mut state = self.state();
            match &state.in_use {
                ConnectionUse::Connected(connection) => {
                    return Ok(LiveConnection {
                        connection: connection.clone(),
                        number: state.made,
                    });
                }
                ConnectionUse::Closed => return Err(self.closed()),
                ConnectionUse::Away(Some((not_before, why))) if Instant::now() < *not_before => {
                    return Err(why.clone());
                }
                ConnectionUse::Connecting(attempt) if attempt.has_changed().is_ok() => {
                    attempt.clone()
                }
                // An attempt whose task is gone was one of a runtime that has ended.
                ConnectionUse::Away(_) | ConnectionUse::Connecting(_) => {
                    let (result, attempt) = watch::channel(None);
                    state.in_use = ConnectionUse::Connecting(attempt.clone());
                    let connector = Arc::clone(self);
                    self.attempts
                        .spawn(async move { result.send_replace(Some(connector.attempt().await)) });
                    attempt
                }
            }
        };
        let ended = attempt.wait_for(Option::is_some).await.map(|ended| ended.clone());
        let broken_off = || away("connecting was broken off").at(&self.server());
        ended.ok().flatten().unwrap_or_else(|| Err(broken_off()))
    }

    /// Connects, and records the result.
    async fn attempt(&self) -> Result<LiveConnection, ConnectRefusal> {
        let attempt = timeout(CONNECT_DEADLINE, self.connect()).await;
        let attempt = attempt.unwrap_or_else(|_| {
            let hint = self.place().tls_hint();
            Err(away(format_args!("connecting takes too long{hint}")))
        });
        let attempt = attempt.map_err(|refusal| refusal.at(&self.server()));
        let mut state = self.state();
        if matches!(state.in_use, ConnectionUse::Closed) {
            return Err(self.closed());
        }
        match attempt {
            Ok(connection) => {
                state.delays.reset();
                state.made += 1;
                state.in_use = ConnectionUse::Connected(connection.clone());
                self.timeouts.store(0, Ordering::Relaxed);
                Ok(LiveConnection { connection, number: state.made })
            }
            Err(refusal) => {
                let not_before = Instant::now() + state.delays.next();
                state.in_use = ConnectionUse::Away(Some((not_before, refusal.clone())));
                Err(refusal)
            }
        }
    }

    async fn connect(&self) -> Result<Connection, ConnectRefusal> {
        let mut connection = self.place().connect().await?;
        match self.servers.check(&mut connection).await {
            Ok(()) => {}
            Err(Finding::Failed(error)) => {
                return Err(ConnectRefusal::of_connecting(&error, &in_words(&error)));
            }
            Err(Finding::Unfit(why)) => return Err(ConnectRefusal::Unfit(why)),
        }
        let rights = rights::check(&mut connection, &self.keys).await?;
        self.servers.record_rights(&rights);
        layout::check(&mut connection, &self.keys).await?;
        Ok(connection)
    }

    /// Records how a call went: a connection that is no longer usable is dropped.
    pub(super) fn record(&self, live: &LiveConnection, error: Option<&RedisError>) {
        let is_of_no_use = if error.is_some_and(RedisError::is_timeout) {
            self.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= TIMEOUTS_MAX
        } else {
            self.timeouts.store(0, Ordering::Relaxed);
            error.is_some_and(failure::ends_connection)
        };
        if !is_of_no_use {
            return;
        }
        self.drop_connection(live);
    }

    /// Has the next call make another connection.
    pub(super) fn drop_connection(&self, live: &LiveConnection) {
        let mut state = self.state();
        if state.made == live.number && matches!(state.in_use, ConnectionUse::Connected(_)) {
            state.in_use = ConnectionUse::Away(None);
        }
    }

    fn closed(&self) -> ConnectRefusal {
        ConnectRefusal::Away("was disconnected, as the process ends".into()).at(&self.server())
    }

    /// Drops the connection for good.
    pub(super) fn close(&self) {
        self.state().in_use = ConnectionUse::Closed;
    }

    /// Never held across an await.
    fn state(&self) -> MutexGuard<'_, ConnectorState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn away(why: impl std::fmt::Display) -> ConnectRefusal {
    ConnectRefusal::Away(format!("cannot be reached: {why}"))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_is_not_polled_blocks_no_other() {
        let listening = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent = format!("redis://{}", listening.local_addr().unwrap());
        let connector = Arc::new(Connector::new(&RedisOptions::single(&silent)).unwrap());
        let mut idle = pin!(connector.live());
        assert!(poll!(&mut idle).is_pending());
        let longest = CONNECT_DEADLINE + LAST_DELAY;
        for _ in 0..3 {
            let refused =
                timeout(longest, connector.live()).await.expect("it waits for the idle one");
            assert!(matches!(refused, Err(ConnectRefusal::Away(_))));
            tokio::time::sleep(LAST_DELAY).await;
        }
        assert!(matches!(idle.await, Err(ConnectRefusal::Away(_))));
    }
}
