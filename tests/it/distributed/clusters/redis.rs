//! A Redis of three masters, each with a replica.
//!
//! A master answers before its replica has what was written: so one that is killed takes what it
//! answered last with it. Mostly that is nothing, as on a fast network here. To see what becomes of
//! it, replication is cut off for a while before the master is killed.

use redis::Connection;
use storekeeper::clock;
use tokio::time::Instant;

use super::super::deployment::Surroundings;
use super::super::faults::{COUNTED, receive};
use super::super::surviving::{history, survives_on};
use crate::harness::{eventually, tell};
use crate::servers::rabbitmq::RabbitMq;
use crate::servers::{RedisCluster, RedisServer};

const STOCK: &str = "sk:{shop}:stock";
const RECEIVED: [&str; 3] = ["HGET", STOCK, "sku:A"];

/// Servers of a test's own.
struct Cluster {
    _rabbitmq: RabbitMq,
    redis: RedisCluster,
    surroundings: Surroundings,
}

impl Cluster {
    async fn start() -> Self {
        let rabbitmq = RabbitMq::start().await;
        let redis = RedisCluster::start_replicated();
        let mode = [("STOREKEEPER__REDIS__MODE", "cluster")];
        let surroundings = Surroundings::new(rabbitmq.url(), redis.urls(), &mode);
        Self { _rabbitmq: rabbitmq, redis, surroundings }
    }

    fn master(&self) -> (&RedisServer, &RedisServer) {
        self.redis.master_of(STOCK)
    }

    fn received(&self) -> Option<String> {
        self.redis.ask::<Option<String>>(&RECEIVED).flatten()
    }

    async fn eventually_received(&self) {
        eventually("the goods are counted", async || {
            self.received().filter(|received| received == COUNTED)
        })
        .await;
    }

    /// Has goods counted by a master that is killed before its replica knows of them; waits until
    /// that has taken its place.
    async fn lose_what_is_received(&self) {
        let (master, replica) = self.master();
        self.redis.cut(master, replica).await;
        receive(&self.surroundings);
        self.eventually_received().await;
        let mut reader = replica.connection();
        redis::cmd("READONLY").exec(&mut reader).unwrap();
        let copied = |reader: &mut Connection| {
            redis::cmd(RECEIVED[0]).arg(&RECEIVED[1..]).query::<Option<String>>(reader).unwrap()
        };
        assert_eq!(copied(&mut reader), None, "the replica is not cut off");
        kill(master, replica).await;
    }
}

/// Kills a master, and waits until its replica has taken its place.
async fn kill(master: &RedisServer, replica: &RedisServer) {
    let killed_at = Instant::now();
    master.kill();
    eventually("the replica takes its place", async || replica.ask::<i64>(&["EXISTS", STOCK]))
        .await;
    tell(&format!("a replica took the place of its master after {:.1?}", killed_at.elapsed()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_is_killed_and_its_replica_takes_over() {
    let cluster = Cluster::start().await;
    let fault = "a master killed, of three";
    survives_on(fault, &cluster.surroundings, history(), async |_| {
        let (master, replica) = cluster.master();
        kill(master, replica).await;
        master.start_again();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_master_takes_with_it_comes_back_by_itself() {
    let cluster = Cluster::start().await;
    let fault = "a master killed with what its replica did not have";
    survives_on(fault, &cluster.surroundings, history(), async |_| {
        // Without this, there would be no time from which on something may be missing.
        eventually("all is noted to be well", async || {
            let names: Option<String> = cluster.redis.ask(&["HGET", "sk:history", "names"])?;
            names.filter(|names| !names.is_empty())
        })
        .await;
        let epoch: String = cluster.redis.ask(&["GET", "sk:epoch"]).unwrap();
        cluster.lose_what_is_received().await;
        eventually("the feeds begin anew", async || {
            cluster.redis.ask(&["GET", "sk:epoch"]).filter(|now: &String| *now != epoch)
        })
        .await;
        cluster.eventually_received().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_master_takes_with_it_is_put_back_by_a_person() {
    let cluster = Cluster::start().await;
    let fault = "a master killed with what its replica did not have, and the journal replayed";
    survives_on(fault, &cluster.surroundings, history(), async |processes| {
        let since = clock::now().to_string();
        processes.stop_workers().await;
        drop(processes.leader.take());
        for name in ["worker-3", "worker-4"] {
            processes.workers.push(cluster.surroundings.role("worker", name).await);
        }
        cluster.lose_what_is_received().await;
        assert_eq!(cluster.received(), None, "the master has taken it with it");
        cluster.surroundings.run_well(&["journal", "replay", "--since", &since]);
        cluster.eventually_received().await;
    })
    .await;
}
