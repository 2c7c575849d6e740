//! The operator API, the probes and the read commands, over the embedded backends.
//!
//! Requests go over a real socket, through the same accept loop that serves in production; the
//! Store and the Broker are real ones in a directory of each test's own.

mod access;
mod api;
mod changes;
mod commands;
mod corrections;
mod described;
mod given;
mod letters;
mod lists;
mod order_lists;
mod orders;
mod probes;
mod refusals;
mod sites;
mod standing;
mod users;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use reqwest::{Client, Response};
use serde_json::Value;
use storekeeper::broker::Broker;
use storekeeper::broker::embedded::EmbeddedBroker;
use storekeeper::config::Settings;
use storekeeper::http::{Limits, serve};
use storekeeper::store::Store;
use storekeeper::store::embedded::EmbeddedStore;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The backends of one test.
struct Backends {
    store: Arc<dyn Store>,
    broker: Arc<dyn Broker>,
    _directory: TempDir,
}

impl Backends {
    fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            store: Arc::new(EmbeddedStore::open(directory.path()).unwrap()),
            broker: Arc::new(EmbeddedBroker::open(directory.path()).unwrap()),
            _directory: directory,
        }
    }

    async fn serve_console(&self) -> Served {
        self.serve_console_with("").await
    }

    /// A console with tokens: `read:<token>,operate:<token>`.
    async fn serve_console_with(&self, tokens: &str) -> Served {
        let list = (!tokens.is_empty()).then_some(("STOREKEEPER__CONSOLE__TOKENS", tokens));
        self.serve_console_set(list).await
    }

    /// A console with these settings.
    async fn serve_console_set(&self, variables: impl IntoIterator<Item = (&str, &str)>) -> Served {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        let settings = Settings::load_from(None, variables).unwrap();
        let (store, broker) = (Arc::clone(&self.store), Arc::clone(&self.broker));
        let stop = CancellationToken::new();
        Served::start(storekeeper::console::router(store, broker, &settings, stop)).await
    }
}

/// A router behind a real socket; it ends with the test.
struct Served {
    url: String,
    client: Client,
    _tasks: JoinSet<()>,
}

impl Served {
    async fn start(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let limits = Limits { connections_max: 16, header_timeout: Duration::from_secs(5) };
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, router, limits, CancellationToken::new()));
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(20));
        Self { url, client: client.build().unwrap(), _tasks: tasks }
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.url)).send().await.unwrap()
    }

    /// Gets what must be there.
    async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        let status = response.status();
        let body = response.text().await.unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Gets every page of a list, and how many items each had.
    async fn pages(&self, path: &str, cursor: &str) -> (Vec<Value>, Vec<usize>) {
        let (mut items, mut sizes) = (Vec::new(), Vec::new());
        let mut next = String::new();
        loop {
            let page = self.json(&format!("{path}{next}")).await;
            let list = if page["items"].is_array() { "items" } else { "holds" };
            let of_page = page[list].as_array().unwrap();
            items.extend_from_slice(of_page);
            sizes.push(of_page.len());
            assert!(sizes.len() < 100, "{path} has no end");
            let Some(place) = page[cursor].as_str() else { return (items, sizes) };
            let separator = if path.contains('?') { '&' } else { '?' };
            next = format!("{separator}cursor={place}");
        }
    }
}

/// The values of one field.
fn field<'a>(items: &'a [Value], name: &str) -> Vec<&'a str> {
    items.iter().map(|item| item[name].as_str().unwrap()).collect()
}
