//! A private RabbitMQ of three nodes.

use std::fmt::Write;
use std::time::Duration;

use super::rabbitmq::{Place, RabbitMq};
use crate::harness::eventually_within;

/// How long three nodes that start at once may take, on a machine that is busy.
const PATIENCE: Duration = Duration::from_mins(3);

/// A cluster that is there as long as this value, or the test process, is.
#[derive(Debug)]
pub(crate) struct RabbitMqCluster {
    nodes: Vec<RabbitMq>,
}

impl RabbitMqCluster {
    /// Starts all of it, and waits until each node knows the others.
    pub(crate) async fn start() -> Self {
        let first = Place::free();
        let places = [first.clone(), first.beside(), first.beside()];
        let mut settings = "cluster_partition_handling = pause_minority\n\
             cluster_formation.peer_discovery_backend = classic_config\n"
            .to_owned();
        for (number, place) in (1..).zip(&places) {
            let node = place.node();
            let key = format!("cluster_formation.classic_config.nodes.{number}");
            writeln!(settings, "{key} = {node}").unwrap();
        }
        let nodes = places.map(|place| RabbitMq::start_at(place, &settings)).into();
        let cluster = Self { nodes };
        for node in &cluster.nodes {
            cluster.eventually_whole(node).await;
        }
        cluster
    }

    /// All addresses, as the setting takes them.
    pub(crate) fn url(&self) -> String {
        let urls: Vec<_> = self.nodes.iter().map(RabbitMq::url).collect();
        urls.join(",")
    }

    /// The node that leads a queue: it has what the others are told.
    pub(crate) async fn leader_of(&self, queue: &str) -> &RabbitMq {
        let queues = self.nodes[0].control(&["--quiet", "list_queues", "name", "leader"]).await;
        let mut queues = queues.lines().filter_map(|line| line.split_once('\t'));
        let (_, leader) = queues.find(|(name, _)| *name == queue).expect("it is declared");
        self.nodes.iter().find(|node| node.node() == leader).unwrap()
    }

    /// Takes the copy of a stream from a node.
    pub(crate) async fn remove_copy(&self, stream: &str, node: &RabbitMq) {
        let remove = format!(
            "rabbit_stream_queue:delete_replica(<<\"/\">>, <<\"{stream}\">>, '{}').",
            node.node()
        );
        let done = node.control(&["--quiet", "eval", &remove]).await;
        assert_eq!(done.trim(), "ok");
    }

    /// Starts a node again that was killed, and waits until the others have it back.
    pub(crate) async fn start_again(&self, node: &RabbitMq) {
        node.start_again();
        self.eventually_whole(node).await;
    }

    /// Waits until a node knows that all run.
    async fn eventually_whole(&self, node: &RabbitMq) {
        let count = format!("length(rabbit_nodes:all_running()) =:= {}.", self.nodes.len());
        eventually_within(PATIENCE, "a node knows that all run", async || {
            (node.try_control(&["--quiet", "eval", &count]).await.ok()?.trim() == "true")
                .then_some(())
        })
        .await;
        node.ready().await;
    }
}
