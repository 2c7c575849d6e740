//! What supervisors and scrapers are answered, and the command that asks.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use serde_json::{Value, json};
use storekeeper::cli::{self, ExitStatus, Format, HealthArgs};
use storekeeper::health::{Health, STALL_MAX};
use storekeeper::metrics::Metrics;
use tower::ServiceExt;

use super::commands::Printed;
use super::{Backends, Served, field, given};

struct Probed {
    backends: Backends,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    router: Router,
    served: Served,
}

impl Probed {
    async fn start() -> Self {
        let backends = Backends::open();
        let (health, metrics) = (Arc::new(Health::new()), Arc::new(Metrics::new()));
        let router = storekeeper::health::probes::router(
            Arc::clone(&health),
            Arc::clone(&metrics),
            Some(Arc::clone(&backends.store)),
            Arc::clone(&backends.broker),
        );
        let served = Served::start(router.clone()).await;
        Self { backends, health, metrics, router, served }
    }

    /// Asks without a socket, whose timers would run ahead while the time is paused.
    async fn status_of(&self, path: &str) -> u16 {
        let request = axum::http::Request::get(path).body(axum::body::Body::empty()).unwrap();
        self.router.clone().oneshot(request).await.unwrap().status().as_u16()
    }

    async fn readiness(&self) -> (u16, Value) {
        let answer = self.served.get("/readyz").await;
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn ask(&self, path: &str, format: Format) -> (ExitStatus, Printed) {
        ask(&format!("{}{path}", self.served.url), format).await
    }
}

async fn ask(url: &str, format: Format) -> (ExitStatus, Printed) {
    let args = HealthArgs { url: Some(url.parse().unwrap()) };
    let mut printed = Printed::default();
    let probes = async || unreachable!("the address is given");
    let status = cli::health::run(&args, probes, &mut printed.output(format)).await.unwrap();
    (status, printed)
}

#[tokio::test]
async fn a_process_is_ready_between_start_and_drain() {
    let probed = Probed::start().await;
    let (status, answer) = probed.readiness().await;
    assert_eq!((status, &answer["status"]), (503, &json!("not_ready")));
    assert_eq!(answer["reasons"][0]["code"], "process.starting");
    probed.health.mark_started();
    assert_eq!(probed.readiness().await, (200, json!({"status": "ready"})));
    probed.health.mark_draining();
    let (status, answer) = probed.readiness().await;
    assert_eq!((status, &answer["reasons"][0]["code"]), (503, &json!("process.draining")));
}

#[tokio::test]
async fn a_backend_that_is_away_is_named() {
    let probed = Probed::start().await;
    probed.health.mark_started();
    probed.backends.store.close().await;
    probed.backends.broker.close().await;
    let (status, answer) = probed.readiness().await;
    let codes = field(answer["reasons"].as_array().unwrap(), "code");
    assert_eq!((status, codes), (503, vec!["broker.unavailable", "store.unavailable"]));
    let alive = probed.served.get("/livez").await;
    assert_eq!(alive.status(), 200, "a restart brings no backend back");
}

#[tokio::test]
async fn the_backends_are_asked_at_most_once_a_second() {
    let probed = Probed::start().await;
    probed.health.mark_started();
    assert_eq!(probed.status_of("/readyz").await, 200);
    tokio::time::pause();
    probed.backends.store.close().await;
    assert_eq!(probed.status_of("/readyz").await, 200);
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::time::resume();
    assert_eq!(probed.status_of("/readyz").await, 503);
}

#[tokio::test]
async fn a_worker_that_settles_nothing_it_took_is_not_alive() {
    let probed = Probed::start().await;
    probed.health.count_taken(1);
    assert_eq!(probed.status_of("/livez").await, 200);
    tokio::time::pause();
    tokio::time::advance(STALL_MAX).await;
    tokio::time::resume();
    assert_eq!(probed.status_of("/livez").await, 503);
    probed.health.count_done(1);
    assert_eq!(probed.status_of("/livez").await, 200);
}

#[tokio::test]
async fn a_scrape_shows_the_queue_and_the_store_as_they_are() {
    let probed = Probed::start().await;
    let backends = &probed.backends;
    given::shop(&*backends.store).await;
    given::dead_letters(&*backends.store).await;
    backends.broker.publish(given::envelope(8, 0, b"{}")).await.unwrap();
    probed.metrics.count_ignored("ECOMM_STORE_CREATED");
    let answer = probed.served.get("/metrics").await;
    assert_eq!(
        answer.headers()["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let text = answer.text().await.unwrap();
    for line in [
        "storekeeper_queue_ready 1",
        "storekeeper_dead_letters_parked{reason=\"decode.not_json\"} 2",
        "storekeeper_stock_items_oversold 1",
        "storekeeper_events_ignored_total{event_type=\"ECOMM_STORE_CREATED\"} 1",
        "# EOF",
    ] {
        assert!(text.lines().any(|written| written == line), "{line} is missing in\n{text}");
    }
}

#[tokio::test]
async fn a_scrape_leaves_out_what_could_not_be_read() {
    let probed = Probed::start().await;
    probed.backends.store.close().await;
    let text = probed.served.get("/metrics").await.text().await.unwrap();
    assert!(text.contains("storekeeper_queue_ready 0\n"), "{text}");
    assert!(!text.contains("stock_items_oversold"), "{text}");
}

#[tokio::test]
async fn other_paths_and_methods_are_problems() {
    let probed = Probed::start().await;
    let unknown: Value = probed.served.get("/").await.json().await.unwrap();
    assert_eq!(unknown["code"], "route.unknown");
    let post = probed.served.client.post(format!("{}/livez", probed.served.url));
    let refused: Value = post.send().await.unwrap().json().await.unwrap();
    assert_eq!(refused["code"], "request.method");
}

#[tokio::test]
async fn the_health_command_ends_with_what_the_process_says() {
    let probed = Probed::start().await;
    let (status, printed) = probed.ask("", Format::Table).await;
    assert_eq!(status, ExitStatus::NotHeld);
    assert_eq!(printed.out(), "not_ready\nprocess.starting: not every part is up\n");
    let (status, printed) = probed.ask("/livez", Format::Table).await;
    assert_eq!((status, printed.out().as_str()), (ExitStatus::Done, "live\n"));
    let (status, printed) = probed.ask("/v1/sites", Format::Table).await;
    assert_eq!((status, printed.out().as_str()), (ExitStatus::NotHeld, "HTTP status 404\n"));
    assert!(printed.err().contains("is it the address of `probes.listen`?"));
    probed.health.mark_started();
    let (status, printed) = probed.ask("/", Format::Json).await;
    let answer: Value = serde_json::from_str(&printed.out()).unwrap();
    assert_eq!(status, ExitStatus::Done);
    assert_eq!((&answer["code"], &answer["status"]), (&json!(200), &json!("ready")));
}

#[tokio::test]
async fn the_health_command_says_when_nobody_is_there() {
    // Kept, so that nobody else listens there.
    let bound = tokio::net::TcpSocket::new_v4().unwrap();
    bound.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = bound.local_addr().unwrap();
    let (status, printed) = ask(&format!("http://{port}"), Format::Table).await;
    assert_eq!(status, ExitStatus::Unreachable);
    let refused = format!("cannot reach http://{port}/readyz: Connection refused (os error 111)\n");
    assert_eq!(printed.err(), refused);
}
