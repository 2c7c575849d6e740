//! The Store in Redis: one server, a master that Sentinels name, or a cluster.
//!
//! Every write is one script, which runs alone and names all keys that it touches. Keys of a site
//! are in one hash slot, so that a commit is one step wherever the site lives.
//!
//! What was answered outlives this process. What of it outlives the server is the server's to say:
//! all with `appendfsync always`, all but the last second with `everysec`, and a replica that is
//! promoted may miss what had not reached it. [`failovers`](crate::store::ReadStore::failovers) counts when that may have
//! happened: the journal has the webhooks of those moments.
//!
//! # Invariants
//! - Everything that can refuse a write is checked before its first write: Redis undoes nothing.
//! - Nothing is sent again by itself: a commit without an answer was written or not, and a fresh
//!   load finds out which.
//! - No quantity is a float that is not exact: Lua's numbers are floats, so counts are texts there,
//!   and long ones are added in parts.
//! - No rule is applied here.

mod audit;
mod call;
mod client;
mod closed;
mod commit;
mod connection;
mod connector;
mod dead_letters;
mod entity;
mod failure;
mod feed;
mod history;
mod keys;
mod layout;
mod leader_clock;
mod lease;
mod moment;
mod names;
mod options;
mod range;
mod read;
mod refusal;
mod relay;
mod repair;
mod rights;
mod script;
mod server;
mod sites;
mod state;
mod stock;
mod upkeep;
mod value;

use self::client::Client;
pub use self::history::KnownHistory;
pub use self::options::{RedisMode, RedisOptions};
pub use self::relay::{Relayed, SITES_MAX};
use super::StoreError;

/// A Store in Redis.
#[derive(Debug)]
pub struct RedisStore {
    client: Client,
    announces: bool,
}

impl RedisStore {
    /// A Store that need not be reachable yet, for services: calls fail as unavailable until it is.
    pub fn start(options: &RedisOptions) -> Result<Self, StoreError> {
        Ok(Self { client: Client::new(options)?, announces: options.announces })
    }

    /// A Store that is reachable now, for commands. A server that may drop keys when it is full, or
    /// is too old, is rejected.
    pub async fn connect(options: &RedisOptions) -> Result<Self, StoreError> {
        let store = Self::start(options)?;
        store.client.connect().await?;
        Ok(store)
    }

    /// Has the next connection made by the addresses and credentials of these options; the one that
    /// stands is kept.
    pub fn replace_addresses(&self, options: &RedisOptions) -> Result<(), StoreError> {
        self.client.replace(options)
    }
}
