//! One ingress, three workers, a console: nothing is counted twice, and nothing is missing.

use super::Deployment;
use crate::harness::is_long;

#[tokio::test]
async fn three_workers_count_a_history_exactly() {
    let deployment = Deployment::start().await;
    let ingress = deployment.role("ingress", "ingress").await;
    let console = deployment.role("console", "console").await;
    let mut workers = Vec::new();
    for name in ["worker-1", "worker-2", "worker-3"] {
        workers.push(deployment.role("worker", name).await);
    }
    let orders = if is_long() { "5000" } else { "500" };
    let (url, console_url) = (ingress.webhooks(), console.console(""));
    let arguments = ["simulate", "--url", &url, "--console", &console_url, "--orders", orders];
    let simulated = deployment.run(&[&arguments[..], &["--check"]].concat());
    let said = String::from_utf8_lossy(&simulated.stdout);
    assert_eq!(simulated.status.code(), Some(0), "{said}");
    let audited = deployment.run(&["audit"]);
    assert_eq!(audited.status.code(), Some(0), "{audited:?}");
    for mut process in workers.into_iter().chain([ingress, console]) {
        assert!(!process.log().contains("ERROR"), "{}", process.log());
        process.signal("TERM");
        assert_eq!(process.ended().await.code(), Some(0), "{}", process.log());
    }
}

#[tokio::test]
async fn processes_that_start_together_on_a_new_rabbitmq_have_nothing_to_complain_of() {
    let deployment = Deployment::start().await;
    let (ingress, one, another) = tokio::join!(
        deployment.role("ingress", "ingress"),
        deployment.role("worker", "worker-1"),
        deployment.role("worker", "worker-2"),
    );
    for process in [ingress, one, another] {
        let log = process.log();
        // It verifies nothing here, and says so.
        let lines = log.lines().filter(|line| !line.contains("webhooks are not verified"));
        let complaints = lines.filter(|line| line.contains("ERROR") || line.contains("WARN"));
        assert_eq!(complaints.count(), 0, "{log}");
    }
    let log = deployment.rabbitmq.log();
    assert!(!log.contains("INTERNAL_ERROR"), "{log}");
}
