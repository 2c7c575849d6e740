//! What becomes of a delivery: done, again later, dead.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use storekeeper::domain::{Identifier, OrderId, Site};
use tokio::time::Instant;

use super::*;

promises! {
    what_was_acked_never_comes_again,
    closing_waits_for_what_was_decided,
    what_was_decided_before_a_close_is_settled_however_much_it_is,
    a_retry_comes_after_its_delay_as_the_next_attempt,
    what_is_put_off_comes_after_its_delay_as_the_same_attempt,
    a_retry_survives_a_crash,
    earlier_retries_come_first,
    a_dead_letter_moves_to_the_intake_with_its_reason,
    a_dead_letter_survives_a_crash,
    a_dead_letter_that_was_acked_is_gone,
    a_dead_letter_can_be_retried_and_keeps_its_reason,
    a_time_before_which_all_is_settled_is_not_after_what_is_not,
}

const SOON: Duration = Duration::from_millis(300);

async fn what_was_acked_never_comes_again(backend: impl Backend) {
    let broker = backend.open().await;
    publish(&broker, &["a", "b", "c"]).await;
    let mut subscription = work(&broker, 10).await;
    let [first, _, third] = take(&mut subscription, 3).await.try_into().unwrap();
    first.settle(Disposition::Ack);
    third.settle(Disposition::Ack);
    assert_eq!(bodies(&take(&mut subscription, 1).await), ["b"]);
    eventually_depth(&broker, |depth| depth.work_ready + depth.work_in_flight == 1).await;
    drop((broker, subscription));
    let broker = backend.open().await;
    publish(&broker, &["d"]).await;
    let mut subscription = work(&broker, 10).await;
    // One by one: what was delivered twice for nothing is delivered alone.
    for body in ["b", "d"] {
        let delivery = take_one(&mut subscription).await;
        assert_eq!(&*delivery.envelope.body, body.as_bytes());
        delivery.settle(Disposition::Ack);
    }
}

async fn closing_waits_for_what_was_decided(backend: impl Backend) {
    let broker = backend.open().await;
    let numbers: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    for body in &numbers {
        publish(&broker, &[body]).await;
    }
    acknowledge(take(&mut work(&broker, 100).await, 100).await);
    broker.close().await;
    assert_eq!(backend.open().await.depth().await.unwrap(), QueueDepth::default());
}

async fn what_was_decided_before_a_close_is_settled_however_much_it_is(backend: impl Backend) {
    const COUNT: u16 = 1000;
    let broker = backend.open().await;
    let numbers: Vec<String> = (0..COUNT).map(|number| number.to_string()).collect();
    try_join_all(numbers.iter().map(|body| broker.publish(envelope(body)))).await.unwrap();
    let mut subscription = work(&broker, COUNT.into()).await;
    let deliveries = take(&mut subscription, COUNT.into()).await;
    // As batches leave it: some are decided and some not, and the first is not.
    let mut places = 0..;
    let (undecided, decided): (Vec<_>, Vec<_>) = deliveries
        .into_iter()
        .partition(|_| places.next().is_some_and(|place| place / 50 % 4 == 0));
    acknowledge(decided);
    broker.close().await;
    let broker = backend.open().await;
    let left = u64::try_from(undecided.len()).unwrap();
    eventually_depth(&broker, |depth| depth.work_ready == left).await;
    let again = take(&mut work(&broker, undecided.len()).await, undecided.len()).await;
    // In any order: RabbitMQ keeps none among many that it is given back at once.
    let [came, expected] = [&again, &undecided].map(|it| BTreeSet::from_iter(bodies(it)));
    assert_eq!(came, expected);
}

async fn a_retry_comes_after_its_delay_as_the_next_attempt(backend: impl Backend) {
    let broker = backend.open().await;
    publish(&broker, &["a"]).await;
    let mut subscription = work(&broker, 10).await;
    let mut delivery = take_one(&mut subscription).await;
    assert_eq!(delivery.failing_since, None);
    let (before, mut failing_since) = (clock::now(), None);
    for next_attempt in 2..5 {
        let settled_at = Instant::now();
        delivery.settle(Disposition::Retry(SOON));
        delivery = take_one(&mut subscription).await;
        assert!(settled_at.elapsed() >= SOON, "came after {:?}", settled_at.elapsed());
        assert_eq!((delivery.attempt, delivery.delivery_count), (next_attempt, 0));
        assert_eq!(&*delivery.envelope.body, b"a");
        assert!(delivery.failing_since >= Some(before));
        let first = *failing_since.get_or_insert(delivery.failing_since);
        assert_eq!(delivery.failing_since, first, "the first failure counts");
    }
}

async fn what_is_put_off_comes_after_its_delay_as_the_same_attempt(backend: impl Backend) {
    let broker = backend.open().await;
    publish(&broker, &["a"]).await;
    let mut subscription = work(&broker, 10).await;
    take_one(&mut subscription).await.settle(Disposition::Retry(Duration::ZERO));
    let mut delivery = take_one(&mut subscription).await;
    let mut failing_since = None;
    for delay in [SOON, Duration::ZERO, SOON] {
        let settled_at = Instant::now();
        delivery.settle(Disposition::Later(delay));
        delivery = take_one(&mut subscription).await;
        assert!(settled_at.elapsed() >= delay, "came after {:?}", settled_at.elapsed());
        assert_eq!((delivery.attempt, delivery.delivery_count), (2, 0));
        assert_eq!(*failing_since.get_or_insert(delivery.failing_since), delivery.failing_since);
    }
    delivery.settle(dead_letter());
    let mut intake = dead(&broker).await;
    take_one(&mut intake).await.settle(Disposition::Later(SOON));
    let again = take_one(&mut intake).await;
    assert_eq!((again.attempt, again.dead.map(|dead| dead.attempts)), (1, Some(2)));
}

async fn a_retry_survives_a_crash(backend: impl Backend) {
    let broker = backend.open().await;
    publish(&broker, &["a"]).await;
    let mut subscription = work(&broker, 10).await;
    take_one(&mut subscription).await.settle(Disposition::Retry(SOON));
    let retried = QueueDepth { retry_ready: 1, ..QueueDepth::default() };
    eventually_depth(&broker, |depth| *depth == retried).await;
    drop((broker, subscription));
    let broker = backend.open().await;
    let again = take_one(&mut work(&broker, 10).await).await;
    assert_eq!((&*again.envelope.body, again.attempt), (&b"a"[..], 2));
}

async fn earlier_retries_come_first(backend: impl Backend) {
    let broker = backend.open().await;
    publish(&broker, &["late", "early", "never"]).await;
    let mut subscription = work(&broker, 10).await;
    let [late, early, never] = take(&mut subscription, 3).await.try_into().unwrap();
    late.settle(Disposition::Retry(SOON * 2));
    early.settle(Disposition::Retry(SOON));
    never.settle(Disposition::Retry(Duration::MAX));
    assert_eq!(bodies(&take(&mut subscription, 2).await), ["early", "late"]);
    assert_eq!(broker.depth().await.unwrap().retry_ready, 1);
}

async fn a_dead_letter_moves_to_the_intake_with_its_reason(backend: impl Backend) {
    let broker = backend.open().await;
    let published = envelope("a");
    broker.publish(published.clone()).await.unwrap();
    let mut subscription = work(&broker, 10).await;
    take_one(&mut subscription).await.settle(Disposition::Retry(Duration::ZERO));
    let rejection = Rejection {
        site: Some(Site::parse("shop \u{1f600}").unwrap()),
        event_type: Some(Identifier::parse("ECOMM_ORDER_CREATED").unwrap()),
        order: Some(OrderId::parse("id:42").unwrap()),
        ..rejection()
    };
    let before = clock::now();
    let second = take_one(&mut subscription).await;
    second.settle(Disposition::DeadLetter(Box::new(rejection.clone())));
    let buried = take_one(&mut dead(&broker).await).await;
    assert_eq!(*buried.envelope, published);
    assert_eq!((buried.attempt, buried.delivery_count), (1, 0));
    let reason = buried.dead.as_ref().unwrap();
    assert_eq!((&reason.rejection, reason.attempts), (&rejection, 2));
    assert!(before <= reason.failed_at && reason.failed_at <= clock::now());
    nothing_comes(&mut subscription).await;
}

async fn a_dead_letter_survives_a_crash(backend: impl Backend) {
    let broker = backend.open().await;
    publish(&broker, &["a"]).await;
    let mut subscription = work(&broker, 10).await;
    take_one(&mut subscription).await.settle(dead_letter());
    eventually_depth(&broker, |depth| depth.dead_intake == 1).await;
    drop((broker, subscription));
    let broker = backend.open().await;
    let buried = take_one(&mut dead(&broker).await).await;
    assert_eq!(buried.dead.as_ref().map(|reason| &reason.rejection), Some(&rejection()));
}

async fn a_dead_letter_that_was_acked_is_gone(backend: impl Backend) {
    let broker = backend.open().await;
    publish(&broker, &["a"]).await;
    let (mut subscription, mut intake) = (work(&broker, 10).await, dead(&broker).await);
    take_one(&mut subscription).await.settle(dead_letter());
    take_one(&mut intake).await.settle(Disposition::Ack);
    eventually_empty(&broker).await;
    drop((broker, subscription, intake));
    let broker = backend.open().await;
    nothing_comes(&mut dead(&broker).await).await;
}

async fn a_dead_letter_can_be_retried_and_keeps_its_reason(backend: impl Backend) {
    let broker = backend.open().await;
    publish(&broker, &["a"]).await;
    let (mut subscription, mut intake) = (work(&broker, 10).await, dead(&broker).await);
    take_one(&mut subscription).await.settle(dead_letter());
    let first = take_one(&mut intake).await;
    let reason = first.dead.clone();
    first.settle(Disposition::Retry(SOON));
    let again = take_one(&mut intake).await;
    assert_eq!((again.attempt, &again.dead), (2, &reason));
    nothing_comes(&mut subscription).await;
}

async fn a_time_before_which_all_is_settled_is_not_after_what_is_not(backend: impl Backend) {
    let broker = backend.open().await;
    let envelope = envelope("a");
    let received_at = envelope.received_at;
    broker.publish(envelope).await.unwrap();
    let is_waited_for = async || {
        let settled = broker.settled_before().await.unwrap();
        settled.is_none_or(|before| before <= received_at)
    };
    assert!(is_waited_for().await, "while it is in the queue");
    let mut subscription = work(&broker, 10).await;
    let delivery = take_one(&mut subscription).await;
    assert!(is_waited_for().await, "while a worker has it");
    delivery.settle(Disposition::Retry(Duration::from_secs(2)));
    for _ in 0..20 {
        assert!(is_waited_for().await, "on its way to the next attempt");
    }
    let delivery = take_one(&mut subscription).await;
    assert!(is_waited_for().await, "at its next attempt");
    delivery.settle(Disposition::Ack);
    eventually_empty(&broker).await;
    let settled = broker.settled_before().await.unwrap();
    assert!(settled > Some(received_at), "{settled:?} after all is settled");
}
