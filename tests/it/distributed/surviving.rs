//! A load of webhooks to real processes, while something happens to them or to their servers.
//!
//! Goal: every body that was answered 200 is accounted for, the stock equals the model, and the
//! audit finds nothing. Method: a history is posted by clients that send a body again until it is
//! answered; when a third of it is, something happens. How long it took to recover is printed.

use std::sync::Arc;
use std::time::Duration;

use storekeeper::simulate::{History, HistoryOptions};
use tokio::sync::watch;
use tokio::time::Instant;

use super::deployment::{Deployment, Surroundings};
use crate::harness::{Server, eventually, is_long, seed, tell};
use crate::load::{
    CLIENTS, all_accounted_for, eventually_settled, post_all, stock_becomes_that_of_the_model,
    stock_equals_the_model,
};

/// The processes that a fault may happen to.
pub(super) struct Processes {
    pub(super) workers: Vec<Server>,
    pub(super) leader: Option<Server>,
    pub(super) ingress: Server,
    pub(super) console: Server,
    /// How many webhooks were answered.
    pub(super) answered: watch::Receiver<usize>,
    /// How many there are.
    pub(super) all: usize,
}

impl Processes {
    /// Waits until all webhooks are answered.
    pub(super) async fn all_answered(&mut self) {
        let all = self.all;
        // An error means that all are answered.
        self.answered.wait_for(|count| *count == all).await.ok();
    }

    /// Waits until webhooks are answered that were posted from now on.
    pub(super) async fn answered_again(&mut self) {
        // Each client waits for one answer at a time.
        let more = self.all.min(*self.answered.borrow() + CLIENTS + 1);
        // An error means that all are answered.
        self.answered.wait_for(|count| *count >= more).await.ok();
    }

    /// Tells all workers to stop, and waits until they have.
    pub(super) async fn stop_workers(&mut self) {
        for worker in &self.workers {
            worker.signal("TERM");
        }
        for mut worker in std::mem::take(&mut self.workers) {
            worker.ended().await;
        }
    }
}

/// A history that is long enough for something to happen in the middle of it.
pub(super) fn history() -> History {
    let orders = if is_long() { 2_000 } else { 250 };
    History::write(HistoryOptions { seed: seed(), orders, duplicates_per_mille: 200 })
}

/// How long a server stands still.
pub(super) fn still() -> Duration {
    if is_long() { Duration::from_secs(30) } else { Duration::from_secs(5) }
}

/// Posts a history, lets `happen` while it is posted, and checks what has become of it all.
pub(super) async fn survives(fault: &str, happen: impl AsyncFnOnce(&Deployment, &mut Processes)) {
    survives_with(fault, &[], happen).await;
}

/// The same, with more settings of every process.
pub(super) async fn survives_with(
    fault: &str,
    settings: &[(&'static str, &'static str)],
    happen: impl AsyncFnOnce(&Deployment, &mut Processes),
) {
    let deployment = Deployment::start_with(settings).await;
    let happen = async |processes: &mut Processes| happen(&deployment, processes).await;
    survives_on(fault, &deployment, history(), happen).await;
}

/// The same with a history of one's own, on servers that the caller knows.
pub(super) async fn survives_on(
    fault: &str,
    surroundings: &Surroundings,
    history: History,
    happen: impl AsyncFnOnce(&mut Processes),
) {
    let history = Arc::new(history);
    let (answered, mut count) = watch::channel(0);
    let mut processes = Processes {
        answered: count.clone(),
        all: history.deliveries.len(),
        ingress: surroundings.role("ingress", "ingress").await,
        console: surroundings.role("console", "console").await,
        leader: Some(surroundings.role("leader", "leader").await),
        workers: vec![
            surroundings.role("worker", "worker-1").await,
            surroundings.role("worker", "worker-2").await,
        ],
    };
    let url = processes.ingress.webhooks();
    let posting = async {
        let ids = post_all(&history, url, answered).await;
        (ids, Instant::now())
    };
    let happening = async {
        let enough = history.deliveries.len() / 3;
        count.wait_for(|count| *count >= enough).await.unwrap();
        happen(&mut processes).await;
        Instant::now()
    };
    let ((ids, posted_at), over_at) = tokio::join!(posting, happening);
    eventually_settled(&processes.console).await;
    let (broker, store) = (surroundings.broker().await, surroundings.store().await);
    stock_becomes_that_of_the_model(&*store, &history).await;
    tell(&format!(
        "{fault}: all {} bodies were answered {} ms after it was over, and worked off after {} ms",
        ids.len(),
        posted_at.saturating_duration_since(over_at).as_millis(),
        over_at.elapsed().as_millis(),
    ));
    all_accounted_for(&*broker, &ids).await;
    stock_equals_the_model(&*store, &history, &ids).await;
    broker.close().await;
    store.close().await;
    eventually("an audit comes to its end", async || {
        let audited = surroundings.run(&["audit"]);
        // Servers that share a machine with all of this may not answer in time.
        let is_unavailable = audited.status.code() == Some(3);
        assert!(is_unavailable || audited.status.success(), "{audited:?}");
        audited.status.success().then_some(())
    })
    .await;
}
