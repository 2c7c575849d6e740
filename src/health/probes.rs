//! `/livez`, `/readyz` and `/metrics`: the endpoints for supervisors and scrapers.
//!
//! Every role serves them on a listener of its own, which accepts no operator requests and shows
//! nothing about shops or orders. Readiness and scrapes ask Broker and Store whether they would
//! work, at most once a second however many requests arrive.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::broker::{Broker, BrokerWarnings};
use crate::domain::{List, Timestamp, causes};
use crate::health::{Health, LeaderReport, NotReady};
use crate::http::problem::{Problem, ProblemCode};
use crate::metrics::{BrokerReading, Metrics, OPEN_METRICS, ProcessReadings, Readings};
use crate::store::Store;

/// How long the backends' answers about readiness are reused.
const CHECK_KEPT: Duration = Duration::from_secs(1);
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
    let probes = Probes { health, metrics, store, broker, started_at, checked: Mutex::new(None) };
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
    store: Option<Arc<dyn Store>>,
    broker: Arc<dyn Broker>,
    started_at: Timestamp,
    /// The backends' last answers. The lock is held while they are asked, so that they are asked
    /// once.
    checked: Mutex<Option<(Instant, Checked)>>,
}

/// The results of checking the backends.
#[derive(Debug, Clone)]
struct Checked {
    broker: BrokerReading,
    /// `None` without a Store.
    store_up: Option<bool>,
    reasons: Vec<NotReady>,
}

async fn livez(State(probes): State<Arc<Probes>>) -> Response {
    let depth = answered(probes.broker.depth()).await;
    if probes.health.is_live(depth.as_ref(), Instant::now()) {
        return answer(StatusCode::OK, ProbeAnswer::new("live", Vec::new()));
    }
    let detail = "the worker has something to do and makes no progress; restart the process";
    let reasons = vec![NotReady::new("worker.stalled", detail)];
    answer(StatusCode::SERVICE_UNAVAILABLE, ProbeAnswer::new("stalled", reasons))
}

async fn readyz(State(probes): State<Arc<Probes>>) -> Response {
    let mut reasons = probes.health.reasons();
    reasons.extend(probes.check_backends().await.reasons);
    let (status, text) = if reasons.is_empty() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not_ready")
    };
    let warnings = warnings(&probes.broker.warnings());
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
    let store = probes.store.as_ref();
    let parked = async {
        let totals = answered(store?.dead_letter_totals()).await?;
        Some((totals.letters, totals.bytes.iter().map(|(_, bytes)| bytes).sum()))
    };
    let oversold = async { answered(store?.oversold()).await };
    let waiting = async { answered(store?.count_listed(List::Waiting)).await };
    let (checked, depth, parked, oversold, waiting) = tokio::join!(
        probes.check_backends(),
        answered(probes.broker.depth()),
        parked,
        oversold,
        waiting
    );
    let readings = Readings {
        broker: checked.broker,
        store_up: checked.store_up,
        policy_conflicts: probes
            .broker
            .warnings()
            .policy_conflicts
            .map(|found| u64::try_from(found.len()).unwrap_or(u64::MAX)),
        store_volatile: store.and_then(|store| store.is_volatile()),
        depth,
        parked,
        oversold,
        waiting,
        reconnects: probes.broker.reconnects(),
        failovers: store.map(|store| store.failovers()),
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
    async fn check_backends(&self) -> Checked {
        let mut checked = self.checked.lock().await;
        if let Some((at, answers)) = checked.as_ref()
            && at.elapsed() < CHECK_KEPT
        {
            return answers.clone();
        }
        let check_store = async {
            let store = self.store.as_ref()?;
            Some(tokio::time::timeout(BACKEND_TIMEOUT, store.check()).await)
        };
        let check_broker = tokio::time::timeout(BACKEND_TIMEOUT, self.broker.check());
        let (broker, store) = tokio::join!(check_broker, check_store);
        let fault_of_store = match &store {
            Some(Ok(Ok(()))) | None => None,
            Some(Ok(Err(error))) => Some(NotReady::new("store.unavailable", error.to_string())),
            Some(Err(_)) => Some(NotReady::new("store.unavailable", NO_ANSWER)),
        };
        let (reading, fault_of_broker) = match &broker {
            Ok(answer) => {
                let fault = answer.as_ref().err().map(|error| causes(error));
                let fault = fault.map(|fault| NotReady::new("broker.unavailable", fault));
                (BrokerReading::of(answer), fault)
            }
            Err(_) => (BrokerReading::Away, Some(NotReady::new("broker.unavailable", NO_ANSWER))),
        };
        let answers = Checked {
            broker: reading,
            store_up: self.store.as_ref().map(|_| fault_of_store.is_none()),
            reasons: fault_of_broker.into_iter().chain(fault_of_store).collect(),
        };
        *checked = Some((Instant::now(), answers.clone()));
        answers
    }
}

/// Returns a backend's answer, or `None` if there is none within [`BACKEND_TIMEOUT`].
async fn answered<T, E: std::fmt::Display>(asked: impl Future<Output = Result<T, E>>) -> Option<T> {
    match tokio::time::timeout(BACKEND_TIMEOUT, asked).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a backend did not answer a probe");
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
