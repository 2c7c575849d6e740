//! Worker processes in the place of pods: each comes and goes by itself, and nobody waits for it.

use std::process::ExitStatus;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::distributed::deployment::Deployment;

/// The workers that are wanted, and those that still go.
pub(super) struct Fleet {
    deployment: Arc<Deployment>,
    settings: Arc<Vec<(&'static str, String)>>,
    /// Tells each to go; the youngest is the last.
    wanted: Vec<CancellationToken>,
    started: usize,
    tasks: JoinSet<(String, ExitStatus)>,
}

impl Fleet {
    pub(super) fn new(deployment: Arc<Deployment>, settings: Vec<(&'static str, String)>) -> Self {
        let (wanted, tasks) = (Vec::new(), JoinSet::new());
        Self { deployment, settings: Arc::new(settings), wanted, started: 0, tasks }
    }

    /// Starts what is missing; tells the youngest to go when there are too many, as Kubernetes does.
    pub(super) fn scale_to(&mut self, count: u32) {
        let count = usize::try_from(count).unwrap();
        for go in self.wanted.drain(self.wanted.len().min(count)..) {
            go.cancel();
        }
        while self.wanted.len() < count {
            self.start();
        }
    }

    fn start(&mut self) {
        self.started += 1;
        let name = format!("worker-{}", self.started);
        let (deployment, settings) = (Arc::clone(&self.deployment), Arc::clone(&self.settings));
        let go = CancellationToken::new();
        self.wanted.push(go.clone());
        // A thread for each: what waits for a process is not made to move between threads.
        let runtime = Handle::current();
        self.tasks.spawn_blocking(move || {
            runtime.block_on(async move {
                let settings = settings.iter().map(|(name, value)| (*name, value.as_str()));
                let settings: Vec<_> = settings.collect();
                let mut worker = deployment.role_with("worker", &name, &settings).await;
                go.cancelled().await;
                worker.signal("TERM");
                (name, worker.ended().await)
            })
        });
    }

    /// How each of them ended, when all were told to go.
    pub(super) async fn all_gone(self) -> Vec<(String, ExitStatus)> {
        assert!(self.wanted.is_empty(), "some were not told to go");
        self.tasks.join_all().await
    }
}
