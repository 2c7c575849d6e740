//! How to connect to Redis.

use secrecy::SecretString;

/// How the servers are organised.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RedisMode {
    /// One server, or an address that always leads to the one that takes writes.
    #[default]
    Single,
    /// The addresses are Sentinels, which know the master.
    Sentinel,
    /// The addresses are some nodes of a cluster.
    Cluster,
}

/// The settings of a [`RedisStore`](super::RedisStore).
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// `redis://[user:password@]host:port[/db]`, or `rediss://` for TLS; at least one. A single
    /// server has one, Sentinels and clusters may have several. With Sentinels, user, password and
    /// database are those of the master.
    pub urls: Vec<SecretString>,
    /// How the servers are organised.
    pub mode: RedisMode,
    /// The name by which Sentinels know the master.
    pub sentinel_master: String,
    /// The user and password of the Sentinels; without either, those of the master.
    pub sentinel_username: Option<String>,
    /// See [`sentinel_username`](Self::sentinel_username).
    pub sentinel_password: Option<SecretString>,
    /// What every key begins with.
    pub prefix: String,
    /// Whether a server without persistence is intended; otherwise it is logged as a warning.
    pub allow_volatile: bool,
    /// Whether a relay needs to know which sites have new changes.
    pub announces: bool,
}

impl RedisOptions {
    /// One server, with the default of everything else.
    pub fn single(url: &str) -> Self {
        Self {
            urls: vec![url.into()],
            mode: RedisMode::Single,
            sentinel_master: "mymaster".to_owned(),
            sentinel_username: None,
            sentinel_password: None,
            prefix: "sk".to_owned(),
            allow_volatile: false,
            announces: true,
        }
    }
}
