//! A private Redis cluster: three masters, so that most of what belongs together would not be on
//! one by luck.

use std::process::Command;
use std::sync::OnceLock;

use redis::{Connection, FromRedisValue};

use super::RedisServer;
use crate::harness::{eventually, free_port};

/// Makes a cluster of servers, given as `host:port@port of the bus`, after the number of replicas
/// of each master; waits until each of them knows that it is whole, and replicas have what their
/// master has: one that never had it would not be promoted.
const JOIN: &str = r#"
replicas=$1; shift
redis-cli --cluster create "$@" --cluster-replicas "$replicas" --cluster-yes >/dev/null || exit 1
for node; do
    port=${node#*:} port=${port%@*}
    until redis-cli -p "$port" cluster info | grep -q cluster_state:ok; do sleep 0.05; done
    while redis-cli -p "$port" info replication | grep -q master_link_status:down; do sleep 0.05; done
done
"#;

/// A cluster that is there as long as this value, or the test process, is.
#[derive(Debug)]
pub(crate) struct RedisCluster {
    nodes: Vec<RedisServer>,
}

/// The one cluster of this test binary; each test has a prefix of its own there.
pub(crate) fn shared_cluster() -> &'static RedisCluster {
    static SHARED: OnceLock<RedisCluster> = OnceLock::new();
    SHARED.get_or_init(|| RedisCluster::start(0, &[]))
}

impl RedisCluster {
    /// One of a test's own that has on disk what it answered, with a replica of each master, which
    /// takes its place a while after it is gone.
    pub(crate) fn start_replicated() -> Self {
        let timeout = ["--cluster-node-timeout", "2000", "--repl-diskless-sync-delay", "0"];
        let on_disk = ["--appendonly", "yes", "--appendfsync", "always"];
        Self::start(1, &[timeout, on_disk].concat())
    }

    fn start(replicas: usize, settings: &[&str]) -> Self {
        let (nodes, names): (Vec<_>, Vec<_>) = (0..3 * (1 + replicas))
            .map(|_| {
                let bus = free_port().to_string();
                let clustered = ["--cluster-enabled", "yes", "--cluster-port", &bus];
                let node = RedisServer::start(&[&clustered, settings].concat());
                let name = format!("{}@{bus}", node.address());
                (node, name)
            })
            .unzip();
        let mut join = Command::new("sh");
        join.args(["-c", JOIN, "join", &replicas.to_string()]).args(names);
        assert!(join.status().unwrap().success(), "the servers do not become a cluster");
        Self { nodes }
    }

    /// The address of one of them, which knows the others.
    pub(crate) fn url(&self) -> String {
        self.nodes[0].url()
    }

    /// All addresses, as the setting takes them.
    pub(crate) fn urls(&self) -> String {
        let urls: Vec<_> = self.nodes.iter().map(RedisServer::url).collect();
        urls.join(",")
    }

    /// A connection to each.
    pub(crate) fn connections(&self) -> Vec<Connection> {
        self.nodes.iter().map(RedisServer::connection).collect()
    }

    /// What the master of a command's key answers, if there is one and it does.
    pub(crate) fn ask<T: FromRedisValue>(&self, command: &[&str]) -> Option<T> {
        // Any other answers with its name.
        self.nodes.iter().find_map(|node| node.ask(command))
    }

    /// The master that has a key, and its replica.
    pub(crate) fn master_of(&self, key: &str) -> (&RedisServer, &RedisServer) {
        let has_it = |node: &&RedisServer| node.ask::<i64>(&["EXISTS", key]).is_some();
        let master = self.nodes.iter().find(has_it).expect("a node has the key's slot");
        let port = format!("master_port:{}", master.port());
        let is_its = |node: &&RedisServer| {
            let info: Option<String> = node.ask(&["INFO", "replication"]);
            info.is_some_and(|info| info.lines().any(|line| line == port))
        };
        let replica = self.nodes.iter().find(is_its).expect("a master has a replica");
        (master, replica)
    }

    /// Keeps what is written to a master from its replica, with no time for either to notice more
    /// than a lost connection.
    pub(crate) async fn cut(&self, master: &RedisServer, replica: &RedisServer) {
        // It is refused with a password, since there is none.
        replica.tell(&["CONFIG", "SET", "masterauth", "none"]);
        master.tell(&["CLIENT", "KILL", "TYPE", "replica"]);
        eventually("the replica is cut off", async || {
            let info: String = replica.ask(&["INFO", "replication"])?;
            info.contains("master_link_status:down").then_some(())
        })
        .await;
    }
}
