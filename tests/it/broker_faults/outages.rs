//! The node dies, stands still, closes connections, and has no memory left.

use std::collections::BTreeSet;

use storekeeper::broker::{Disposition, QueueDepth};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::*;

/// A node that dies in its first second has not yet noted that it has streams.
const TOO_YOUNG: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_delivered_though_the_node_dies() {
    let server = RabbitMq::start().await;
    let options = options(&server);
    let broker = RabbitBroker::connect(&options).await.unwrap();
    let mut subscription = work(&broker).await;
    let (mut answered, mut refused, mut last_refused) = (BTreeSet::new(), 0, 0);
    let (some, mut delivered) = (Notify::new(), BTreeSet::new());
    let started_at = Instant::now();
    let publishing = async {
        for number in 0_u32.. {
            let body = number.to_string();
            match broker.publish(envelope(&body)).await {
                Ok(()) => _ = answered.insert(body),
                Err(error) => {
                    assert!(error.is_transient(), "{error:?}");
                    (refused, last_refused) = (refused + 1, number);
                    tokio::task::yield_now().await;
                }
            }
            if started_at.elapsed() > TOO_YOUNG {
                some.notify_one();
            }
            // So many before the node died, and so many after.
            if refused > 0 && number - last_refused > 200 {
                break;
            }
        }
    };
    let outage = async {
        some.notified().await;
        server.kill().await;
        // Whoever starts meanwhile comes up all the same.
        let late = RabbitBroker::start(&options).unwrap();
        eventually("it is told that RabbitMQ is away", async || {
            late.publish(envelope("late")).await.err().filter(BrokerError::is_transient)
        })
        .await;
        assert!(late.check().await.unwrap_err().is_transient());
        server.start_again();
        server.ready().await;
        publish_at_last(&late, "late").await;
        eventually("it is ready", async || late.check().await.ok()).await;
        late.close().await;
    };
    let consuming = async {
        while let batch = subscription.next_batch(16).await
            && !batch.is_empty()
        {
            for delivery in batch {
                delivered.insert(body(&delivery).to_owned());
                delivery.settle(Disposition::Ack);
            }
        }
    };
    let worked_off = async {
        tokio::join!(publishing, outage);
        eventually("all is worked off", async || {
            let depth = broker.depth().await.ok()?;
            (depth.work_ready + depth.work_in_flight == 0).then_some(())
        })
        .await;
        assert!(broker.reconnects() >= 2, "{} reconnects", broker.reconnects());
        broker.close().await;
    };
    tokio::join!(consuming, worked_off);
    let lost: Vec<_> = answered.difference(&delivered).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), answered.len());
    assert!(delivered.contains("late"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stands_still_or_runs_short_is_told_in_time_and_got_over() {
    let server = RabbitMq::start().await;
    let broker = RabbitBroker::connect(&options(&server)).await.unwrap();
    let mut subscription = work(&broker).await;
    publish_at_last(&broker, "before").await;
    take_one(&mut subscription).await.settle(Disposition::Ack);

    server.freeze().await;
    let started_at = Instant::now();
    let unanswered = broker.publish(envelope("unanswered")).await.unwrap_err();
    let elapsed = started_at.elapsed();
    assert!(matches!(unanswered, BrokerError::Unavailable { .. }), "{unanswered:?}");
    assert!(elapsed < Duration::from_secs(8), "answered after {elapsed:?}");
    assert!(broker.depth().await.unwrap_err().is_transient());
    server.thaw();
    publish_at_last(&broker, "after").await;
    for expected in ["unanswered", "after"] {
        let delivery = take_one(&mut subscription).await;
        assert_eq!(body(&delivery), expected, "its outcome was open, and it was taken");
        delivery.settle(Disposition::Ack);
    }

    server.control(&["close_all_connections", "a test"]).await;
    publish_at_last(&broker, "closed").await;
    let delivery = take_one(&mut subscription).await;
    assert_eq!(body(&delivery), "closed");
    delivery.settle(Disposition::Ack);
    eventually("both connections are back", async || (broker.reconnects() >= 2).then_some(()))
        .await;

    server.control(&["set_vm_memory_high_watermark", "absolute", "1"]).await;
    eventually("it is blocked", async || {
        let refused = broker.publish(envelope("too much")).await.err()?;
        matches!(refused, BrokerError::Blocked).then_some(())
    })
    .await;
    let started_at = Instant::now();
    assert!(matches!(broker.publish(envelope("too much")).await, Err(BrokerError::Blocked)));
    assert!(matches!(broker.check().await, Err(BrokerError::Blocked)));
    // Whoever waits for a confirm does so for five seconds.
    assert!(started_at.elapsed() < Duration::from_secs(4), "{:?}", started_at.elapsed());
    server.control(&["set_vm_memory_high_watermark", "absolute", "2GB"]).await;
    publish_at_last(&broker, "room again").await;
    eventually("it is ready", async || broker.check().await.ok()).await;
    while let delivery = take_one(&mut subscription).await
        && body(&delivery) != "room again"
    {
        delivery.settle(Disposition::Ack);
    }
    broker.close().await;
}

/// All connections are closed, again and again, while nobody takes what was delivered on them: as
/// in a long outage of the Store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_takes_is_not_blamed_for_channels_that_are_lost() {
    let server = RabbitMq::start().await;
    let broker = RabbitBroker::connect(&options(&server)).await.unwrap();
    for number in 0..20 {
        publish_at_last(&broker, &number.to_string()).await;
    }
    let mut subscription = broker.subscribe(Queue::Work, 8).await.unwrap();
    eventually("deliveries are held", async || {
        let depth = broker.depth().await.ok()?;
        (depth.work_in_flight == 8).then_some(())
    })
    .await;
    for _ in 0..3 {
        let before = broker.reconnects();
        server.control(&["close_all_connections", "a test"]).await;
        eventually("both connections are back", async || {
            let is_back = broker.reconnects() >= before + 2;
            (is_back && broker.depth().await.is_ok()).then_some(())
        })
        .await;
    }
    for _ in 0..20 {
        let delivery = take_one(&mut subscription).await;
        let count = delivery.delivery_count;
        assert!(count <= 3, "{} was delivered {count} times before", body(&delivery));
        delivery.settle(Disposition::Ack);
    }
    eventually("nothing is left, and nothing is a dead letter", async || {
        (broker.depth().await.ok()? == QueueDepth::default()).then_some(())
    })
    .await;
}
