//! The leader's duties over hours, and beside each other: one that fails stops no other.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use storekeeper::config::Settings;
use storekeeper::domain::Policy;
use storekeeper::duties::{Leader, LeaderLease, Means};
use storekeeper::health::{DutyReport, Health};
use storekeeper::metrics::Metrics;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Shop, order};
use crate::harness::{eventually, eventually_within};

struct Leading {
    health: Arc<Health>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Leading {
    fn on(shop: &Shop) -> Self {
        let kept = [("STOREKEEPER__ORDERS__RETENTION".into(), "1d".into())];
        let health = Arc::new(Health::new());
        let means = Means {
            settings: Settings::load_from(None, kept).unwrap(),
            broker: Arc::clone(&shop.broker) as _,
            store: Arc::clone(&shop.store) as _,
            files: Some((Arc::clone(&shop.broker), Arc::clone(&shop.store))),
            servers: None,
            metrics: Arc::new(Metrics::new()),
            health: Arc::clone(&health),
        };
        let lease = LeaderLease::of_directory(shop.path()).unwrap();
        let (ending, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(Leader::new(lease, means).run(ending.clone()));
        tasks.close();
        Self { health, stop: ending, tasks }
    }

    fn report(&self, duty: &str) -> Option<DutyReport> {
        self.health.leader()?.duties.remove(duty)
    }

    /// Waits until a duty was done again, for at most an hour and a bit of the duty's time.
    async fn is_done_again(&self, duty: &str) {
        let before = self.report(duty).and_then(|report| report.last_success);
        eventually_within(Duration::from_secs(4000), duty, async || {
            let now = self.report(duty)?.last_success?;
            (Some(&now) != before.as_ref()).then_some(())
        })
        .await;
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_duty_is_done_each_hour() {
    let shop = Shop::new();
    let leading = Leading::on(&shop);
    for _ in 0..2 {
        for duty in
            ["sweep_journal", "sweep_dead_letters", "sweep_changes", "close_orders", "audit"]
        {
            leading.is_done_again(duty).await;
        }
    }
    leading.end().await;
}

#[tokio::test]
async fn a_duty_that_fails_says_why_and_stops_no_other() {
    let shop = Shop::new();
    shop.publish(&[order("1", "PROCESSED", 1)]).await;
    shop.work_off(&Policy::default()).await;
    // What may remove something waits until the files are known to belong together.
    let leading = Leading::on(&shop);
    leading.is_done_again("recover").await;
    leading.end().await;
    let store = Connection::open(shop.path().join("store.db")).unwrap();
    store.execute_batch("DROP TABLE dead_letters").unwrap();
    let leading = Leading::on(&shop);
    eventually("one fails and the others are done", async || {
        let mut duties = leading.health.leader()?.duties;
        let problem = duties.remove("sweep_dead_letters")?.problem?;
        let is_told = problem.contains("no such table: dead_letters");
        duties.values().all(|duty| duty.last_success.is_some()).then_some(())?;
        is_told.then_some(())
    })
    .await;
    leading.end().await;
}

#[tokio::test]
async fn of_two_on_one_directory_one_leads_until_it_ends() {
    let shop = Shop::new();
    let (first, second) = (Leading::on(&shop), Leading::on(&shop));
    let leads = |one: &Leading| one.health.leader().is_some_and(|report| report.leads);
    eventually("one leads", async || (leads(&first) || leads(&second)).then_some(())).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (leader, other) = if leads(&first) { (first, second) } else { (second, first) };
    assert!(!leads(&other));
    leader.end().await;
    eventually("the other leads", async || leads(&other).then_some(())).await;
    other.end().await;
}
