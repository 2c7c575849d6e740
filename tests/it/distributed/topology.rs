//! `topology delete`: it says what would be lost, and deletes nothing that is in use or full unless
//! it is told to.

use super::Deployment;
use super::changes_out::order;
use crate::harness::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topology_is_deleted_only_when_nothing_uses_it_and_what_is_lost_is_known() {
    let deployment = Deployment::start().await;
    let delete = |more: &[&str]| {
        let output = deployment.run(&[&["topology", "delete"], more].concat());
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (status, _, said) = delete(&[]);
    assert_eq!(status, Some(2));
    assert!(said.contains("needs --yes where there is no terminal"), "{said}");
    let (status, printed, _) = delete(&["--yes"]);
    assert_eq!((status, printed.contains("are deleted")), (Some(0), true), "nothing is there");

    let ingress = deployment.role("ingress", "ingress").await;
    order(&ingress, "shop", 1).await;
    let (status, printed, _) = delete(&["--yes", "--format", "json"]);
    let view: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((status, &view["deleted"]), (Some(1), &false.into()));
    assert!(view["messages"].as_u64().unwrap() >= 1, "{view}");
    let worker = deployment.role("worker", "worker").await;
    eventually("the worker consumes dead letters", async || {
        let queues = deployment.rabbitmq.control(&["list_queues", "name", "consumers"]).await;
        queues.lines().any(|line| line == "storekeeper.dead\t1").then_some(())
    })
    .await;
    let (status, printed, _) = delete(&["--yes", "--force"]);
    assert_eq!(status, Some(1));
    assert!(printed.contains("stop the processes that consume first"), "{printed}");
    worker.kill();
    ingress.kill();
    let (status, printed) = eventually("nobody consumes", async || {
        let (status, printed, _) = delete(&["--yes"]);
        (!printed.contains("stop the processes")).then_some((status, printed))
    })
    .await;
    assert_eq!(status, Some(1));
    assert!(
        printed.contains(".journal") && printed.contains("--force deletes that too"),
        "{printed}"
    );
    let (status, printed, said) = delete(&["--yes", "--force"]);
    assert_eq!(status, Some(0), "{printed}{said}");
    let queues = deployment.rabbitmq.control(&["list_queues", "name"]).await;
    assert!(!queues.contains(".work"), "{queues}");
    // Whoever connects next declares it again.
    let ingress = deployment.role("ingress", "ingress").await;
    order(&ingress, "shop", 2).await;
}
