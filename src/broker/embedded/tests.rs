//! What only this backend can show: its file, its lock, its limits.

use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;
use uuid::Uuid;

use super::*;
use crate::broker::{Delivery, Disposition, EnvelopeKind};
use crate::domain::{Code, MessageId, Rejection};

const TIMEOUT: Duration = Duration::from_secs(20);
const WATCH: Duration = Duration::from_millis(600);

fn envelope(body: &str) -> Envelope {
    Envelope {
        message_id: MessageId(Uuid::now_v7()),
        kind: EnvelopeKind::Webhook,
        received_at: clock::now(),
        source: "duda".to_owned(),
        replays: 0,
        traceparent: None,
        tracestate: None,
        body: body.to_owned().into(),
    }
}

fn open() -> (TempDir, EmbeddedBroker) {
    let directory = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::open(directory.path()).unwrap();
    (directory, broker)
}

async fn publish(broker: &EmbeddedBroker, bodies: &[&str]) {
    for body in bodies {
        broker.publish(envelope(body)).await.unwrap();
    }
}

async fn work(broker: &EmbeddedBroker) -> Subscription {
    broker.subscribe(Queue::Work, 10).await.unwrap()
}

/// Takes one delivery and checks its body.
async fn take(subscription: &mut Subscription, body: &str) -> Delivery {
    let mut batch = timeout(TIMEOUT, subscription.next_batch(1)).await.unwrap();
    let delivery = batch.pop().unwrap();
    assert_eq!(&*delivery.envelope.body, body.as_bytes());
    delivery
}

async fn nothing_comes(subscription: &mut Subscription) {
    assert!(timeout(WATCH, subscription.next_batch(1)).await.is_err());
}

fn dead_letter(detail: &str) -> Disposition {
    Disposition::DeadLetter(Box::new(Rejection::new(Code::NotJson, detail)))
}

async fn execute(broker: &EmbeddedBroker, sql: &'static str) {
    broker.shared.database.write(|connection| connection.execute_batch(sql)).await.unwrap();
}

/// Lets the file grow by nothing, or as far as it likes.
async fn allow_growth(broker: &EmbeddedBroker, is_allowed: bool) {
    let limit = move |connection: &rusqlite::Connection| {
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
        let pages_max = if is_allowed { i64::from(u32::MAX - 1) } else { pages };
        connection.pragma_update(None, "max_page_count", pages_max)
    };
    broker.shared.database.write(limit).await.unwrap();
}

async fn eventually_depth(broker: &EmbeddedBroker, expected: impl Fn(&QueueDepth) -> bool) {
    let reached = async {
        while !expected(&broker.depth().await.unwrap()) {
            tokio::task::yield_now().await;
        }
    };
    timeout(TIMEOUT, reached).await.unwrap();
}

async fn journalled(broker: &EmbeddedBroker) -> Vec<(u64, Envelope)> {
    let records = broker.journal(None, 1000).await.unwrap();
    records.into_iter().map(|record| (record.position.0, record.envelope)).collect()
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let (directory, broker) = open();
    broker.close().await;
    let newer = rusqlite::Connection::open(directory.path().join("broker.db")).unwrap();
    newer.pragma_update(None, "user_version", 1000).unwrap();
    newer.close().unwrap();
    let refused = EmbeddedBroker::open(directory.path()).unwrap_err();
    assert!(matches!(refused, BrokerError::Corrupt { .. }), "{refused:?}");
    assert!(refused.to_string().contains("run the release that wrote it"), "{refused}");
}

#[tokio::test]
async fn what_one_handle_publishes_another_delivers() {
    let (directory, consumer) = open();
    let publisher = EmbeddedBroker::open(directory.path()).unwrap();
    let mut subscription = work(&consumer).await;
    for body in ["a", "b"] {
        publish(&publisher, &[body]).await;
        take(&mut subscription, body).await.settle(Disposition::Ack);
    }
    eventually_depth(&publisher, |depth| *depth == QueueDepth::default()).await;
}

#[tokio::test]
async fn the_oldest_is_known_before_it_is_delivered() {
    let (_directory, broker) = open();
    let oldest = Envelope { received_at: Timestamp::from_micros(7), ..envelope("oldest") };
    publish(&broker, &["young"]).await;
    broker.publish(oldest.clone()).await.unwrap();
    assert_eq!(broker.depth().await.unwrap().work_oldest, Some(oldest.received_at));
}

#[tokio::test]
async fn in_one_process_nothing_waits_for_the_poll() {
    const ROUNDS: u32 = 20;
    let (_directory, broker) = open();
    let mut subscription = work(&broker).await;
    let mut intake = broker.subscribe(Queue::Dead, 10).await.unwrap();
    let started_at = tokio::time::Instant::now();
    for _ in 0..ROUNDS {
        publish(&broker, &["a"]).await;
        let soon = Disposition::Retry(Duration::from_millis(20));
        take(&mut subscription, "a").await.settle(soon);
        take(&mut subscription, "a").await.settle(dead_letter("$"));
        take(&mut intake, "a").await.settle(Disposition::Ack);
    }
    let elapsed = started_at.elapsed();
    assert!(elapsed < session::POLL_INTERVAL * ROUNDS / 2, "took {elapsed:?}");
}

#[tokio::test]
async fn a_returned_delivery_comes_before_younger_ones() {
    let (_directory, broker) = open();
    publish(&broker, &["a", "b", "c"]).await;
    let mut subscription = broker.subscribe(Queue::Work, 1).await.unwrap();
    drop(take(&mut subscription, "a").await);
    for body in ["a", "b", "c"] {
        take(&mut subscription, body).await.settle(Disposition::Ack);
    }
}

#[tokio::test]
async fn suspects_are_handed_out_alone_until_they_are_settled() {
    let (directory, mut broker) = open();
    publish(&broker, &["killer", "b", "c"]).await;
    for _ in 0..2 {
        let mut subscription = work(&broker).await;
        let _held = take(&mut subscription, "killer").await;
        drop(broker);
        broker = EmbeddedBroker::open(directory.path()).unwrap();
    }
    // It kills again, and only it is counted.
    let mut subscription = work(&broker).await;
    let held = take(&mut subscription, "killer").await;
    assert_eq!(held.delivery_count, 2);
    publish(&broker, &["young"]).await;
    nothing_comes(&mut subscription).await;
    drop(broker);
    let broker = EmbeddedBroker::open(directory.path()).unwrap();
    let mut subscription = work(&broker).await;
    for (body, count) in [("killer", 3), ("b", 2), ("c", 2)] {
        let alone = take(&mut subscription, body).await;
        assert_eq!(alone.delivery_count, count);
        nothing_comes(&mut subscription).await;
        alone.settle(Disposition::Ack);
    }
    assert_eq!(take(&mut subscription, "young").await.delivery_count, 0);
    drop(held);
}

#[tokio::test]
async fn an_orderly_end_is_nobodys_death() {
    let (directory, broker) = open();
    publish(&broker, &["a"]).await;
    let mut subscription = work(&broker).await;
    let _held = take(&mut subscription, "a").await;
    broker.close().await;
    let broker = EmbeddedBroker::open(directory.path()).unwrap();
    assert_eq!(take(&mut work(&broker).await, "a").await.delivery_count, 0);
}

#[tokio::test]
async fn settlements_wait_while_the_file_is_full() {
    let (_directory, broker) = open();
    publish(&broker, &["a", "b"]).await;
    let mut subscription = work(&broker).await;
    let first = take(&mut subscription, "a").await;
    allow_growth(&broker, false).await;
    let detail = "$".repeat(200_000);
    first.settle(dead_letter(&detail));
    let _second = take(&mut subscription, "b").await;
    nothing_comes(&mut subscription).await;
    assert_eq!(broker.depth().await.unwrap().work_in_flight, 2);
    allow_growth(&broker, true).await;
    let mut intake = broker.subscribe(Queue::Dead, 10).await.unwrap();
    let buried = take(&mut intake, "a").await;
    assert_eq!(buried.dead.as_ref().unwrap().rejection.detail, detail);
    nothing_comes(&mut subscription).await;
}

#[tokio::test]
async fn a_full_file_takes_no_envelopes_and_is_not_ready_but_is_worked_off() {
    let (_directory, broker) = open();
    publish(&broker, &["a"]).await;
    allow_growth(&broker, false).await;
    let refused = broker.publish(envelope(&"x".repeat(100_000))).await;
    assert!(matches!(refused, Err(BrokerError::Full)), "{refused:?}");
    assert!(matches!(broker.check().await, Err(BrokerError::Full)));
    take(&mut work(&broker).await, "a").await.settle(Disposition::Ack);
    eventually_depth(&broker, |depth| *depth == QueueDepth::default()).await;
    allow_growth(&broker, true).await;
    broker.check().await.unwrap();
    assert_eq!(journalled(&broker).await.len(), 1);
}

// The clock is paused: the timeout is over as soon as nothing else can happen.
#[tokio::test(start_paused = true)]
async fn closing_gives_up_on_a_file_that_stays_full() {
    let (directory, broker) = open();
    publish(&broker, &["a"]).await;
    let mut subscription = work(&broker).await;
    let delivery = subscription.next_batch(1).await.remove(0);
    allow_growth(&broker, false).await;
    delivery.settle(dead_letter(&"$".repeat(200_000)));
    broker.close().await;
    let broker = EmbeddedBroker::open(directory.path()).unwrap();
    let again = work(&broker).await.next_batch(1).await.remove(0);
    assert_eq!((again.attempt, &*again.envelope.body), (1, &b"a"[..]));
}

#[tokio::test]
async fn the_sweep_keeps_what_a_queue_needs_and_what_is_young() {
    let (_directory, broker) = open();
    let mut subscription = work(&broker).await;
    publish(&broker, &["done", "waits", "retried", "buried"]).await;
    take(&mut subscription, "done").await.settle(Disposition::Ack);
    let waits = take(&mut subscription, "waits").await;
    let later = Disposition::Retry(Duration::from_hours(1));
    take(&mut subscription, "retried").await.settle(later);
    take(&mut subscription, "buried").await.settle(dead_letter("$"));
    eventually_depth(&broker, |depth| depth.dead_intake == 1 && depth.retry_ready == 1).await;
    let now = clock::now().plus_micros(1);
    let young = Envelope { received_at: now, ..envelope("young") };
    broker.publish(young).await.unwrap();
    take(&mut subscription, "young").await.settle(Disposition::Ack);
    eventually_depth(&broker, |depth| depth.work_ready + depth.work_in_flight == 1).await;
    assert_eq!(broker.sweep(now).await.unwrap(), 1);
    let left: Vec<_> = journalled(&broker).await.into_iter().map(|(_, it)| it.body).collect();
    assert_eq!(left, ["waits", "retried", "buried", "young"]);
    waits.settle(Disposition::Ack);
    eventually_depth(&broker, |depth| depth.work_ready + depth.work_in_flight == 0).await;
    assert_eq!(broker.sweep(now).await.unwrap(), 1);
}

#[tokio::test]
async fn what_was_swept_is_not_left_in_the_file() {
    let (directory, broker) = open();
    // One body fills pages of its own, the other shares one.
    publish(&broker, &[&"jane.doe@example.com ".repeat(1000), "john.doe@example.com"]).await;
    execute(&broker, "DELETE FROM work").await;
    assert_eq!(broker.sweep(clock::now().plus_micros(1)).await.unwrap(), 2);
    broker.close().await;
    let bytes = std::fs::read(directory.path().join("broker.db")).unwrap();
    assert!(!bytes.windows(7).any(|part| part == b"doe@exa"));
}

#[tokio::test]
async fn what_was_replayed_is_removed_with_its_settlement_whatever_its_age() {
    let (_directory, broker) = open();
    broker.replay(["settled", "waits"].map(envelope).to_vec()).await.unwrap();
    let mut subscription = work(&broker).await;
    take(&mut subscription, "settled").await.settle(Disposition::Ack);
    let waits = take(&mut subscription, "waits").await;
    eventually_depth(&broker, |depth| depth.work_ready + depth.work_in_flight == 1).await;
    let rows = || async {
        let count = |connection: &rusqlite::Connection| {
            connection.query_row("SELECT count(*) FROM journal", (), |row| row.get::<_, i64>(0))
        };
        broker.shared.database.read(count).await.unwrap()
    };
    assert_eq!(broker.sweep(Timestamp::from_micros(0)).await.unwrap(), 0);
    assert_eq!(rows().await, 1);
    waits.settle(Disposition::Ack);
    eventually_depth(&broker, |depth| *depth == QueueDepth::default()).await;
    broker.sweep(Timestamp::from_micros(0)).await.unwrap();
    assert_eq!(rows().await, 0);
}

#[tokio::test]
async fn a_step_of_the_sweep_ends_when_it_has_removed_enough() {
    let (_directory, broker) = open();
    let large = || envelope(&"x".repeat(3 * 1024 * 1024));
    for _ in 0..3 {
        broker.publish(large()).await.unwrap();
    }
    execute(&broker, "DELETE FROM work").await;
    let database = &broker.shared.database;
    let all = clock::now().plus_micros(1);
    let step = |from| database.write(move |it| journal::sweep(it, from, all));
    let (removed, next) = step(SweepPlace::START).await.unwrap();
    assert_eq!(removed, 2);
    let (removed, next) = step(next.unwrap()).await.unwrap();
    assert_eq!((removed, next.is_none()), (1, true));
}

#[tokio::test]
async fn a_long_sweep_takes_all_and_places_are_never_used_again() {
    let (_directory, broker) = open();
    publish(&broker, &["a"]).await;
    execute(
        &broker,
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
         INSERT INTO journal (message_id, kind, received_at, source, replays, body)
         SELECT message_id, kind, received_at - i % 7, source, replays, body FROM journal, n;
         DELETE FROM work;",
    )
    .await;
    assert_eq!(broker.sweep(clock::now().plus_micros(1)).await.unwrap(), 1001);
    assert_eq!(broker.journal(None, 10).await.unwrap(), []);
    publish(&broker, &["b"]).await;
    assert_eq!(journalled(&broker).await[0].0, 1002);
}

#[tokio::test]
async fn a_dead_letter_that_is_rejected_again_waits_with_its_new_reason() {
    let (_directory, broker) = open();
    publish(&broker, &["a"]).await;
    take(&mut work(&broker).await, "a").await.settle(dead_letter("first"));
    let mut intake = broker.subscribe(Queue::Dead, 10).await.unwrap();
    take(&mut intake, "a").await.settle(dead_letter("second"));
    nothing_comes(&mut intake).await;
    assert_eq!(broker.depth().await.unwrap().dead_intake, 1);
    execute(&broker, "UPDATE retry SET due_at = 0").await;
    drop(intake);
    let mut intake = broker.subscribe(Queue::Dead, 10).await.unwrap();
    let again = take(&mut intake, "a").await;
    let reason = again.dead.as_ref().unwrap();
    assert_eq!((&*reason.rejection.detail, reason.attempts), ("second", 1));
}

#[tokio::test]
async fn a_damaged_row_is_not_passed_over_and_nothing_is_lost() {
    for damage in ["UPDATE journal SET kind = 'unheard.of'", "DELETE FROM journal"] {
        let (_directory, broker) = open();
        publish(&broker, &["a"]).await;
        execute(&broker, damage).await;
        let mut subscription = work(&broker).await;
        nothing_comes(&mut subscription).await;
        // The process stays to say why.
        let why = broker.check().await.unwrap_err();
        assert!(!why.is_transient(), "{damage}: {why:?}");
        assert_eq!(broker.depth().await.unwrap().work_ready, 1, "{damage}");
    }
}

#[tokio::test]
async fn a_read_stops_at_the_row_that_passes_its_bytes() {
    let (_directory, broker) = open();
    publish(&broker, &["aaaa", "bbbb", "cccc"]).await;
    let read = |bytes_max| {
        let read = move |connection: &_| queue::read(connection, Queue::Work, 0, 10, bytes_max);
        broker.shared.database.read(read)
    };
    assert_eq!(read(5).await.unwrap().len(), 2);
    assert_eq!(read(4).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_standby_that_goes_leaves_the_active_one_alone() {
    let (_directory, broker) = open();
    publish(&broker, &["a"]).await;
    let mut active = work(&broker).await;
    let held = take(&mut active, "a").await;
    let mut standby = work(&broker).await;
    nothing_comes(&mut standby).await;
    drop(standby);
    publish(&broker, &["b"]).await;
    take(&mut active, "b").await.settle(Disposition::Ack);
    eventually_depth(&broker, |depth| depth.work_ready == 0 && depth.work_in_flight == 1).await;
    held.settle(Disposition::Ack);
}

#[tokio::test]
async fn a_consumer_that_dies_before_it_holds_anything_counts_against_nothing() {
    let (_directory, broker) = open();
    publish(&broker, &["a"]).await;
    for _ in 0..3 {
        let begin = |connection: &_| queue::begin_session(connection, Queue::Work);
        broker.shared.database.write(begin).await.unwrap();
    }
    let mut subscription = work(&broker).await;
    assert_eq!(take(&mut subscription, "a").await.delivery_count, 0);
}

#[tokio::test]
async fn at_its_limit_it_takes_nothing_works_off_what_it_has_and_takes_more_after_a_sweep() {
    const LIMIT: u64 = 1024 * 1024;
    let (directory, broker) = open();
    let broker = broker.limited_to(Some(LIMIT), None);
    let body = "b".repeat(60_000);
    let mut taken = 0;
    let refused = loop {
        match broker.publish(envelope(&body)).await {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, BrokerError::Full), "{refused:?}");
    assert!((10..=17).contains(&taken), "{taken} bodies");
    assert!(matches!(broker.check().await.unwrap_err(), BrokerError::Full));
    let aside = Rejection::new(Code::SignatureExpired, "put aside on receipt");
    let refused = broker.publish_dead(envelope(&body), aside).await.unwrap_err();
    assert!(matches!(refused, BrokerError::Full), "{refused:?}");
    let raised = EmbeddedBroker::open(directory.path()).unwrap().limited_to(Some(2 * LIMIT), None);
    publish(&raised, &[&body]).await;

    let mut subscription = work(&broker).await;
    take(&mut subscription, &body).await.settle(dead_letter("beyond the limit"));
    for _ in 0..taken {
        take(&mut subscription, &body).await.settle(Disposition::Ack);
    }
    eventually_depth(&broker, |depth| *depth == QueueDepth { dead_intake: 1, ..*depth }).await;
    eventually_depth(&broker, |depth| depth.work_ready + depth.work_in_flight == 0).await;
    let refused = broker.publish(envelope(&body)).await.unwrap_err();
    assert!(matches!(refused, BrokerError::Full), "the journal still has the bodies");
    let swept = broker.sweep(clock::now().plus_micros(1)).await.unwrap();
    assert_eq!(swept, taken, "all but the dead letter's");
    broker.check().await.unwrap();
    publish(&broker, &[&body]).await;
}
