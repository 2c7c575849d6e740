//! Every metric, by its public name.
//!
//! Counters and histograms are updated where things happen, and live as long as the process. Gauges
//! that describe the queue and the Store are not kept: each scrape takes fresh [`Readings`], and a
//! gauge whose reading failed is left out of that scrape. An alert can detect a missing series, but
//! an outdated number would be believed.

mod process;
mod readings;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

pub use self::process::ProcessReadings;
pub use self::readings::{BrokerReading, Readings};
use crate::domain::{Code, EventOutcome, Findings, Reason, Timestamp};

/// The media type of the text that [`Metrics::encode`] returns.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How many unknown event types get a counter of their own; the others share `other`.
const EVENT_TYPES_MAX: usize = 50;
/// The longest event type that gets a counter of its own, in bytes.
const EVENT_TYPE_BYTES_MAX: usize = 64;

const PREFIX: &str = "storekeeper";
const SECONDS: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
const BATCHES: [f64; 5] = [1.0, 4.0, 16.0, 64.0, 256.0];

/// Log lines that were not written, as there were too many of their kind. Logging is the process's,
/// and begins before there are metrics.
pub fn log_suppressed() -> &'static Counter {
    static SUPPRESSED: LazyLock<Counter> = LazyLock::new(Counter::default);
    &SUPPRESSED
}

/// The metrics of one process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Answers of the ingress by code; `ok` for 200.
    pub webhooks_received: Family<CodeLabel, Counter>,
    /// The codes that the ingress may answer.
    answer_codes: Mutex<BTreeSet<&'static str>>,
    /// When the last webhook of each source was taken, in seconds since 1970.
    webhooks_last_received: Family<SourceLabel, Gauge<f64, AtomicU64>>,
    /// Events by outcome.
    pub events_settled: Family<OutcomeLabels, Counter>,
    /// Events of unknown types; updated only by [`Metrics::count_ignored`], which limits the types.
    events_ignored: Family<EventTypeLabel, Counter>,
    event_types: Mutex<BTreeSet<String>>,
    /// Deliveries that were put on the retry ladder.
    pub deliveries_retried: Counter,
    /// Attempts at webhooks whose source no `[[sources]]` section of the worker names.
    pub sources_unknown: Counter,
    /// Commits that found a newer revision and were recomputed.
    pub commit_conflicts: Counter,
    /// The time from receipt of a webhook to its commit, in seconds.
    pub webhook_to_commit: Histogram,
    /// Events in a batch.
    pub batch_events: Histogram,
    /// Lines without a stock key in the orders that were applied.
    pub order_lines_unmapped: Counter,
    /// Lines whose stock key changed between two snapshots of their order.
    pub order_lines_rekeyed: Counter,
    /// Snapshots with a status that no rule knows.
    pub orders_status_unknown: Counter,
    /// Versions that only a fingerprint could tell apart.
    pub orders_ambiguous: Counter,
    /// Second names of orders that were seen beside another id.
    pub names_contested: Counter,
    /// Names in bodies that could not be read, and count as absent.
    pub names_unreadable: Counter,
    /// Quantities that were finer than millionths.
    pub quantities_rounded: Counter,
    /// Events with a timestamp more than a day after their receipt.
    pub timestamps_ahead: Counter,
    /// Corrections of orders that were applied.
    pub orders_corrected: Counter,
    /// Refunded lines that match no line of their order.
    pub refund_lines_unmatched: Counter,
    /// The time for which the Store was unavailable, in seconds.
    pub store_away_seconds: Counter<f64, AtomicU64>,
    /// 1 while a secret file has changed and cannot be used; otherwise 0.
    pub secrets_outdated: Gauge,
    /// The roles of the process, each with the value 1.
    roles: Family<RoleLabel, Gauge>,
    /// When this leader last completed each duty, in seconds since 1970; 0 before that.
    duty_last_success: Family<DutyLabel, Gauge<f64, AtomicU64>>,
    duty_failures: Family<DutyLabel, Counter>,
    leader: Mutex<LeaderReadings>,
}

#[derive(Debug, Clone, Copy, Default)]
struct LeaderReadings {
    /// Whether this process leads; `None` if it cannot.
    leading: Option<bool>,
    /// The number of differences that its last audit found; `None` before the first.
    audit: Option<u64>,
}

/// The code of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CodeLabel {
    /// The problem's code, or `ok`.
    pub code: &'static str,
}

/// The source of a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabel {
    source: String,
}

/// The outcome of an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabels {
    /// applied, superseded, duplicate, ignored, `dead_letter` or expired. Edits and discards of
    /// dead letters are applied, with the reason edited or discarded; a copy of a discarded dead
    /// letter is ignored, with the reason discarded.
    pub outcome: &'static str,
    /// The reason, or empty if there is none.
    pub reason: &'static str,
}

/// A duty of the leader.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DutyLabel {
    duty: &'static str,
}

/// The type of an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventTypeLabel {
    event_type: String,
}

/// A role of the process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RoleLabel {
    role: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Creates metrics that have counted nothing yet.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let r = &mut registry;
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        r.register("build", "The release of the process", Info::new(version));
        let help = "Log lines left out as there were too many of their kind";
        r.register("log_suppressed", help, log_suppressed().clone());
        let seconds = || Histogram::new(SECONDS);
        Self {
            webhooks_received: add(r, "webhooks_received", "Answers of the ingress by code"),
            answer_codes: Mutex::default(),
            webhooks_last_received: add(
                r,
                "webhooks_last_received_timestamp_seconds",
                "When the last webhook of a source was taken, in seconds since 1970",
            ),
            events_settled: add(r, "events_settled", "Events by what became of them"),
            events_ignored: add(r, "events_ignored", "Events of unknown names"),
            event_types: Mutex::default(),
            deliveries_retried: add(r, "deliveries_retried", "Deliveries put on the retry ladder"),
            sources_unknown: add(r, "sources_unknown", "Attempts at webhooks of unknown sources"),
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
            names_contested: add(r, "names_contested", "Second names found beside another id"),
            names_unreadable: add(r, "names_unreadable", "Names that could not be read"),
            quantities_rounded: add(r, "quantities_rounded", "Quantities finer than millionths"),
            timestamps_ahead: add(r, "timestamps_ahead", "Events stamped a day after receipt"),
            orders_corrected: add(r, "orders_corrected", "Corrections of orders that were taken"),
            refund_lines_unmatched: add(r, "refund_lines_unmatched", "Refunds of no known line"),
            store_away_seconds: add(r, "store_away_seconds", "Time for which the Store was away"),
            secrets_outdated: add(
                r,
                "secrets_outdated",
                "Whether a secret file has changed and cannot be used",
            ),
            roles: add(r, "role", "Roles of the process"),
            duty_last_success: add(
                r,
                "duty_last_success_timestamp_seconds",
                "When the leader last did all that was due, in seconds since 1970",
            ),
            duty_failures: add(r, "duty_failures", "Turns of duties that failed"),
            leader: Mutex::default(),
            registry,
        }
    }

    /// Counts an answer of the ingress.
    pub fn count_answer(&self, code: &'static str) {
        self.webhooks_received.get_or_create(&CodeLabel { code }).inc();
    }

    /// Records that a webhook of this source was taken.
    pub fn record_received(&self, source: &str, at: Timestamp) {
        let source = SourceLabel { source: source.to_owned() };
        self.webhooks_last_received.get_or_create(&source).set(seconds_since_1970(at));
    }

    /// Counts an event by its outcome.
    pub fn count_settled(&self, settled: EventOutcome) {
        let labels = OutcomeLabels {
            outcome: settled.outcome.as_str(),
            reason: settled.reason.map_or("", Reason::as_str),
        };
        self.events_settled.get_or_create(&labels).inc();
    }

    /// Counts the findings of a decision.
    pub fn count_findings(&self, findings: Findings) {
        self.order_lines_unmapped.inc_by(findings.lines_unmapped);
        self.order_lines_rekeyed.inc_by(findings.lines_rekeyed);
        self.orders_status_unknown.inc_by(findings.statuses_unknown);
        self.orders_ambiguous.inc_by(findings.ambiguous);
        self.refund_lines_unmatched.inc_by(findings.refunds_unmatched);
        self.names_contested.inc_by(findings.names_contested);
        self.names_unreadable.inc_by(findings.names_unreadable);
        self.quantities_rounded.inc_by(findings.quantities_rounded);
        self.timestamps_ahead.inc_by(findings.timestamps_ahead);
        self.orders_corrected.inc_by(findings.corrections);
    }

    /// Records the time from an event's receipt to its commit.
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

    /// Records how many differences an audit of all sites found.
    pub fn record_audit(&self, differences: u64) {
        self.leader().audit = Some(differences);
    }

    /// Records a role of the process.
    pub fn note_role(&self, role: &'static str) {
        self.roles.get_or_create(&RoleLabel { role }).set(1);
    }

    /// Shows each code as 0 until it is counted: a counter that appears with its first count looks
    /// as if it had always been 1, and no alert fires.
    pub fn expect_answers(&self, codes: impl IntoIterator<Item = &'static str>) {
        let mut known = self.answer_codes.lock().unwrap_or_else(PoisonError::into_inner);
        for code in codes {
            known.insert(code);
            drop(self.webhooks_received.get_or_create(&CodeLabel { code }));
        }
    }

    /// The answers of the ingress so far, by code; those that were never given are left out.
    pub fn answers(&self) -> BTreeMap<String, u64> {
        let codes = self.answer_codes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let count = |code| self.webhooks_received.get_or_create(&CodeLabel { code }).get();
        let answers = codes.into_iter().map(|code| (code.to_owned(), count(code)));
        answers.filter(|(_, count)| *count > 0).collect()
    }

    /// How many differences the last audit of this leader found; `None` before the first.
    pub fn audited(&self) -> Option<u64> {
        self.leader().audit
    }

    /// Records whether this process leads, and clears what was recorded of an earlier leadership.
    pub fn set_leading(&self, leads: bool, duties: &[&'static str]) {
        *self.leader() = LeaderReadings { leading: Some(leads), audit: None };
        self.duty_last_success.clear();
        for duty in duties {
            self.duty_last_success.get_or_create(&DutyLabel { duty }).set(0.0);
            drop(self.duty_failures.get_or_create(&DutyLabel { duty }));
        }
    }

    /// Records that a duty was completed.
    pub fn record_duty(&self, duty: &'static str, now: Timestamp) {
        self.duty_last_success.get_or_create(&DutyLabel { duty }).set(seconds_since_1970(now));
    }

    fn leader(&self) -> MutexGuard<'_, LeaderReadings> {
        self.leader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a turn of a duty that failed.
    pub fn count_duty_failure(&self, duty: &'static str) {
        self.duty_failures.get_or_create(&DutyLabel { duty }).inc();
    }

    /// Counts an event of an unknown type.
    ///
    /// Types come from outside: only the first few get a counter of their own, and only if they
    /// look like event types. All others are counted together, as `other`.
    pub fn count_ignored(&self, event_type: &str) {
        let is_known = is_event_name(event_type) && {
            let mut known = self.event_types.lock().unwrap_or_else(PoisonError::into_inner);
            known.contains(event_type)
                || (known.len() < EVENT_TYPES_MAX && known.insert(event_type.to_owned()))
        };
        let event_type = if is_known { event_type } else { "other" }.to_owned();
        self.events_ignored.get_or_create(&EventTypeLabel { event_type }).inc();
    }

    /// Encodes all metrics in the text format of `OpenMetrics`, with the gauges that `readings`
    /// contains.
    pub fn encode(&self, readings: Readings) -> String {
        let mut text = String::new();
        let mut read = readings.into_registry();
        let shown = read.sub_registry_with_prefix(PREFIX);
        let LeaderReadings { leading, audit } = *self.leader();
        if let Some(leads) = leading {
            set(shown, "leading", "Whether this process leads", u64::from(leads));
        }
        if let Some(differences) = audit {
            let help = "Numbers that the last audit found to be others than they should";
            set(shown, "audit_differences", help, differences);
        }
        encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, &read))
            .and_then(|()| encode_eof(&mut text))
            .expect("writing to a string cannot fail");
        text
    }
}

fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    register(registry, name, help, M::default())
}

fn register<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

fn set<N>(registry: &mut Registry, name: &str, help: &str, value: N)
where
    ConstGauge<N>: Metric,
{
    registry.register(name, help, ConstGauge::new(value));
}

fn total<N>(registry: &mut Registry, name: &str, help: &str, value: N)
where
    ConstCounter<N>: Metric,
{
    registry.register(name, help, ConstCounter::new(value));
}

#[expect(clippy::cast_precision_loss, reason = "an age of 285 years is still exact")]
fn seconds_between(earlier: Timestamp, later: Timestamp) -> f64 {
    later.micros().saturating_sub(earlier.micros()).max(0) as f64 / 1e6
}

fn seconds_since_1970(at: Timestamp) -> f64 {
    seconds_between(Timestamp::from_micros(0), at)
}

/// Returns whether a name is written like an event type.
fn is_event_name(name: &str) -> bool {
    name.len() <= EVENT_TYPE_BYTES_MAX
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests;
