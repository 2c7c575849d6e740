//! Every metric, by its public name.
//!
//! Counters and histograms are written where things happen, and live as long as the process.
//! Gauges that describe the queue and the Store are not kept: each scrape brings fresh
//! [`Readings`], and a gauge whose reading failed is left out of that scrape. A missing series is
//! something to alert on; an old number would be believed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use crate::broker::QueueDepth;
use crate::domain::{Code, Findings, Reason, Settled, Timestamp};

/// The media type of what [`Metrics::encode`] gives.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How many names of unknown events get a counter of their own; the rest share `other`.
const EVENT_TYPES_MAX: usize = 50;
/// The longest name of an event that gets a counter of its own, in bytes.
const EVENT_TYPE_BYTES_MAX: usize = 64;

const PREFIX: &str = "storekeeper";
const SECONDS: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
const BATCHES: [f64; 5] = [1.0, 4.0, 16.0, 64.0, 256.0];

/// The metrics of one process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Answers of the ingress by their code; `ok` for 200.
    pub webhooks_received: Family<CodeLabel, Counter>,
    /// Events by what became of them.
    pub events_settled: Family<OutcomeLabels, Counter>,
    /// Events of names that no rule knows; written by [`Metrics::count_ignored`] only, which
    /// bounds the names.
    events_ignored: Family<EventTypeLabel, Counter>,
    event_types: Mutex<BTreeSet<String>>,
    /// Deliveries that were put on the retry ladder.
    pub deliveries_retried: Counter,
    /// Commits that found a newer revision and were computed again.
    pub commit_conflicts: Counter,
    /// From receipt of a webhook to its commit, in seconds.
    pub webhook_to_commit: Histogram,
    /// Events in a batch.
    pub batch_events: Histogram,
    /// Lines without a stock key in the orders that were applied.
    pub order_lines_unmapped: Counter,
    /// Lines whose stock key changed between two snapshots of their order.
    pub order_lines_rekeyed: Counter,
    /// Snapshots with a status that no rule knows.
    pub orders_status_unknown: Counter,
    /// Versions that only a fingerprint told apart.
    pub orders_ambiguous: Counter,
    /// Orders that were found to share an exclusive name with another.
    pub orders_alias_conflict: Counter,
    /// Refunded lines that belong to no line of their order.
    pub refund_lines_unmatched: Counter,
    /// Time for which the Store was away, in seconds.
    pub store_away_seconds: Counter<f64, AtomicU64>,
    /// What the last audit of this process found; `None` before the first.
    audit_differences: Mutex<Option<u64>>,
}

/// What a scrape found of queue and Store; `None` where the backend did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readings {
    /// How much is waiting where.
    pub depth: Option<QueueDepth>,
    /// How many dead letters are parked for each reason; reasons without any may be left out.
    pub parked: Option<Vec<(Code, u64)>>,
    /// How many stock items have less than nothing available.
    pub oversold: Option<u64>,
    /// How often this process had to connect to the queue anew.
    pub reconnects: u64,
    /// How often it found another server in place of the Store's, if it uses the Store.
    pub failovers: Option<u64>,
    /// When this was read.
    pub now: Timestamp,
}

/// The code of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CodeLabel {
    /// The problem's code, or `ok`.
    pub code: &'static str,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabels {
    /// applied, superseded, duplicate, ignored, `dead_letter` or expired. What people decide about
    /// dead letters is applied too, for the reason edited or discarded.
    pub outcome: &'static str,
    /// Why; empty where there is nothing to say.
    pub reason: &'static str,
}

/// The name of an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventTypeLabel {
    event_type: String,
}

/// The reason of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics that have counted nothing yet.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let r = &mut registry;
        let seconds = || Histogram::new(SECONDS);
        Self {
            webhooks_received: add(r, "webhooks_received", "Answers of the ingress by code"),
            events_settled: add(r, "events_settled", "Events by what became of them"),
            events_ignored: add(r, "events_ignored", "Events of unknown names"),
            event_types: Mutex::default(),
            deliveries_retried: add(r, "deliveries_retried", "Deliveries put on the retry ladder"),
            commit_conflicts: add(r, "commit_conflicts", "Commits computed again"),
            webhook_to_commit: register(
                r,
                "webhook_to_commit_seconds",
                "From receipt to commit",
                seconds(),
            ),
            batch_events: register(r, "batch_events", "Events in a batch", Histogram::new(BATCHES)),
            order_lines_unmapped: add(r, "order_lines_unmapped", "Lines without a stock key"),
            order_lines_rekeyed: add(r, "order_lines_rekeyed", "Lines whose stock key changed"),
            orders_status_unknown: add(r, "orders_status_unknown", "Snapshots of unknown status"),
            orders_ambiguous: add(r, "orders_ambiguous", "Versions told apart by fingerprint only"),
            orders_alias_conflict: add(r, "orders_alias_conflict", "Orders found to share a name"),
            refund_lines_unmatched: add(r, "refund_lines_unmatched", "Refunds of no known line"),
            store_away_seconds: add(r, "store_away_seconds", "Time for which the Store was away"),
            audit_differences: Mutex::default(),
            registry,
        }
    }

    /// Counts an event by what became of it.
    pub fn count_settled(&self, settled: Settled) {
        let labels = OutcomeLabels {
            outcome: settled.outcome.as_str(),
            reason: settled.reason.map_or("", Reason::as_str),
        };
        self.events_settled.get_or_create(&labels).inc();
    }

    /// Counts what a decision found odd.
    pub fn count_findings(&self, findings: Findings) {
        self.order_lines_unmapped.inc_by(findings.lines_unmapped);
        self.order_lines_rekeyed.inc_by(findings.lines_rekeyed);
        self.orders_status_unknown.inc_by(findings.statuses_unknown);
        self.orders_ambiguous.inc_by(findings.ambiguous);
        self.refund_lines_unmatched.inc_by(findings.refunds_unmatched);
    }

    /// Measures how long an event took from its receipt.
    pub fn observe_webhook_to_commit(&self, received_at: Timestamp, now: Timestamp) {
        self.webhook_to_commit.observe(seconds_between(received_at, now));
    }

    /// Counts an event that became a dead letter.
    pub fn count_dead_letter(&self, code: Code) {
        let labels = OutcomeLabels { outcome: "dead_letter", reason: code.as_str() };
        self.events_settled.get_or_create(&labels).inc();
    }

    /// Counts dead letters that outlived their retention.
    pub fn count_expired(&self, code: Code, letters: u64) {
        let labels = OutcomeLabels { outcome: "expired", reason: code.as_str() };
        self.events_settled.get_or_create(&labels).inc_by(letters);
    }

    /// Notes how many differences an audit of all sites found.
    pub fn note_audit(&self, differences: u64) {
        *self.audit_differences.lock().unwrap_or_else(PoisonError::into_inner) = Some(differences);
    }

    /// Counts an event of a name that no rule knows.
    ///
    /// Names come from outside: only the first few get a counter of their own, and only if they
    /// look like names of events. All others are counted together, as `other`.
    pub fn count_ignored(&self, event_type: &str) {
        let is_known = is_event_name(event_type) && {
            let mut known = self.event_types.lock().unwrap_or_else(PoisonError::into_inner);
            known.contains(event_type)
                || (known.len() < EVENT_TYPES_MAX && known.insert(event_type.to_owned()))
        };
        let event_type = if is_known { event_type } else { "other" }.to_owned();
        self.events_ignored.get_or_create(&EventTypeLabel { event_type }).inc();
    }

    /// All metrics in the text format of `OpenMetrics`, with the gauges that `readings` has.
    pub fn encode(&self, readings: Readings) -> String {
        let mut text = String::new();
        let mut read = readings.into_registry();
        let audited = *self.audit_differences.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(differences) = audited {
            let help = "Numbers that the last audit found to be others than they should";
            set(&mut read, "audit_differences", help, differences);
        }
        encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, &read))
            .and_then(|()| encode_eof(&mut text))
            .expect("writing to a string cannot fail");
        text
    }
}

impl Readings {
    fn into_registry(self) -> Registry {
        let mut registry = Registry::with_prefix(PREFIX);
        let r = &mut registry;
        if let Some(depth) = self.depth {
            let (ready, in_flight) = (depth.work_ready, depth.work_in_flight);
            set(r, "queue_ready", "Envelopes that wait for a worker", ready);
            set(r, "queue_in_flight", "Envelopes that a worker has", in_flight);
            // Where there are some and their age is not known, none is shown: 0 would be a lie.
            let age = match depth.work_oldest {
                Some(oldest) => Some(seconds_between(oldest, self.now)),
                None => (ready == 0 && in_flight == 0).then_some(0.0),
            };
            if let Some(age) = age {
                r.register(
                    "queue_oldest_age_seconds",
                    "Age of the oldest unsettled envelope",
                    ConstGauge::new(age),
                );
            }
        }
        if let Some(parked) = self.parked {
            let family = Family::<ReasonLabel, Gauge>::default();
            let parked: BTreeMap<Code, u64> = parked.into_iter().collect();
            // All reasons, so that a count that falls to nothing is a 0 and no gap.
            for code in Code::ALL {
                let count = parked.get(code).copied().unwrap_or(0);
                let gauge = family.get_or_create_owned(&ReasonLabel { reason: code.as_str() });
                gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
            }
            r.register("dead_letters_parked", "Parked dead letters by reason", family);
        }
        if let Some(oversold) = self.oversold {
            let help = "Stock items with less than nothing available";
            set(r, "stock_items_oversold", help, oversold);
        }
        total(r, "broker_reconnects", "Connections to the queue made anew", self.reconnects);
        if let Some(failovers) = self.failovers {
            total(r, "store_failovers", "Servers that took the Store's place", failovers);
        }
        registry
    }
}

fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    register(registry, name, help, M::default())
}

fn register<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

fn set(registry: &mut Registry, name: &str, help: &str, value: u64) {
    registry.register(name, help, ConstGauge::new(value));
}

fn total(registry: &mut Registry, name: &str, help: &str, value: u64) {
    registry.register(name, help, ConstCounter::new(value));
}

#[expect(clippy::cast_precision_loss, reason = "an age of 285 years is still exact")]
fn seconds_between(earlier: Timestamp, later: Timestamp) -> f64 {
    later.micros().saturating_sub(earlier.micros()).max(0) as f64 / 1e6
}

/// Whether a name is written as the names of events are.
fn is_event_name(name: &str) -> bool {
    name.len() <= EVENT_TYPE_BYTES_MAX
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    fn readings() -> Readings {
        Readings {
            depth: Some(QueueDepth {
                work_ready: 7,
                work_in_flight: 2,
                work_oldest: Some(Timestamp::from_millis(1_000)),
                retry_ready: 1,
                dead_intake: 0,
            }),
            parked: Some(vec![(Code::NotJson, 3)]),
            oversold: Some(1),
            reconnects: 2,
            failovers: Some(0),
            now: Timestamp::from_millis(3_500),
        }
    }

    const NONE: Readings = Readings {
        depth: None,
        parked: None,
        oversold: None,
        reconnects: 0,
        failovers: None,
        now: Timestamp::from_micros(0),
    };

    /// Names and types, in the order of the text. Counters gain `_total` in their series.
    fn names(text: &str) -> Vec<&str> {
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect()
    }

    #[test]
    fn the_metrics_have_their_public_names() {
        let metrics = Metrics::new();
        // A family is written once it has a member.
        metrics.count_dead_letter(Code::NotJson);
        metrics.count_ignored("ECOMM_STORE_CREATED");
        metrics.note_audit(0);
        metrics.webhooks_received.get_or_create(&CodeLabel { code: "ok" }).inc();
        let text = metrics.encode(readings());
        let mut names = names(&text);
        names.sort_unstable();
        insta::assert_snapshot!(names.join("\n"), @r"
        storekeeper_audit_differences gauge
        storekeeper_batch_events histogram
        storekeeper_broker_reconnects counter
        storekeeper_commit_conflicts counter
        storekeeper_dead_letters_parked gauge
        storekeeper_deliveries_retried counter
        storekeeper_events_ignored counter
        storekeeper_events_settled counter
        storekeeper_order_lines_rekeyed counter
        storekeeper_order_lines_unmapped counter
        storekeeper_orders_alias_conflict counter
        storekeeper_orders_ambiguous counter
        storekeeper_orders_status_unknown counter
        storekeeper_queue_in_flight gauge
        storekeeper_queue_oldest_age_seconds gauge
        storekeeper_queue_ready gauge
        storekeeper_refund_lines_unmatched counter
        storekeeper_stock_items_oversold gauge
        storekeeper_store_away_seconds counter
        storekeeper_store_failovers counter
        storekeeper_webhook_to_commit_seconds histogram
        storekeeper_webhooks_received counter
        ");
    }

    #[test]
    fn counters_are_written_with_their_labels() {
        let metrics = Metrics::new();
        metrics.count_settled(Settled { outcome: Outcome::Applied, reason: None });
        metrics.count_dead_letter(Code::NotJson);
        metrics.webhooks_received.get_or_create(&CodeLabel { code: "ok" }).inc();
        let text = metrics.encode(NONE);
        for line in [
            "storekeeper_events_settled_total{outcome=\"applied\",reason=\"\"} 1",
            "storekeeper_events_settled_total{outcome=\"dead_letter\",reason=\"decode.not_json\"} 1",
            "storekeeper_webhooks_received_total{code=\"ok\"} 1",
        ] {
            assert!(text.lines().any(|written| written == line), "{line} is missing in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn gauges_are_what_was_read_now() {
        let metrics = Metrics::new();
        metrics.note_audit(4);
        let text = metrics.encode(readings());
        for line in [
            "storekeeper_audit_differences 4",
            "storekeeper_queue_ready 7",
            "storekeeper_queue_in_flight 2",
            "storekeeper_queue_oldest_age_seconds 2.5",
            "storekeeper_dead_letters_parked{reason=\"decode.not_json\"} 3",
            "storekeeper_dead_letters_parked{reason=\"stock.overflow\"} 0",
            "storekeeper_stock_items_oversold 1",
        ] {
            assert!(text.lines().any(|written| written == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn an_age_that_nobody_knows_is_left_out() {
        let text = |work_ready| {
            let depth = Some(QueueDepth { work_ready, ..QueueDepth::default() });
            Metrics::new().encode(Readings { depth, ..NONE })
        };
        assert!(!text(1).contains("queue_oldest_age_seconds"), "{}", text(1));
        assert!(text(0).contains("queue_oldest_age_seconds 0.0"), "{}", text(0));
    }

    #[test]
    fn a_gauge_whose_reading_failed_is_left_out() {
        let text = Metrics::new().encode(NONE);
        for name in ["queue_ready", "queue_oldest_age", "dead_letters_parked", "oversold", "audit"]
        {
            assert!(!text.contains(name), "{name} is in\n{text}");
        }
    }

    #[test]
    fn the_names_of_ignored_events_are_bounded() {
        let metrics = Metrics::new();
        for number in 0..EVENT_TYPES_MAX + 20 {
            metrics.count_ignored(&format!("EVENT_{number}"));
        }
        metrics.count_ignored("EVENT_0");
        metrics.count_ignored("no name\"} 1");
        metrics.count_ignored(&"A".repeat(EVENT_TYPE_BYTES_MAX + 1));
        let text = metrics.encode(NONE);
        let series: Vec<&str> =
            text.lines().filter(|line| line.starts_with("storekeeper_events_ignored_")).collect();
        assert_eq!(series.len(), EVENT_TYPES_MAX + 1);
        assert!(series.contains(&"storekeeper_events_ignored_total{event_type=\"EVENT_0\"} 2"));
        assert!(series.contains(&"storekeeper_events_ignored_total{event_type=\"other\"} 22"));
    }
}
