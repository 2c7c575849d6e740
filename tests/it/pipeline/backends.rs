//! A server on either backend, its Store beside it, and what its metrics count.

use std::sync::Arc;

use reqwest::Client;
use storekeeper::app;
use storekeeper::config::Settings;
use storekeeper::store::Store;
use tempfile::TempDir;

use crate::distributed::deployment::Deployment;
use crate::harness::{DEADLINE, Server, eventually_or_told};

/// Whose policy restocks refunded lines.
const LINES: (&str, &str) = ("STOREKEEPER__REFUNDS__RESTOCK", "lines");

/// A `serve` at work.
pub(super) struct AtWork {
    pub(super) server: Server,
    pub(super) store: Arc<dyn Store>,
    client: Client,
    posted: u64,
    _directory: Option<TempDir>,
}

impl AtWork {
    /// On files of its own, under the default policy or one that restocks refunded lines.
    pub(super) async fn embedded(restocks_lines: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = if restocks_lines { &[LINES][..] } else { &[] };
        let server = Server::start(directory.path(), settings).await;
        let path = directory.path().join("data");
        let path = ("STOREKEEPER__EMBEDDED__PATH".into(), path.into_os_string());
        let settings = Settings::load_from(None, [path]).unwrap();
        let store = app::open_store(&settings).await.unwrap();
        Self::new(server, store, Some(directory))
    }

    /// In queues and keys of its own on shared servers.
    pub(super) async fn distributed(deployment: &Deployment, restocks_lines: bool) -> Self {
        let name = if restocks_lines { "lines" } else { "default" };
        let own =
            [("STOREKEEPER__RABBITMQ__NAMESPACE", name), ("STOREKEEPER__REDIS__PREFIX", name)];
        let policy = if restocks_lines { &[LINES][..] } else { &[] };
        let server = deployment.role_with("serve", name, &[&own, policy].concat()).await;
        let redis = [
            ("STOREKEEPER__BACKEND".into(), "distributed".into()),
            ("STOREKEEPER__REDIS__URL".into(), deployment.redis.url().into()),
            ("STOREKEEPER__REDIS__PREFIX".into(), name.into()),
        ];
        let store = app::open_store(&Settings::load_from(None, redis).unwrap()).await.unwrap();
        Self::new(server, store, None)
    }

    fn new(server: Server, store: Arc<dyn Store>, directory: Option<TempDir>) -> Self {
        Self { server, store, client: Client::new(), posted: 0, _directory: directory }
    }

    pub(super) async fn post(&mut self, body: String) {
        let answer = self.client.post(self.server.webhooks()).body(body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        self.posted += 1;
    }

    /// Asks the operator API for a change, which must be done at once.
    pub(super) async fn ask(&mut self, path: &str, body: serde_json::Value) {
        let answer = self.client.post(self.server.console(path)).json(&body).send().await.unwrap();
        let (status, said) = (answer.status(), answer.text().await.unwrap());
        assert_eq!(status, 200, "{path}: {said}");
        self.posted += 1;
    }

    /// Waits until everything that was sent has its outcome.
    pub(super) async fn settled(&self) {
        eventually_or_told(DEADLINE, "everything has its outcome", async || {
            let outcomes = self.counted("events_settled").await;
            let told = format!("{outcomes} of {} have one", self.posted);
            if outcomes >= self.posted { Ok(()) } else { Err(told) }
        })
        .await;
    }

    /// What a counter of the process says, over all its labels.
    pub(super) async fn counted(&self, name: &str) -> u64 {
        let url = format!("http://{}/metrics", self.server.addresses.probes);
        let metrics = self.client.get(url).send().await.unwrap().text().await.unwrap();
        let name = format!("storekeeper_{name}_total");
        let lines = metrics.lines().filter_map(|line| line.strip_prefix(&name));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }
}
