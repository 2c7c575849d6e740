//! Redis has lost what it had, or a part of it, and a person has it put back from the journal.
//!
//! The leader replays by itself what is lost; here there is none.

use storekeeper::clock;

use super::super::surviving::survives;
use super::{eventually_received, receive, received};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_restored_from_a_backup_and_brought_up_to_date_by_a_person() {
    let fault = "redis restored from a backup and brought up to date by a person";
    survives(fault, async |deployment, processes| {
        let since = clock::now().to_string();
        let backup = deployment.redis.back_up();
        receive(deployment);
        eventually_received(deployment).await;
        processes.stop_workers().await;
        drop(processes.leader.take());
        deployment.redis.kill();
        deployment.redis.restore(&backup);
        deployment.redis.start_again();
        assert_eq!(received(deployment), None, "it came after the backup");
        let histories: Option<String> = deployment.ask(&["HGET", "sk:history", "names"]);
        for name in ["worker-3", "worker-4"] {
            processes.workers.push(deployment.role("worker", name).await);
        }
        deployment.run_well(&["journal", "replay", "--since", &since]);
        eventually_received(deployment).await;
        let now: Option<String> = deployment.ask(&["HGET", "sk:history", "names"]);
        assert_eq!(now, histories, "a leader was there");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_replaced_by_an_empty_one_and_rebuilt() {
    let fault = "redis replaced by an empty one and rebuilt";
    survives(fault, async |deployment, processes| {
        receive(deployment);
        let id = || {
            let server: Option<String> = deployment.ask(&["INFO", "server"]);
            server?.lines().find(|line| line.starts_with("run_id:")).map(str::to_owned)
        };
        let before = id();
        processes.stop_workers().await;
        drop(processes.leader.take());
        deployment.redis.kill();
        deployment.redis.lose_all();
        deployment.redis.start_again();
        assert_eq!(deployment.ask(&["EXISTS", "sk:sites"]), Some(0));
        assert_ne!(id(), before, "it is another server");
        for name in ["worker-3", "worker-4"] {
            processes.workers.push(deployment.role("worker", name).await);
        }
        deployment.run_well(&["journal", "replay"]);
        eventually_received(deployment).await;
    })
    .await;
}
