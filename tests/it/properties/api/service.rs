//! Every router of the program over one pair of backends, with a worker pool behind them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Method, StatusCode, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use storekeeper::broker::Broker;
use storekeeper::broker::embedded::EmbeddedBroker;
use storekeeper::clock;
use storekeeper::config::Settings;
use storekeeper::domain::{Code, Policy, PolicyOrigin};
use storekeeper::health::Health;
use storekeeper::health::probes;
use storekeeper::metrics::Metrics;
use storekeeper::store::Store;
use storekeeper::store::embedded::EmbeddedStore;
use storekeeper::upkeep::audit;
use storekeeper::worker::Pool;
use storekeeper::{console, ingress};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::call::{Answer, Call, Known};
use super::check;

/// The secret of the default source, and its base64.
pub(super) const SECRET: &[u8] = b"mysecret";
const SECRET_BASE64: &str = "bXlzZWNyZXQ=";
/// The tokens of the console that has some.
const TOKENS: &str = "read:a-reader-s-token,operate:an-operator-s-token";
/// A second source, which may write one site, and its credential.
const SOURCES: &str = "[[sources]]\nname = 'eu'\nsites = ['eu']";
const CREDENTIALS: &str =
    "[[ingress.credentials]]\nsource = 'eu'\npath_token = 'the-token-of-eu-0'";

/// How long the worker may take to settle what one request published.
const SETTLED_WITHIN: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// The routers, and what they stand on.
pub(super) struct Service {
    runtime: Runtime,
    routers: BTreeMap<&'static str, Router>,
    broker: Arc<dyn Broker>,
    store: Arc<dyn Store>,
    stop: CancellationToken,
    _directory: TempDir,
}

impl Service {
    pub(super) fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("there can be one more runtime");
        let directory = tempfile::tempdir().expect("there is room for a directory");
        let (broker, store) = {
            let _entered = runtime.enter();
            let broker = EmbeddedBroker::open(directory.path()).expect("the broker can be opened");
            let store = EmbeddedStore::open(directory.path()).expect("the store can be opened");
            (Arc::new(broker) as Arc<dyn Broker>, Arc::new(store) as Arc<dyn Store>)
        };
        let (metrics, health) = (Arc::new(Metrics::new()), Arc::new(Health::new()));
        health.mark_started();
        let stop = CancellationToken::new();
        let open = settings(&[]);
        let closed = settings(&[
            ("CONSOLE__TOKENS", TOKENS),
            ("INGRESS__SECRETS", SECRET_BASE64),
            ("SOURCES", SOURCES),
            ("INGRESS__CREDENTIALS", CREDENTIALS),
            ("INGRESS__EXPIRED", "park"),
        ]);
        let origin = PolicyOrigin { actor: "test".to_owned(), at: clock::now() };
        let in_force = runtime.block_on(store.adopt_policy(&Policy::default(), &origin));
        let pool = Pool::new(
            Arc::clone(&broker),
            Arc::clone(&store),
            Arc::clone(&metrics),
            Arc::clone(&health),
            in_force.expect("the store takes a policy"),
            &closed.worker,
            &closed.retry,
        );
        let pool = pool.with_sources(closed.source_rules());
        runtime.spawn(pool.run(stop.clone(), CancellationToken::new()));
        let console = |settings: &Settings| {
            let (store, broker) = (Arc::clone(&store), Arc::clone(&broker));
            console::router(store, broker, settings, stop.clone())
        };
        let ingress = |settings: &Settings| {
            ingress::router(Arc::clone(&broker), &settings.ingress, Arc::clone(&metrics))
        };
        let probes = probes::router(
            health,
            Arc::clone(&metrics),
            Some(Arc::clone(&store)),
            Arc::clone(&broker),
        );
        let routers = BTreeMap::from([
            ("console", console(&open)),
            ("console-with-tokens", console(&closed)),
            ("ingress", ingress(&open)),
            ("ingress-with-secrets", ingress(&closed)),
            ("probes", probes),
        ]);
        Self { runtime, routers, broker, store, stop, _directory: directory }
    }

    /// Sends the requests one after the other, each after what the one before published is
    /// settled. Says how each was answered.
    pub(super) fn play(&self, calls: &[Call]) -> Vec<StatusCode> {
        self.runtime.block_on(async {
            let mut known = Known::default();
            let mut statuses = Vec::new();
            for call in calls {
                let Some(answer) = self.answer(call, &known).await else { continue };
                check(call, &answer);
                known.note(&answer);
                statuses.push(answer.status);
                if call.method != Method::GET && answer.status.is_success() {
                    self.settle(call).await;
                }
            }
            let counts = self.store.dead_letter_counts().await.expect("the store can be asked");
            let ours = [Code::WorkerPanic, Code::RetryExhausted, Code::DeliveryLimit];
            assert!(!counts.iter().any(|(code, _)| ours.contains(code)), "{counts:?}");
            statuses
        })
    }

    async fn answer(&self, call: &Call, known: &Known) -> Option<Answer> {
        let router = self.routers.get(call.listener.as_str())?.clone();
        let answer = router.oneshot(call.request(known)?).await;
        let answer = answer.unwrap_or_else(|never| match never {});
        let (head, body) = answer.into_parts();
        let kind = head.headers.get(header::CONTENT_TYPE);
        let body = if kind.is_some_and(|kind| kind == "text/event-stream") {
            Bytes::new()
        } else {
            let whole = body.collect().await;
            whole.unwrap_or_else(|error| panic!("{call}: {error}")).to_bytes()
        };
        Some(Answer { status: head.status, headers: head.headers, body })
    }

    /// Waits until nothing is queued any more; nothing that can be sent is worth a second attempt.
    async fn settle(&self, call: &Call) {
        let settled = async {
            loop {
                let depth = self.broker.depth().await.expect("the broker can be asked");
                assert_eq!(depth.retry_ready, 0, "{call}: it could not be settled at once");
                if depth.work_ready + depth.work_in_flight + depth.dead_intake == 0 {
                    return;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let settled = tokio::time::timeout(SETTLED_WITHIN, settled).await;
        settled.unwrap_or_else(|_| panic!("{call}: it was not settled"));
    }

    /// Checks that all numbers are right, and lets go of the backends. `sent` is what was sent
    /// since the start.
    pub(super) fn stop(self, sent: &[Vec<u8>]) {
        let sent = || {
            let texts = sent.iter().map(|input| String::from_utf8_lossy(input));
            texts.collect::<Vec<_>>().join("\n===\n")
        };
        self.stop.cancel();
        self.runtime.block_on(async {
            for site in self.store.sites().await.expect("the store can be asked") {
                let found =
                    audit::site(&*self.store, &site, |_| {}).await.expect("it can be audited");
                let differences = found.differences;
                assert!(differences.is_empty(), "{site}: {differences:?} after\n{}", sent());
            }
            self.broker.close().await;
            self.store.close().await;
        });
    }
}

fn settings(variables: &[(&str, &str)]) -> Settings {
    let named = |(name, value): &(&str, &str)| {
        (OsString::from(format!("STOREKEEPER__{name}")), OsString::from(value))
    };
    Settings::load_from(None, variables.iter().map(named)).expect("the settings are right")
}
