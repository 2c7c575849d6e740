//! Of several leaders one leads, and what becomes of its duties when it is killed, frozen, told to
//! stop, or has a wrong clock.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::Deployment;
use super::changes_out::{listen, order, told};
use crate::harness::{Server, eventually, faketime, is_long};

/// What the leader of the embedded and of the distributed backend say of themselves.
async fn report(leader: &Server) -> Option<Value> {
    let url = format!("http://{}/readyz", leader.addresses.probes);
    let mut answer: Value = reqwest::get(url).await.ok()?.json().await.ok()?;
    Some(answer["leader"].take())
}

async fn leads(leader: &Server) -> bool {
    report(leader).await.is_some_and(|report| report["leads"] == true)
}

async fn eventually_leads(leader: &Server) {
    eventually("it leads", async || leads(leader).await.then_some(())).await;
}

/// Sequences by site, as they are told.
#[derive(Default)]
struct Told(BTreeMap<String, Vec<u64>>);

impl Told {
    async fn take(&mut self, channel: &lapin::Channel) {
        while let Some((_, data)) = told(channel).await {
            let site = data["site"].as_str().unwrap().to_owned();
            self.0.entry(site).or_default().push(data["sequence"].as_u64().unwrap());
        }
    }

    /// Told again from some place on, perhaps; but never with a gap, and up to the last.
    fn all_without_a_gap(&self, site: &str, last: u64) -> bool {
        let mut next = 1;
        for sequence in &self.0[site] {
            assert!(*sequence <= next, "{site}: {sequence} came before {next}");
            next = next.max(sequence + 1);
        }
        next == last + 1
    }
}

#[tokio::test]
async fn a_second_leader_follows_at_once_when_the_first_is_told_to_stop() {
    let deployment = Deployment::start().await;
    let mut first = deployment.role("leader", "first").await;
    eventually_leads(&first).await;
    let second = deployment.role("leader", "second").await;
    assert_eq!(report(&second).await.unwrap(), serde_json::json!({"leads": false, "duties": {}}));
    first.signal("TERM");
    assert_eq!(first.ended().await.code(), Some(0), "{}", first.log());
    let stopped = Instant::now();
    eventually_leads(&second).await;
    // A lease that is not given back lasts for ten seconds.
    assert!(stopped.elapsed() < Duration::from_secs(6), "{:?}", stopped.elapsed());
    let duties = eventually("every duty is done", async || {
        let duties = report(&second).await?["duties"].take();
        let is_done = |duty: &Value| duty["last_success"].is_string();
        duties.as_object()?.values().all(is_done).then_some(duties)
    })
    .await;
    let names: Vec<_> = duties.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["audit", "clock", "recover", "relay", "replay", "sweep_changes", "sweep_dead_letters"],
        "the stream sweeps itself, and orders are kept for ever"
    );
}

/// The frozen one wakes up after another has taken over, and still believes that it leads.
#[tokio::test]
async fn what_a_leader_does_that_was_frozen_or_killed_is_done_once_in_effect() {
    let frozen_for = Duration::from_secs(if is_long() { 60 } else { 15 });
    let deployment = Deployment::start().await;
    let ingress = deployment.role("ingress", "ingress").await;
    let channel = listen(&deployment, "stock.#").await;
    let _worker = deployment.role("worker", "worker").await;
    let first = deployment.role("leader", "first").await;
    eventually_leads(&first).await;
    let second = deployment.role("leader", "second").await;
    let mut told = Told::default();
    let mut posted = 0;
    let mut post = async |orders: usize| {
        for _ in 0..orders {
            posted += 1;
            order(&ingress, "shop", posted).await;
        }
        posted as u64
    };
    post(20).await;
    eventually("the first tells something", async || {
        told.take(&channel).await;
        told.0.contains_key("shop").then_some(())
    })
    .await;
    first.signal("STOP");
    let frozen_at = Instant::now();
    post(20).await;
    eventually_leads(&second).await;
    tokio::time::sleep_until(frozen_at + frozen_for).await;
    first.signal("CONT");
    let last = post(20).await;
    eventually("the first finds out", async || (!leads(&first).await).then_some(())).await;
    assert!(leads(&second).await);
    eventually("all is told", async || {
        told.take(&channel).await;
        told.all_without_a_gap("shop", last).then_some(())
    })
    .await;
    second.kill();
    let last = post(20).await;
    eventually_leads(&first).await;
    eventually("all is told", async || {
        told.take(&channel).await;
        told.all_without_a_gap("shop", last).then_some(())
    })
    .await;
    deployment.run_well(&["audit"]);
}

#[tokio::test]
async fn a_clock_that_is_an_hour_off_takes_no_lease_and_keeps_none() {
    let deployment = Deployment::start().await;
    let behind = deployment.role_with("leader", "behind", &faketime("-1h")).await;
    eventually_leads(&behind).await;
    let ahead = deployment.role_with("leader", "ahead", &faketime("+1h")).await;
    // Longer than a lease lasts.
    let until = Instant::now() + Duration::from_secs(12);
    while Instant::now() < until {
        assert!(leads(&behind).await && !leads(&ahead).await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    behind.kill();
    eventually_leads(&ahead).await;
    eventually("it does its duties", async || {
        report(&ahead).await?["duties"]["relay"]["last_success"].is_string().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_clock_that_is_100_days_ahead_removes_nothing_until_a_person_trusts_it() {
    let deployment = Deployment::start().await;
    let ingress = deployment.role("ingress", "ingress").await;
    let _worker = deployment.role("worker", "worker").await;
    let leader = deployment.role("leader", "leader").await;
    order(&ingress, "shop", 1).await;
    let client = reqwest::Client::new();
    client.post(ingress.webhooks()).body("{").send().await.unwrap();
    let store = deployment.store().await;
    let kept = async || {
        let site = storekeeper::domain::Site::parse("shop").unwrap();
        let changes = store.changes(&site, 0, 10).await.unwrap().len();
        (changes, store.dead_letter_totals().await.unwrap().letters.len())
    };
    eventually("one is counted and one a dead letter", async || {
        (kept().await == (1, 1)).then_some(())
    })
    .await;
    eventually("the time is recorded", async || {
        report(&leader).await?["duties"]["clock"]["last_success"].is_string().then_some(())
    })
    .await;
    leader.kill();
    let ahead = deployment.role_with("leader", "ahead", &faketime("+100d")).await;
    eventually_leads(&ahead).await;
    eventually("nothing is removed for its age", async || {
        let duties = report(&ahead).await?["duties"].take();
        let waits = |duty: &str| {
            duties[duty]["problem"].as_str().is_some_and(|why| why.contains("trust-clock"))
        };
        ["sweep_dead_letters", "sweep_changes", "clock"]
            .iter()
            .all(|duty| waits(duty))
            .then_some(())
    })
    .await;
    assert_eq!(kept().await, (1, 1));
    deployment.run_well(&["journal", "trust-clock"]);
    eventually("all is removed that is old", async || (kept().await == (0, 0)).then_some(())).await;
}

#[tokio::test]
async fn without_a_worker_duties_are_done_all_the_same() {
    let kept =
        [("STOREKEEPER__DEAD_LETTERS__RETENTION", "1s"), ("STOREKEEPER__ORDERS__RETENTION", "1d")];
    let deployment = Deployment::start_with(&kept).await;
    let ingress = deployment.role("ingress", "ingress").await;
    let channel = listen(&deployment, "stock.#").await;
    let mut worker = deployment.role("worker", "worker").await;
    order(&ingress, "shop", 1).await;
    let client = reqwest::Client::new();
    client.post(ingress.webhooks()).body("{").send().await.unwrap();
    let store = deployment.store().await;
    eventually("one is counted and one a dead letter", async || {
        let site = storekeeper::domain::Site::parse("shop").unwrap();
        let changes = store.changes(&site, 0, 10).await.unwrap().len();
        let dead = store.dead_letter_counts().await.unwrap().len();
        ((changes, dead) == (1, 1)).then_some(())
    })
    .await;
    worker.signal("TERM");
    worker.ended().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Nobody takes this.
    order(&ingress, "shop", 2).await;
    let leader = deployment.role("leader", "leader").await;
    eventually("the change is told", async || told(&channel).await).await;
    eventually("the dead letter has expired", async || {
        store.dead_letter_counts().await.unwrap().is_empty().then_some(())
    })
    .await;
    eventually("all else is done, and the backlog postpones only the closing", async || {
        let mut duties = report(&leader).await?["duties"].take();
        let closing = duties.as_object_mut()?.remove("close_orders")?;
        assert_eq!(closing["last_success"], Value::Null);
        let is_done = |duty: &Value| duty["last_success"].is_string() && duty["problem"].is_null();
        (closing["problem"] == "postponed: webhooks wait in a queue"
            && duties.as_object()?.values().all(is_done))
        .then_some(())
    })
    .await;
}
