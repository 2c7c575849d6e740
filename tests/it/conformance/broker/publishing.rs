//! Publishing, the journal, depth and readiness.

use std::collections::BTreeSet;

use storekeeper::broker::{JournalPosition, QueueDepth};
use storekeeper::domain::Timestamp;
use tokio::task::JoinSet;

use super::*;

promises! {
    a_published_envelope_is_delivered_byte_for_byte,
    a_published_envelope_survives_a_crash,
    concurrent_publishes_all_arrive,
    what_is_published_dead_is_a_dead_letter_and_never_work,
    what_is_published_dead_survives_a_crash,
    a_dead_publish_that_fails_leaves_nothing,
    the_journal_holds_every_body_once_in_order,
    the_journal_is_read_in_pages,
    a_long_journal_is_read_to_what_is_its_end_then,
    the_journal_survives_a_crash,
    the_journal_says_where_it_begins_and_ends,
    what_is_published_again_is_found_by_when_it_came,
    what_is_put_back_is_delivered_and_not_journalled_again,
    what_is_put_back_survives_a_crash,
    a_heartbeat_is_delivered_and_not_journalled,
    a_queue_is_consumed_while_somebody_subscribes,
    depth_counts_what_is_ready_and_in_flight,
    depth_counts_retries_and_dead_letters,
    a_broker_is_ready_until_it_is_closed,
    a_closed_broker_says_that_it_is_away,
}

async fn a_published_envelope_is_delivered_byte_for_byte(backend: impl Backend) {
    let broker = backend.open().await;
    let full = Envelope {
        kind: EnvelopeKind::Receipt,
        source: "quelle \u{e9}\u{1f600}".into(),
        replays: 7,
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        tracestate: Some("vendor=value".into()),
        body: (0..=u8::MAX).cycle().take(300_000).collect::<Vec<_>>().into(),
        ..envelope("")
    };
    let bare = Envelope { source: String::new(), ..envelope("") };
    broker.publish(full.clone()).await.unwrap();
    broker.publish(bare.clone()).await.unwrap();
    let taken = take(&mut work(&broker, 10).await, 2).await;
    assert_eq!(*taken[0].envelope, full);
    assert_eq!(*taken[1].envelope, bare);
    assert_eq!((taken[0].attempt, taken[0].delivery_count, &taken[0].dead), (1, 0, &None));
}

async fn a_published_envelope_survives_a_crash(backend: impl Backend) {
    let broker = backend.open().await;
    publish(&broker, &["a", "b"]).await;
    drop(broker);
    let broker = backend.open().await;
    assert_eq!(bodies(&take(&mut work(&broker, 10).await, 2).await), ["a", "b"]);
}

async fn concurrent_publishes_all_arrive(backend: impl Backend) {
    let broker = backend.open().await;
    let mut subscription = work(&broker, 64).await;
    let expected: BTreeSet<String> = (0..300).map(|number| number.to_string()).collect();
    let mut publishing = JoinSet::new();
    for body in expected.clone() {
        let broker = Arc::clone(&broker);
        publishing.spawn(async move { broker.publish(envelope(&body)).await.unwrap() });
    }
    let mut arrived = BTreeSet::new();
    for _ in 0..expected.len() {
        let delivery = take_one(&mut subscription).await;
        arrived.insert(String::from_utf8(delivery.envelope.body.to_vec()).unwrap());
        delivery.settle(Disposition::Ack);
    }
    assert_eq!(arrived, expected);
    publishing.join_all().await;
    eventually_empty(&broker).await;
}

async fn what_is_published_dead_is_a_dead_letter_and_never_work(backend: impl Backend) {
    let broker = backend.open().await;
    let (mut work, mut dead) = (work(&broker, 10).await, dead(&broker).await);
    let (late, after) = (envelope("late"), envelope("after"));
    broker.publish_dead(late.clone(), rejection()).await.unwrap();
    broker.publish(after.clone()).await.unwrap();
    let letter = take_one(&mut dead).await;
    assert_eq!(*letter.envelope, late);
    let reason = letter.dead.as_ref().unwrap();
    assert_eq!((&reason.rejection, reason.attempts), (&rejection(), 0));
    assert_eq!(reason.failed_at, late.received_at);
    assert_eq!(broker.depth().await.unwrap().dead_intake, 1);
    // What was published later came, so the other would have come before it.
    assert_eq!(bodies(&take(&mut work, 1).await), ["after"]);
    let records = broker.journal(None, 10).await.unwrap();
    let noted: Vec<_> =
        records.iter().map(|record| (&record.envelope, record.rejection.as_ref())).collect();
    assert_eq!(noted, [(&late, Some(&rejection())), (&after, None)]);
    letter.settle(Disposition::Ack);
    eventually_depth(&broker, |depth| depth.dead_intake == 0).await;
    assert_eq!(broker.journal(None, 10).await.unwrap().len(), 2);
}

async fn what_is_published_dead_survives_a_crash(backend: impl Backend) {
    let broker = backend.open().await;
    let mut subscription = dead(&broker).await;
    broker.publish_dead(envelope("late"), rejection()).await.unwrap();
    let _held = take_one(&mut subscription).await;
    drop((broker, subscription));
    let broker = backend.open().await;
    let letter = take_one(&mut dead(&broker).await).await;
    assert_eq!(letter.dead.as_ref().unwrap().rejection, rejection());
    assert_eq!(broker.journal(None, 10).await.unwrap()[0].rejection, Some(rejection()));
    assert_eq!(broker.depth().await.unwrap().work_ready, 0);
}

async fn a_dead_publish_that_fails_leaves_nothing(backend: impl Backend) {
    let broker = backend.open().await;
    broker.close().await;
    let refused = broker.publish_dead(envelope("late"), rejection()).await;
    assert!(refused.unwrap_err().is_transient());
    let broker = backend.open().await;
    assert_eq!(broker.depth().await.unwrap(), QueueDepth::default());
    assert_eq!(journal(&broker).await, []);
}

/// The bodies and places of the whole journal.
async fn journal(broker: &Arc<dyn Broker>) -> Vec<(JournalPosition, Envelope)> {
    let records = broker.journal(None, 1000).await.unwrap();
    records.into_iter().map(|record| (record.position, record.envelope)).collect()
}

async fn the_journal_holds_every_body_once_in_order(backend: impl Backend) {
    let broker = backend.open().await;
    let published = ["a", "b", "c", "d"].map(envelope);
    for envelope in published.clone() {
        broker.publish(envelope).await.unwrap();
    }
    let mut subscription = work(&broker, 10).await;
    let mut dead = dead(&broker).await;
    let [acked, retried, buried, _held] = take(&mut subscription, 4).await.try_into().unwrap();
    acked.settle(Disposition::Ack);
    retried.settle(Disposition::Retry(Duration::from_millis(1)));
    buried.settle(dead_letter());
    assert_eq!(take_one(&mut subscription).await.attempt, 2);
    take_one(&mut dead).await.settle(Disposition::Ack);
    let journal = journal(&broker).await;
    assert!(journal.is_sorted_by(|(one, _), (next, _)| one < next));
    let envelopes: Vec<_> = journal.into_iter().map(|(_, envelope)| envelope).collect();
    assert_eq!(envelopes, published);
}

async fn the_journal_is_read_in_pages(backend: impl Backend) {
    let broker = backend.open().await;
    publish(&broker, &["a", "b", "c", "d", "e"]).await;
    let (mut after, mut read) = (None, String::new());
    loop {
        let page = broker.journal(after, 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(last.position);
        read.extend(page.iter().map(|it| char::from(it.envelope.body[0])));
    }
    assert_eq!(read, "abcde");
    let beyond = broker.journal(Some(JournalPosition(u64::MAX)), 2).await.unwrap();
    assert_eq!(beyond, []);
}

async fn a_long_journal_is_read_to_what_is_its_end_then(backend: impl Backend) {
    const LENGTH: usize = 400;
    let broker = backend.open().await;
    let mut publishing = JoinSet::new();
    for number in 0..LENGTH {
        let broker = Arc::clone(&broker);
        let published = envelope(&number.to_string());
        publishing.spawn(async move { broker.publish(published).await.unwrap() });
    }
    publishing.join_all().await;
    let (mut after, mut read) = (None, Vec::new());
    loop {
        let page = broker.journal(after, 64).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.position);
        read.extend(page.into_iter().map(|it| it.envelope.body));
        if read.len() == LENGTH {
            publish(&broker, &["late"]).await;
        }
    }
    assert_eq!(read.pop().as_deref(), Some(&b"late"[..]));
    let different: BTreeSet<_> = read.iter().collect();
    assert_eq!((read.len(), different.len()), (LENGTH, LENGTH));
    // And from anywhere again, by another handle.
    let other = backend.open().await;
    let from = broker.journal(None, 300).await.unwrap()[249].position;
    let page = other.journal(Some(from), 2).await.unwrap();
    assert_eq!(
        page.iter().map(|it| &it.envelope.body).collect::<Vec<_>>(),
        [&read[250], &read[251]]
    );
}

async fn the_journal_survives_a_crash(backend: impl Backend) {
    let broker = backend.open().await;
    publish(&broker, &["a", "b"]).await;
    let before = journal(&broker).await;
    drop(broker);
    let broker = backend.open().await;
    publish(&broker, &["c"]).await;
    let after = journal(&broker).await;
    assert_eq!((&after[..2], after.len()), (&before[..], 3));
    assert!(after[2].0 > after[1].0);
}

async fn a_heartbeat_is_delivered_and_not_journalled(backend: impl Backend) {
    let broker = backend.open().await;
    let beat = Envelope { kind: EnvelopeKind::Heartbeat, ..envelope("{}") };
    broker.replay(vec![beat.clone()]).await.unwrap();
    let delivery = take_one(&mut work(&broker, 10).await).await;
    assert_eq!(*delivery.envelope, beat);
    assert_eq!(broker.journal(None, 10).await.unwrap(), []);
    delivery.settle(Disposition::Ack);
    eventually_empty(&broker).await;
}

async fn a_queue_is_consumed_while_somebody_subscribes(backend: impl Backend) {
    let (broker, other) = (backend.open().await, backend.open().await);
    let eventually = async |expected: bool| {
        let reached = timeout(DEADLINE, async {
            while other.is_consumed().await.unwrap() != expected {
                tokio::time::sleep(WATCH / 20).await;
            }
        });
        assert!(reached.await.is_ok(), "it is consumed, or not, against {expected}");
    };
    assert!(!other.is_consumed().await.unwrap());
    let dead = dead(&broker).await;
    let subscription = work(&broker, 10).await;
    eventually(true).await;
    drop(subscription);
    eventually(false).await;
    drop(dead);
}

async fn depth_counts_what_is_ready_and_in_flight(backend: impl Backend) {
    let broker = backend.open().await;
    assert_eq!(broker.depth().await.unwrap(), QueueDepth::default());
    let oldest = Envelope { received_at: clock::now().plus_micros(-5_000_000), ..envelope("a") };
    publish(&broker, &["b", "c"]).await;
    broker.publish(oldest.clone()).await.unwrap();
    // Whose age is known before it is delivered is the backend's own.
    let without_age = |depth: &QueueDepth| QueueDepth { work_oldest: None, ..*depth };
    let waiting = QueueDepth { work_ready: 3, ..QueueDepth::default() };
    assert_eq!(without_age(&broker.depth().await.unwrap()), waiting);
    let mut subscription = work(&broker, 2).await;
    let taken = take(&mut subscription, 2).await;
    eventually_depth(&broker, |depth| {
        without_age(depth) == QueueDepth { work_ready: 1, work_in_flight: 2, ..waiting }
    })
    .await;
    acknowledge(taken);
    let last = take_one(&mut subscription).await;
    let work_oldest = Some(oldest.received_at);
    let held = QueueDepth { work_in_flight: 1, work_oldest, ..QueueDepth::default() };
    eventually_depth(&broker, |depth| *depth == held).await;
    last.settle(Disposition::Ack);
    eventually_empty(&broker).await;
}

async fn depth_counts_retries_and_dead_letters(backend: impl Backend) {
    let broker = backend.open().await;
    publish(&broker, &["a", "b", "c"]).await;
    let mut subscription = work(&broker, 10).await;
    let [retried, buried, also_buried] = take(&mut subscription, 3).await.try_into().unwrap();
    retried.settle(Disposition::Retry(Duration::from_hours(1)));
    buried.settle(dead_letter());
    also_buried.settle(dead_letter());
    let expected = QueueDepth { retry_ready: 1, dead_intake: 2, ..QueueDepth::default() };
    eventually_depth(&broker, |depth| *depth == expected).await;
    let taken = take(&mut dead(&broker).await, 2).await;
    // What is being parked is not parked yet.
    assert_eq!((taken.len(), broker.depth().await.unwrap()), (2, expected));
}

async fn a_broker_is_ready_until_it_is_closed(backend: impl Backend) {
    let broker = backend.open().await;
    for _ in 0..3 {
        broker.check().await.unwrap();
    }
    assert_eq!(broker.depth().await.unwrap(), QueueDepth::default());
    assert_eq!(journal(&broker).await, []);
    broker.close().await;
    assert!(broker.check().await.unwrap_err().is_transient());
}

async fn a_closed_broker_says_that_it_is_away(backend: impl Backend) {
    let broker = backend.open().await;
    let mut subscription = work(&broker, 10).await;
    broker.close().await;
    assert!(broker.publish(envelope("a")).await.unwrap_err().is_transient());
    assert!(broker.subscribe(Queue::Work, 1).await.unwrap_err().is_transient());
    assert!(broker.depth().await.unwrap_err().is_transient());
    assert!(broker.journal(None, 1).await.unwrap_err().is_transient());
    assert!(timeout(DEADLINE, subscription.next_batch(1)).await.unwrap().is_empty());
    broker.close().await;
    assert_eq!(journal(&backend.open().await).await, []);
}

async fn what_is_put_back_is_delivered_and_not_journalled_again(backend: impl Backend) {
    let broker = backend.open().await;
    let first = envelope("a");
    broker.publish(first.clone()).await.unwrap();
    let mut subscription = work(&broker, 10).await;
    acknowledge(take(&mut subscription, 1).await);
    let again =
        [Envelope { replays: 1, ..first.clone() }, Envelope { replays: 3, ..envelope("b") }];
    broker.replay(again.to_vec()).await.unwrap();
    let taken = take(&mut subscription, 2).await;
    for (delivery, expected) in taken.iter().zip(&again) {
        assert_eq!((&*delivery.envelope, delivery.attempt), (expected, 1));
    }
    acknowledge(taken);
    eventually_empty(&broker).await;
    publish(&broker, &["c"]).await;
    let bodies: Vec<_> = journal(&broker).await.into_iter().map(|(_, it)| it.body).collect();
    assert_eq!(bodies, ["a", "c"]);
}

async fn what_is_put_back_survives_a_crash(backend: impl Backend) {
    let broker = backend.open().await;
    broker.replay(["a", "b"].map(envelope).to_vec()).await.unwrap();
    drop(broker);
    let broker = backend.open().await;
    assert_eq!(bodies(&take(&mut work(&broker, 10).await, 2).await), ["a", "b"]);
}

async fn the_journal_says_where_it_begins_and_ends(backend: impl Backend) {
    let broker = backend.open().await;
    let nothing = broker.journal_extent(None).await.unwrap();
    assert_eq!((nothing.first, nothing.last), (None, None));
    assert!(nothing.is_complete && !nothing.begins_later);
    for seconds in 1..=3 {
        let received_at = Timestamp::from_millis(seconds * 1000);
        broker.publish(Envelope { received_at, ..envelope("a") }).await.unwrap();
    }
    let places: Vec<_> =
        broker.journal(None, 10).await.unwrap().into_iter().map(|it| it.position).collect();
    for (since, first) in [(None, Some(0)), (Some(0), Some(0)), (Some(2), Some(1)), (Some(4), None)]
    {
        let time = since.map(|seconds| Timestamp::from_millis(seconds * 1000));
        let extent = broker.journal_extent(time).await.unwrap();
        assert_eq!(extent.first, first.map(|place: usize| places[place]), "{since:?}");
        assert_eq!((extent.last, extent.is_complete), (Some(places[2]), true));
        assert_eq!(extent.begins_later, first != Some(0));
    }
}

async fn what_is_published_again_is_found_by_when_it_came(backend: impl Backend) {
    let broker = backend.open().await;
    // The second and the last were received first, and published again later.
    for (seconds, replays) in [(5, 0), (1, 1), (7, 0), (1, 2)] {
        let received_at = Timestamp::from_millis(seconds * 1000);
        broker.publish(Envelope { received_at, replays, ..envelope("a") }).await.unwrap();
    }
    let places: Vec<_> =
        broker.journal(None, 10).await.unwrap().into_iter().map(|it| it.position).collect();
    for (since, first) in [(5, 0), (6, 1), (7, 1), (8, 3)] {
        let since = Timestamp::from_millis(since * 1000);
        let extent = broker.journal_extent(Some(since)).await.unwrap();
        assert_eq!(extent.first, Some(places[first]), "{since}");
    }
}
