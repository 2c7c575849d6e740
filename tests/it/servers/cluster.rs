//! A private Redis cluster: three masters, so that most of what belongs together would not be on
//! one by luck.

use std::process::Command;
use std::sync::OnceLock;

use super::RedisServer;
use crate::harness::free_port;

/// Makes a cluster of servers, given as `host:port@port of the bus`, and waits until each of them
/// knows that it is whole.
const JOIN: &str = r#"
redis-cli --cluster create "$@" --cluster-yes >/dev/null || exit 1
for node; do
    port=${node#*:}
    until redis-cli -p "${port%@*}" cluster info | grep -q cluster_state:ok; do sleep 0.05; done
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
    SHARED.get_or_init(RedisCluster::start)
}

impl RedisCluster {
    fn start() -> Self {
        let (nodes, names): (Vec<_>, Vec<_>) = (0..3)
            .map(|_| {
                let bus = free_port().to_string();
                let settings = ["--cluster-enabled", "yes", "--cluster-port", &bus];
                let node = RedisServer::start(&settings);
                let name = format!("{}@{bus}", node.address());
                (node, name)
            })
            .unzip();
        let joined = Command::new("sh").args(["-c", JOIN, "join"]).args(names).status().unwrap();
        assert!(joined.success(), "the servers do not become a cluster");
        Self { nodes }
    }

    /// The address of one of them, which knows the others.
    pub(crate) fn url(&self) -> String {
        self.nodes[0].url()
    }

    /// A connection to each.
    pub(crate) fn connections(&self) -> Vec<redis::Connection> {
        self.nodes.iter().map(RedisServer::connection).collect()
    }
}
