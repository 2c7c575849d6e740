//! Subscribing: order, prefetch, and what comes again.

use super::*;

promises! {
    deliveries_come_oldest_first,
    what_is_published_later_is_delivered_too,
    prefetch_bounds_what_is_unsettled,
    nothing_is_delivered_twice_while_it_is_in_flight,
    a_dropped_delivery_comes_again_and_is_counted,
    what_a_dead_consumer_held_comes_again_and_is_counted,
    what_was_delivered_twice_for_nothing_is_delivered_alone,
    what_was_held_at_a_close_comes_again,
    what_was_not_taken_before_a_close_is_not_handed_over,
    dropping_a_subscription_returns_what_was_not_taken,
    what_is_handed_back_again_and_again_is_blamed_for_nothing,
    what_was_taken_can_be_settled_after_its_subscription,
    a_second_subscription_takes_over,
    the_queues_are_consumed_apart,
}

async fn deliveries_come_oldest_first(backend: impl Backend) {
    let broker = backend.open().await;
    let expected: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    for body in &expected {
        publish(&broker, &[body]).await;
    }
    let mut subscription = work(&broker, 7).await;
    let mut came = Vec::new();
    while came.len() < expected.len() {
        let delivery = take_one(&mut subscription).await;
        came.push(String::from_utf8(delivery.envelope.body.to_vec()).unwrap());
        delivery.settle(Disposition::Ack);
    }
    assert_eq!(came, expected);
}

async fn what_is_published_later_is_delivered_too(backend: impl Backend) {
    let broker = backend.open().await;
    let mut subscription = work(&broker, 10).await;
    nothing_comes(&mut subscription).await;
    for body in ["a", "b", "c"] {
        publish(&broker, &[body]).await;
        let delivery = take_one(&mut subscription).await;
        assert_eq!(&*delivery.envelope.body, body.as_bytes());
        delivery.settle(Disposition::Ack);
    }
}

async fn prefetch_bounds_what_is_unsettled(backend: impl Backend) {
    let broker = backend.open().await;
    publish(&broker, &["a", "b", "c", "d"]).await;
    let mut subscription = work(&broker, 2).await;
    let mut taken = take(&mut subscription, 2).await;
    nothing_comes(&mut subscription).await;
    taken.remove(0).settle(Disposition::Ack);
    assert_eq!(bodies(&take(&mut subscription, 1).await), ["c"]);
}

async fn nothing_is_delivered_twice_while_it_is_in_flight(backend: impl Backend) {
    let broker = backend.open().await;
    publish(&broker, &["a", "b", "c"]).await;
    let mut subscription = work(&broker, 10).await;
    let taken = take(&mut subscription, 3).await;
    nothing_comes(&mut subscription).await;
    // Neither news nor the settling of others brings it.
    publish(&broker, &["d"]).await;
    take_one(&mut subscription).await.settle(Disposition::Ack);
    eventually_depth(&broker, |depth| depth.work_ready + depth.work_in_flight == 3).await;
    nothing_comes(&mut subscription).await;
    assert_eq!(bodies(&taken), ["a", "b", "c"]);
}

async fn a_dropped_delivery_comes_again_and_is_counted(backend: impl Backend) {
    let broker = backend.open().await;
    publish(&broker, &["a"]).await;
    let mut subscription = work(&broker, 10).await;
    for count in 0..5 {
        let delivery = take_one(&mut subscription).await;
        assert_eq!((delivery.delivery_count, delivery.attempt), (count, 1));
    }
    take_one(&mut subscription).await.settle(Disposition::Ack);
    eventually_empty(&broker).await;
}

async fn what_a_dead_consumer_held_comes_again_and_is_counted(backend: impl Backend) {
    let broker = backend.open().await;
    publish(&broker, &["a"]).await;
    let mut consumer = (work(&broker, 10).await, broker);
    let mut held = take_one(&mut consumer.0).await;
    for count in 1..5 {
        let (subscription, broker) = consumer;
        drop(broker);
        let broker = backend.open().await;
        consumer = (work(&broker, 10).await, broker);
        let again = take_one(&mut consumer.0).await;
        assert_eq!((again.delivery_count, again.attempt), (count, 1));
        // The dead are silent: what they held is dropped, unseen, with them.
        drop((subscription, std::mem::replace(&mut held, again)));
    }
}

async fn what_was_delivered_twice_for_nothing_is_delivered_alone(backend: impl Backend) {
    let broker = backend.open().await;
    publish(&broker, &["suspect"]).await;
    let mut subscription = work(&broker, 10).await;
    for _ in 0..2 {
        drop(take_one(&mut subscription).await);
    }
    let suspect = take_one(&mut subscription).await;
    publish(&broker, &["b", "c"]).await;
    nothing_comes(&mut subscription).await;
    suspect.settle(Disposition::Ack);
    let taken = take(&mut subscription, 2).await;
    assert_eq!(bodies(&taken), ["b", "c"]);
    acknowledge(taken);
    eventually_empty(&broker).await;
}

async fn what_was_held_at_a_close_comes_again(backend: impl Backend) {
    let broker = backend.open().await;
    publish(&broker, &["a", "b"]).await;
    let mut subscription = work(&broker, 10).await;
    let held = take_one(&mut subscription).await;
    broker.close().await;
    held.settle(Disposition::Ack);
    let broker = backend.open().await;
    one_after_the_other(&mut work(&broker, 10).await, ["a", "b"]).await;
}

async fn what_was_not_taken_before_a_close_is_not_handed_over(backend: impl Backend) {
    let broker = backend.open().await;
    publish(&broker, &["a", "b"]).await;
    let mut subscription = work(&broker, 10).await;
    eventually_depth(&broker, |depth| depth.work_in_flight == 2).await;
    broker.close().await;
    assert_eq!(bodies(&subscription.next_batch(10).await), [""; 0]);
    let broker = backend.open().await;
    one_after_the_other(&mut work(&broker, 10).await, ["a", "b"]).await;
}

async fn dropping_a_subscription_returns_what_was_not_taken(backend: impl Backend) {
    let broker = backend.open().await;
    publish(&broker, &["a", "b", "c"]).await;
    let mut subscription = work(&broker, 10).await;
    take_one(&mut subscription).await.settle(Disposition::Ack);
    drop(subscription);
    // In any order: it goes back while the next subscription takes already.
    let mut subscription = work(&broker, 10).await;
    let mut came = Vec::new();
    for _ in 0..2 {
        let delivery = take_one(&mut subscription).await;
        came.push(delivery.envelope.body.clone());
        delivery.settle(Disposition::Ack);
    }
    came.sort_unstable();
    assert_eq!(came, [b"b".as_slice(), b"c"]);
    eventually_empty(&broker).await;
}

/// Takes and settles them one by one: what came before may have come so often that it comes alone.
async fn one_after_the_other(subscription: &mut Subscription, expected: [&str; 2]) {
    for body in expected {
        let delivery = take_one(subscription).await;
        assert_eq!(&*delivery.envelope.body, body.as_bytes());
        delivery.settle(Disposition::Ack);
    }
}

async fn what_was_taken_can_be_settled_after_its_subscription(backend: impl Backend) {
    let broker = backend.open().await;
    publish(&broker, &["a", "b"]).await;
    let mut subscription = work(&broker, 10).await;
    let taken = take(&mut subscription, 2).await;
    drop(subscription);
    acknowledge(taken);
    eventually_empty(&broker).await;
}

async fn a_second_subscription_takes_over(backend: impl Backend) {
    let (first, second) = (backend.open().await, backend.open().await);
    publish(&first, &["a"]).await;
    let mut active = work(&first, 1).await;
    let held = take_one(&mut active).await;
    // Another handle, as another process has it.
    let mut standby = work(&second, 10).await;
    nothing_comes(&mut standby).await;
    drop((active, held));
    take_one(&mut standby).await.settle(Disposition::Ack);
    eventually_empty(&second).await;
    // And after a crash.
    let mut next = work(&first, 10).await;
    drop((second, standby));
    publish(&first, &["b"]).await;
    assert_eq!(bodies(&take(&mut next, 1).await), ["b"]);
}

async fn the_queues_are_consumed_apart(backend: impl Backend) {
    let broker = backend.open().await;
    publish(&broker, &["a", "b"]).await;
    let (mut work, mut dead) = (work(&broker, 1).await, dead(&broker).await);
    take_one(&mut work).await.settle(dead_letter());
    let _full = take_one(&mut work).await;
    let buried = take_one(&mut dead).await;
    assert_eq!(&*buried.envelope.body, b"a");
    buried.settle(Disposition::Ack);
    eventually_depth(&broker, |depth| depth.dead_intake == 0 && depth.work_in_flight == 1).await;
}

/// As a worker does whose Store is away, and one that is told to stop.
async fn what_is_handed_back_again_and_again_is_blamed_for_nothing(backend: impl Backend) {
    const ROUNDS: usize = 12;
    let mut broker = backend.open().await;
    publish(&broker, &["failing", "b", "c", "d"]).await;
    let mut subscription = work(&broker, 10).await;
    let all = take(&mut subscription, 4).await;
    let (failing, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|delivery| &*delivery.envelope.body == b"failing");
    for delivery in failing {
        delivery.settle(Disposition::Retry(Duration::ZERO));
    }
    drop(subscription);
    drop(others);
    for round in 0..ROUNDS {
        eventually_depth(&broker, |depth| {
            depth.work_ready + depth.retry_ready == 4 && depth.work_in_flight == 0
        })
        .await;
        let mut subscription = work(&broker, 10).await;
        // One is left in the hands of nobody.
        let taken = take(&mut subscription, 3).await;
        let counts: Vec<_> = taken.iter().map(|delivery| delivery.delivery_count).collect();
        assert!(counts.iter().all(|count| *count <= 1), "{counts:?} in round {round}");
        // What is on its way at the end of a consumer counts as delivered.
        eventually_depth(&broker, |depth| depth.work_in_flight == 4).await;
        if round % 2 == 0 {
            drop((subscription, taken));
        } else {
            broker.close().await;
            drop((subscription, taken));
            broker = backend.open().await;
        }
    }
    let mut subscription = work(&broker, 10).await;
    let mut came: Vec<_> = take(&mut subscription, 4).await;
    came.sort_by_key(|delivery| delivery.envelope.body.clone());
    assert_eq!(bodies(&came), ["b", "c", "d", "failing"]);
    let attempts: Vec<_> = came.iter().map(|delivery| delivery.attempt).collect();
    assert_eq!(attempts, [1, 1, 1, 2]);
    assert!(came[3].failing_since.is_some() && came[0].failing_since.is_none());
    acknowledge(came);
    eventually_empty(&broker).await;
    nothing_comes(&mut dead(&broker).await).await;
}
