//! `/livez`, `/readyz` and `/metrics`: the endpoints for supervisors and scrapers.
//!
//! Every role serves them on a listener of its own, which accepts no operator requests and shows
//! nothing about shops or orders. Broker and Store are asked at most once a second however many
//! requests arrive.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::kept::Kept;
use super::{Health, LeaderReport, NotReady};
use crate::broker::{Broker, BrokerWarnings, QueueDepth};
use crate::domain::{Code, List, Timestamp, causes};
use crate::http::problem::{Problem, ProblemCode};
use crate::metrics::{BrokerReading, Metrics, OPEN_METRICS, ProcessReadings, Readings};
use crate::store::Store;

/// Counting over all sites takes at most one part in so many of the Store's time.
const COUNTS_SHARE: u32 = 20;
/// How long a backend may take to answer a probe; Kubernetes gives a probe one second by default.
const BACKEND_TIMEOUT: Duration = Duration::from_millis(800);

/// The detail for a backend that did not answer.
const NO_ANSWER: &str = "did not answer in time";

/// Serves the probes of one process; a process without a Store does not need one to be ready.
pub fn router(
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    store: Option<Arc<dyn Store>>,
    broker: Arc<dyn Broker>,
) -> Router {
    let started_at = crate::clock::now();
    let backends = Backends { store, broker };
    let probes = Probes {
        health,
        metrics,
        backends,
        started_at,
        checked: Kept::new(),
        depth: Kept::new(),
        counts: Kept::for_share(COUNTS_SHARE),
    };
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .method_not_allowed_fallback(async || {
            Problem::new(ProblemCode::Method, "probes are read with GET")
        })
        .fallback(async || {
            Problem::new(ProblemCode::RouteUnknown, "there are /livez, /readyz and /metrics")
        })
        .with_state(Arc::new(probes))
}

/// The answer to a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeAnswer {
    /// `live`, `stalled`, `ready` or `not_ready`.
    pub status: String,
    /// Why, if the answer is negative.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<NotReady>,
    /// What a person must put right although the process is ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<NotReady>,
    /// The report of a process that may lead; only in answers about readiness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<LeaderReport>,
}

struct Probes {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    backends: Backends,
    started_at: Timestamp,
    checked: Kept<Checked>,
    depth: Kept<Option<QueueDepth>>,
    counts: Kept<Counts>,
}

/// The backends of the process.
#[derive(Clone)]
struct Backends {
    store: Option<Arc<dyn Store>>,
    broker: Arc<dyn Broker>,
}

/// The results of checking the backends.
#[derive(Debug, Clone)]
struct Checked {
    broker: BrokerReading,
    /// `None` without a Store.
    store_up: Option<bool>,
    reasons: Vec<NotReady>,
}

/// What the Store counts over all sites.
#[derive(Debug, Clone, Default)]
struct Counts {
    parked: Option<(Vec<(Code, u64)>, u64)>,
    oversold: Option<u64>,
    waiting: Option<u64>,
    paused: Option<bool>,
}

async fn livez(State(probes): State<Arc<Probes>>) -> Response {
    let depth = probes.depth().await;
    if probes.health.is_live(depth.as_ref(), Instant::now()) {
        return answer(StatusCode::OK, ProbeAnswer::new("live", Vec::new()));
    }
    let detail = "the worker has something to do and makes no progress; restart the process";
    let reasons = vec![NotReady::new("worker.stalled", detail)];
    answer(StatusCode::SERVICE_UNAVAILABLE, ProbeAnswer::new("stalled", reasons))
}

async fn readyz(State(probes): State<Arc<Probes>>) -> Response {
    let mut reasons = probes.health.reasons();
    reasons.extend(probes.checked().await.reasons);
    let (status, text) = if reasons.is_empty() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not_ready")
    };
    let mut warnings = warnings(&probes.backends.broker.warnings());
    let paused = probes.health.queue_paused();
    warnings.extend(paused.map(|why| NotReady::new("queues.paused", why)));
    let leader = probes.health.leader();
    answer(status, ProbeAnswer { warnings, leader, ..ProbeAnswer::new(text, reasons) })
}

fn warnings(broker: &BrokerWarnings) -> Vec<NotReady> {
    let conflicts = broker.policy_conflicts.iter().flatten();
    let conflicts = conflicts.map(|conflict| NotReady::new("rabbitmq.policy", conflict));
    let management = broker.management.iter();
    conflicts.chain(management.map(|why| NotReady::new("rabbitmq.management", why))).collect()
}

async fn scrape(State(probes): State<Arc<Probes>>) -> Response {
    let (checked, depth, counts) = tokio::join!(probes.checked(), probes.depth(), probes.counts());
    let Backends { store, broker } = &probes.backends;
    let readings = Readings {
        broker: checked.broker,
        store_up: checked.store_up,
        policy_conflicts: broker
            .warnings()
            .policy_conflicts
            .map(|found| u64::try_from(found.len()).unwrap_or(u64::MAX)),
        store_volatile: store.as_ref().and_then(|store| store.is_volatile()),
        depth,
        parked: counts.parked,
        oversold: counts.oversold,
        waiting: counts.waiting,
        paused: counts.paused,
        reconnects: broker.reconnects(),
        failovers: store.as_ref().map(|store| store.failovers()),
        process: ProcessReadings::read(probes.started_at),
        now: crate::clock::now(),
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, probes.metrics.encode(readings)).into_response()
}

impl Probes {
    async fn checked(&self) -> Checked {
        let failed = || Checked {
            broker: BrokerReading::Away,
            store_up: self.backends.store.as_ref().map(|_| false),
            reasons: vec![NotReady::new("process.failed", "checking the backends panicked")],
        };
        self.checked.get(self.backends.clone().check()).await.unwrap_or_else(failed)
    }

    async fn depth(&self) -> Option<QueueDepth> {
        let broker = Arc::clone(&self.backends.broker);
        self.depth.get(async move { answered(broker.depth()).await }).await.flatten()
    }

    async fn counts(&self) -> Counts {
        let Some(store) = self.backends.store.clone() else { return Counts::default() };
        self.counts.get(count(store)).await.unwrap_or_default()
    }
}

impl Backends {
    async fn check(self) -> Checked {
        let check_store = async {
            let store = self.store.as_ref()?;
            Some(tokio::time::timeout(BACKEND_TIMEOUT, store.check()).await)
        };
        let check_broker = tokio::time::timeout(BACKEND_TIMEOUT, self.broker.check());
        let (broker, store) = tokio::join!(check_broker, check_store);
        let fault_of_store = match &store {
            Some(Ok(Ok(()))) | None => None,
            Some(Ok(Err(error))) => Some(NotReady::new("store.unavailable", causes(error))),
            Some(Err(_)) => Some(NotReady::new("store.unavailable", NO_ANSWER)),
        };
        let (reading, fault_of_broker) = match &broker {
            Ok(answer) => {
                let fault = answer.as_ref().err();
                let fault = fault.map(|error| NotReady::new("broker.unavailable", causes(error)));
                (BrokerReading::of(answer), fault)
            }
            Err(_) => (BrokerReading::Away, Some(NotReady::new("broker.unavailable", NO_ANSWER))),
        };
        Checked {
            broker: reading,
            store_up: self.store.as_ref().map(|_| fault_of_store.is_none()),
            reasons: fault_of_broker.into_iter().chain(fault_of_store).collect(),
        }
    }
}

async fn count(store: Arc<dyn Store>) -> Counts {
    let parked = async {
        let totals = answered(store.dead_letter_totals()).await?;
        Some((totals.letters, totals.bytes.iter().map(|(_, bytes)| bytes).sum()))
    };
    let oversold = answered(store.oversold());
    let waiting = answered(store.count_listed(List::Waiting));
    let paused = async { answered(store.paused()).await.map(|pause| pause.is_some()) };
    let (parked, oversold, waiting, paused) = tokio::join!(parked, oversold, waiting, paused);
    Counts { parked, oversold, waiting, paused }
}

/// Returns a backend's answer, or `None` if there is none within [`BACKEND_TIMEOUT`].
async fn answered<T, E: Error + 'static>(asked: impl Future<Output = Result<T, E>>) -> Option<T> {
    match tokio::time::timeout(BACKEND_TIMEOUT, asked).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            tracing::debug!(error = causes(&error), "a backend did not answer a probe");
            None
        }
        Err(_) => {
            tracing::debug!("a backend did not answer a probe in time");
            None
        }
    }
}

impl ProbeAnswer {
    fn new(status: &str, reasons: Vec<NotReady>) -> Self {
        Self { status: status.to_owned(), reasons, warnings: Vec::new(), leader: None }
    }
}

fn answer(status: StatusCode, answer: ProbeAnswer) -> Response {
    let headers = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (status, headers, Json(answer)).into_response()
}
