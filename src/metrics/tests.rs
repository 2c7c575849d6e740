//! Tests the names of the metrics, and when each one is shown.

use std::time::Duration;

use super::*;
use crate::broker::{BrokerError, QueueDepth};
use crate::domain::Outcome;

fn readings() -> Readings {
    Readings {
        broker: BrokerReading::Blocked,
        store_up: Some(true),
        store_volatile: Some(true),
        policy_conflicts: Some(2),
        process: ProcessReadings {
            started_at: Timestamp::from_millis(1_500),
            cpu: Duration::from_millis(250),
            resident_bytes: Some(4096),
            open_files: Some(7),
            open_files_max: Some(1024),
        },
        depth: Some(QueueDepth {
            work_ready: 7,
            work_in_flight: 2,
            work_oldest: Some(Timestamp::from_millis(1_000)),
            retry_ready: 1,
            dead_intake: 0,
            unroutable: 4,
        }),
        parked: Some((vec![(Code::NotJson, 3)], 4096)),
        oversold: Some(1),
        waiting: Some(3),
        paused: Some(true),
        reconnects: 2,
        failovers: Some(0),
        now: Timestamp::from_millis(3_500),
    }
}

const NONE: Readings = Readings {
    broker: BrokerReading::Away,
    store_up: None,
    store_volatile: None,
    policy_conflicts: None,
    process: ProcessReadings {
        started_at: Timestamp::from_micros(0),
        cpu: Duration::ZERO,
        resident_bytes: None,
        open_files: None,
        open_files_max: None,
    },
    depth: None,
    parked: None,
    oversold: None,
    waiting: None,
    paused: None,
    reconnects: 0,
    failovers: None,
    now: Timestamp::from_micros(0),
};

/// Returns names and types, in the order of the text. Counters get the suffix `_total` in their
/// series.
fn names(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect()
}

#[test]
fn the_metrics_have_their_public_names() {
    let metrics = Metrics::new();
    // A family is written once it has a member.
    metrics.count_dead_letter(Code::NotJson);
    metrics.count_ignored("ECOMM_STORE_CREATED");
    metrics.set_leading(true, &["audit"]);
    metrics.record_audit(0);
    metrics.note_role("worker");
    metrics.count_answer("ok");
    metrics.record_received("duda", Timestamp::from_millis(1_500));
    let text = metrics.encode(readings());
    let mut names = names(&text);
    names.sort_unstable();
    insta::assert_snapshot!(names.join("\n"), @r"
    process_cpu_seconds counter
    process_max_fds gauge
    process_open_fds gauge
    process_resident_memory_bytes gauge
    process_start_time_seconds gauge
    storekeeper_audit_differences gauge
    storekeeper_batch_events histogram
    storekeeper_broker_blocked gauge
    storekeeper_broker_reconnects counter
    storekeeper_broker_up gauge
    storekeeper_build info
    storekeeper_commit_conflicts counter
    storekeeper_dead_letters_bytes gauge
    storekeeper_dead_letters_intake gauge
    storekeeper_dead_letters_parked gauge
    storekeeper_deliveries_retried counter
    storekeeper_duty_failures counter
    storekeeper_duty_last_success_timestamp_seconds gauge
    storekeeper_events_ignored counter
    storekeeper_events_settled counter
    storekeeper_leading gauge
    storekeeper_log_suppressed counter
    storekeeper_names_contested counter
    storekeeper_names_unreadable counter
    storekeeper_order_lines_rekeyed counter
    storekeeper_order_lines_unmapped counter
    storekeeper_orders_ambiguous counter
    storekeeper_orders_corrected counter
    storekeeper_orders_status_unknown counter
    storekeeper_orders_waiting gauge
    storekeeper_quantities_rounded counter
    storekeeper_queue_in_flight gauge
    storekeeper_queue_oldest_age_seconds gauge
    storekeeper_queue_paused gauge
    storekeeper_queue_ready gauge
    storekeeper_queue_retry_ready gauge
    storekeeper_queue_unroutable gauge
    storekeeper_rabbitmq_policy_conflicts gauge
    storekeeper_refund_lines_unmatched counter
    storekeeper_role gauge
    storekeeper_secrets_outdated gauge
    storekeeper_sources_unknown counter
    storekeeper_stock_items_oversold gauge
    storekeeper_store_away_seconds counter
    storekeeper_store_failovers counter
    storekeeper_store_up gauge
    storekeeper_store_volatile gauge
    storekeeper_timestamps_ahead counter
    storekeeper_webhook_to_commit_seconds histogram
    storekeeper_webhooks_last_received_timestamp_seconds gauge
    storekeeper_webhooks_received counter
    ");
}

#[test]
fn counters_are_written_with_their_labels() {
    let metrics = Metrics::new();
    metrics.count_settled(EventOutcome { outcome: Outcome::Applied, reason: None });
    metrics.count_dead_letter(Code::NotJson);
    metrics.count_answer("ok");
    metrics.record_received("duda", Timestamp::from_millis(1_500));
    let text = metrics.encode(NONE);
    for line in [
        "storekeeper_webhooks_last_received_timestamp_seconds{source=\"duda\"} 1.5",
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
    metrics.record_audit(4);
    let text = metrics.encode(readings());
    for line in [
        "storekeeper_audit_differences 4",
        "storekeeper_broker_up 1",
        "storekeeper_broker_blocked 1",
        "storekeeper_store_up 1",
        "storekeeper_store_volatile 1",
        "storekeeper_rabbitmq_policy_conflicts 2",
        "process_start_time_seconds 1.5",
        "process_cpu_seconds_total 0.25",
        "process_resident_memory_bytes 4096",
        "process_open_fds 7",
        "process_max_fds 1024",
        "storekeeper_queue_ready 7",
        "storekeeper_queue_in_flight 2",
        "storekeeper_queue_retry_ready 1",
        "storekeeper_queue_unroutable 4",
        "storekeeper_dead_letters_intake 0",
        "storekeeper_queue_oldest_age_seconds 2.5",
        "storekeeper_dead_letters_bytes 4096",
        "storekeeper_dead_letters_parked{reason=\"decode.not_json\"} 3",
        "storekeeper_dead_letters_parked{reason=\"stock.overflow\"} 0",
        "storekeeper_stock_items_oversold 1",
        "storekeeper_queue_paused 1",
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
    for name in [
        "queue_ready",
        "queue_oldest_age",
        "dead_letters_parked",
        "oversold",
        "audit",
        "broker_blocked",
        "queue_paused",
        "store_up",
        "store_volatile",
        "policy_conflicts",
        "process_resident_memory_bytes",
    ] {
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

#[test]
fn a_broker_that_is_full_is_there_and_one_that_is_not_whole_is_away() {
    let unavailable = || BrokerError::Unavailable { source: "a queue is missing".into() };
    for (answer, reading) in [
        (Ok(()), BrokerReading::Taking),
        (Err(BrokerError::Full), BrokerReading::Blocked),
        (Err(BrokerError::Blocked), BrokerReading::Blocked),
        (Err(unavailable()), BrokerReading::Away),
    ] {
        assert_eq!(BrokerReading::of(&answer), reading, "{answer:?}");
    }
    let text = |broker| Metrics::new().encode(Readings { broker, ..NONE });
    assert!(text(BrokerReading::Away).contains("storekeeper_broker_up 0\n"));
    assert!(text(BrokerReading::Taking).contains("storekeeper_broker_blocked 0\n"));
}

#[test]
fn what_the_process_is_stands_there() {
    let metrics = Metrics::new();
    metrics.note_role("console");
    let text = metrics.encode(NONE);
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        text.contains(&format!("storekeeper_build_info{{version=\"{version}\"}} 1\n")),
        "{text}"
    );
    assert!(text.contains("storekeeper_role{role=\"console\"} 1\n"), "{text}");
}

#[test]
fn an_answer_that_is_expected_is_0_until_it_is_given() {
    let metrics = Metrics::new();
    metrics.expect_answers(["ok", "broker.full"]);
    metrics.webhooks_received.get_or_create(&CodeLabel { code: "ok" }).inc();
    let text = metrics.encode(NONE);
    assert!(
        text.contains("storekeeper_webhooks_received_total{code=\"broker.full\"} 0\n"),
        "{text}"
    );
    assert!(text.contains("storekeeper_webhooks_received_total{code=\"ok\"} 1\n"), "{text}");
}

#[test]
fn duties_are_shown_by_the_process_that_leads_and_by_no_other() {
    let metrics = Metrics::new();
    let has = |line: &str| metrics.encode(NONE).lines().any(|written| written == line);
    let audit = |value| {
        format!("storekeeper_duty_last_success_timestamp_seconds{{duty=\"audit\"}} {value}")
    };
    metrics.set_leading(false, &[]);
    assert!(has("storekeeper_leading 0"));
    metrics.set_leading(true, &["audit", "relay"]);
    assert!(has("storekeeper_leading 1") && has(&audit("0.0")));
    assert!(has("storekeeper_duty_failures_total{duty=\"relay\"} 0"));
    metrics.record_duty("audit", Timestamp::from_millis(2_250));
    metrics.record_audit(4);
    metrics.count_duty_failure("relay");
    assert!(has(&audit("2.25")) && has("storekeeper_audit_differences 4"));
    assert!(has("storekeeper_duty_failures_total{duty=\"relay\"} 1"));
    // Another process leads, and shows its duties.
    metrics.set_leading(false, &[]);
    let text = metrics.encode(NONE);
    assert!(!text.contains("last_success") && !text.contains("audit_differences"), "{text}");
}
