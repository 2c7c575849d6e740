//! Queues and bindings that somebody removes, messages that kill, and what RabbitMQ notes in them.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use lapin::BasicProperties;
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use storekeeper::broker::{Disposition, QueueDepth};
use storekeeper::domain::Code;
use tokio::task::JoinSet;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_was_deleted_is_declared_again() {
    let server = RabbitMq::shared().await;
    let options = options(server);
    let broker = RabbitBroker::connect(&options).await.unwrap();
    let mut subscription = work(&broker).await;
    publish_at_last(&broker, "before").await;
    let _lost = take_one(&mut subscription).await;
    let queue = format!("{}.work", options.namespace);
    behind_its_back(server, async |channel| {
        let options = QueueDeleteOptions::default();
        channel.queue_delete(queue.as_str().into(), options).await.unwrap();
    })
    .await;
    // It may be published before the queue is there again.
    broker.publish(envelope("after")).await.unwrap();
    eventually("it is said", async || broker.check().await.err()).await;
    let delivery = take_one(&mut subscription).await;
    assert_eq!(body(&delivery), "after");
    delivery.settle(Disposition::Ack);
    eventually("it is ready", async || broker.check().await.ok()).await;
    eventually("nothing is left", async || {
        (broker.depth().await.ok()? == QueueDepth::default()).then_some(())
    })
    .await;
}

/// RabbitMQ may then let a consumer of the old queue take from the new one, and hand nothing over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_deleted_under_load_is_consumed_again() {
    let server = RabbitMq::shared().await;
    let options = options(server);
    let publisher = RabbitBroker::connect(&options).await.unwrap();
    let (mut consumers, delivered) = (JoinSet::new(), Arc::new(Mutex::new(BTreeSet::new())));
    for _ in 0..2 {
        let broker = RabbitBroker::connect(&options).await.unwrap();
        let delivered = Arc::clone(&delivered);
        consumers.spawn(async move {
            let mut subscription = work(&broker).await;
            loop {
                for delivery in subscription.next_batch(16).await {
                    delivered.lock().unwrap().insert(body(&delivery).to_owned());
                    delivery.settle(Disposition::Ack);
                }
            }
        });
    }
    let queue = format!("{}.work", options.namespace);
    for round in 0..4 {
        let is_deleted = Cell::new(false);
        let last = |number: usize| format!("{round} {number}");
        let publishing = (0..8).map(async |number| {
            while !is_deleted.get() {
                publish_at_last(&publisher, "a body").await;
            }
            publish_at_last(&publisher, &last(number)).await;
        });
        let deleting = behind_its_back(server, async |channel| {
            let options = QueueDeleteOptions::default();
            channel.queue_delete(queue.as_str().into(), options).await.unwrap();
            is_deleted.set(true);
        });
        tokio::join!(join_all(publishing), deleting);
        eventually("nothing is left, and both consume", async || {
            let mut consumers = 0;
            behind_its_back(server, async |channel| {
                let options = QueueDeclareOptions::durable().passive();
                let found =
                    channel.queue_declare(queue.as_str().into(), options, FieldTable::default());
                consumers = found.await.map_or(0, |found| found.consumer_count());
            })
            .await;
            let depth = publisher.depth().await.ok()?;
            let all_came = (0..8).all(|number| delivered.lock().unwrap().contains(&last(number)));
            (depth == QueueDepth::default() && consumers >= 2 && all_came).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_consumer_opens_no_channel() {
    let server = RabbitMq::shared().await;
    let options = options(server);
    let broker = RabbitBroker::connect(&options).await.unwrap();
    let mut subscription = work(&broker).await;
    publish_at_last(&broker, "a").await;
    take_one(&mut subscription).await.settle(Disposition::Ack);
    let channel = async || {
        let queue = format!("{}.work", options.namespace);
        let all = server.control(&["list_consumers", "queue_name", "channel_pid"]).await;
        let of_queue = |line: &&str| line.starts_with(&queue);
        all.lines().find(of_queue).map(str::to_owned)
    };
    let first = eventually("it consumes", &channel).await;
    // Two silences.
    tokio::time::sleep(Duration::from_secs(21)).await;
    assert_eq!(eventually("it consumes", &channel).await, first);
}

/// A subscription asks anew when nothing comes for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_silence_costs_no_delivery() {
    const LONG: Duration = Duration::from_secs(11);
    let server = RabbitMq::shared().await;
    let broker = RabbitBroker::connect(&options(server)).await.unwrap();
    let mut subscription = work(&broker).await;
    publish_at_last(&broker, "a").await;
    let held = take_one(&mut subscription).await;
    tokio::time::sleep(LONG).await;
    held.settle(Disposition::Ack);
    for silence in [Duration::ZERO, LONG] {
        tokio::time::sleep(silence).await;
        publish_at_last(&broker, "b").await;
        let delivery = take_one(&mut subscription).await;
        assert_eq!((body(&delivery), delivery.delivery_count), ("b", 0));
        delivery.settle(Disposition::Ack);
    }
    eventually("nothing is left", async || {
        (broker.depth().await.ok()? == QueueDepth::default()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_binding_that_was_removed_loses_nothing() {
    let server = RabbitMq::shared().await;
    let options = options(server);
    let broker = RabbitBroker::connect(&options).await.unwrap();
    let name = |part: &str| format!("{}.{part}", options.namespace);
    let unbind = async |queue: &str, exchange: &str, key: &str| {
        behind_its_back(server, async |channel| {
            let (queue, exchange) = (name(queue), name(exchange));
            let (queue, exchange) = (queue.as_str().into(), exchange.as_str().into());
            let arguments = FieldTable::default();
            channel.queue_unbind(queue, exchange, key.into(), arguments).await.unwrap();
        })
        .await;
    };
    let (mut subscription, delivered) = (work(&broker).await, Mutex::new(BTreeSet::new()));
    let consuming = async {
        loop {
            for delivery in subscription.next_batch(16).await {
                delivered.lock().unwrap().insert(body(&delivery).to_owned());
                delivery.settle(Disposition::Ack);
            }
        }
    };
    let mut published = BTreeSet::new();
    let mut publish = async || {
        let number = published.len().to_string();
        broker.publish(envelope(&number)).await.unwrap();
        published.insert(number);
    };
    let tampering = async {
        for _ in 0..20 {
            unbind("work", "events", "work").await;
            unbind("journal", "events", "#").await;
            publish().await;
        }
        broker.check().await.unwrap();
        // Both ways are gone.
        eventually("it is said", async || {
            unbind("work", "events", "work").await;
            unbind("work", "again", "work").await;
            publish().await;
            broker.check().await.err()
        })
        .await;
        eventually("it is ready", async || broker.check().await.ok()).await;
        eventually("nothing is left", async || {
            (broker.depth().await.unwrap() == QueueDepth::default()).then_some(())
        })
        .await;
    };
    tokio::select! {
        () = consuming => unreachable!("it consumes for ever"),
        () = tampering => {}
    }
    assert_eq!(*delivered.lock().unwrap(), published);
    let journal = broker.journal(None, 10_000).await.unwrap();
    assert_eq!(journal.len(), published.len(), "each is in the journal, once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_delivered_too_often_is_a_dead_letter_and_its_neighbours_are_not() {
    let server = RabbitMq::shared().await;
    let options = RabbitOptions { delivery_limit: 3, ..options(server) };
    let mut broker = RabbitBroker::connect(&options).await.unwrap();
    for body in ["killer", "b", "c", "d"] {
        broker.publish(envelope(body)).await.unwrap();
    }
    // It kills whoever takes it: the process dies with all that it has.
    let mut done = BTreeSet::new();
    let (letter, mut intake, mut subscription) = loop {
        let mut subscription = work(&broker).await;
        let mut intake = broker.subscribe(Queue::Dead, 10).await.unwrap();
        let killer = loop {
            let delivery = tokio::select! {
                letter = take_one(&mut intake) => break Err(letter),
                delivery = take_one(&mut subscription) => delivery,
            };
            if body(&delivery) == "killer" {
                break Ok(delivery);
            }
            done.insert(body(&delivery).to_owned());
            delivery.settle(Disposition::Ack);
        };
        match killer {
            Err(letter) => break (letter, intake, subscription),
            Ok(killer) => {
                drop(broker);
                drop((subscription, intake, killer));
                broker = RabbitBroker::connect(&options).await.unwrap();
            }
        }
    };
    let reason = letter.dead.as_ref().unwrap();
    assert_eq!(body(&letter), "killer");
    assert_eq!((reason.rejection.code, reason.attempts), (Code::DeliveryLimit, 1));
    assert!(reason.failed_at.micros() > 0);
    // It keeps its reason when it is looked at later.
    let expected = reason.clone();
    letter.settle(Disposition::Retry(Duration::from_millis(50)));
    let letter = take_one(&mut intake).await;
    assert_eq!((letter.attempt, letter.dead.as_ref()), (2, Some(&expected)));
    letter.settle(Disposition::Ack);
    while done.len() < 3 {
        let delivery = take_one(&mut subscription).await;
        assert_ne!(body(&delivery), "killer");
        done.insert(body(&delivery).to_owned());
        delivery.settle(Disposition::Ack);
    }
    eventually("nothing else is a dead letter", async || {
        (broker.depth().await.unwrap() == QueueDepth::default()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rabbitmq_noted_in_a_message_is_not_sent_on() {
    let server = RabbitMq::shared().await;
    let options = options(server);
    let broker = RabbitBroker::connect(&options).await.unwrap();
    let mut subscription = work(&broker).await;
    broker.publish(envelope("a")).await.unwrap();
    take_one(&mut subscription).await.settle(Disposition::Retry(Duration::from_millis(20)));
    let noted = take_one(&mut subscription).await;
    assert_eq!(noted.attempt, 2);
    noted.settle(Disposition::Retry(Duration::ZERO));
    let again = take_one(&mut subscription).await;
    assert_eq!(again.attempt, 3);
    broker.close().await;
    let queue = format!("{}.work", options.namespace);
    behind_its_back(server, async |channel| {
        let message = channel.basic_get(queue.as_str().into(), BasicGetOptions::default()).await;
        let message = message.unwrap().expect("it was given back");
        let headers = message.delivery.properties.headers().as_ref().unwrap();
        let names: Vec<_> = headers.inner().keys().map(ToString::to_string).collect();
        assert!(!names.iter().any(|name| name.contains("death")), "{names:?}");
        assert!(names.iter().any(|name| name == "x-attempt"), "{names:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_not_ours_is_put_aside_and_holds_up_nothing() {
    let server = RabbitMq::shared().await;
    let options = options(server);
    let broker = RabbitBroker::connect(&options).await.unwrap();
    let queue = |part: &str| format!("{}.{part}", options.namespace);
    behind_its_back(server, async |channel| {
        let properties = BasicProperties::default();
        let (exchange, key) = (queue("events").as_str().into(), "work".into());
        let options = BasicPublishOptions::default();
        channel.basic_publish(exchange, key, options, b"who knows", properties).await.unwrap();
    })
    .await;
    let mut subscription = work(&broker).await;
    broker.publish(envelope("ours")).await.unwrap();
    let delivery = take_one(&mut subscription).await;
    assert_eq!(body(&delivery), "ours");
    delivery.settle(Disposition::Ack);
    eventually("it is counted", async || {
        (broker.depth().await.unwrap().unroutable == 1).then_some(())
    })
    .await;
    assert_eq!(taken_from(server, &queue("foreign")).await.data, b"who knows");
    let journal = broker.journal(None, 10).await.unwrap();
    assert_eq!(journal.len(), 1, "it is passed over there");
}

/// In a rolling update, a worker of the old release meets messages of the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_a_newer_release_is_handed_back_for_a_worker_that_can_read_it() {
    let server = RabbitMq::shared().await;
    let options = options(server);
    let broker = RabbitBroker::connect(&options).await.unwrap();
    let queue = |part: &str| format!("{}.{part}", options.namespace);
    let mut headers = FieldTable::default();
    headers.insert("x-unheard-of".into(), AMQPValue::LongString("1".into()));
    let newer = BasicProperties::default()
        .with_app_id("storekeeper".into())
        .with_message_id(Uuid::now_v7().to_string().into())
        .with_type("storekeeper.unheard_of".into())
        .with_headers(headers);
    behind_its_back(server, async |channel| {
        let (exchange, key) = (queue("events").as_str().into(), "work".into());
        let options = BasicPublishOptions::default();
        channel.basic_publish(exchange, key, options, b"news", newer.clone()).await.unwrap();
    })
    .await;
    let subscription = work(&broker).await;
    eventually("it waits for its next turn", async || {
        (broker.depth().await.unwrap().retry_ready == 1).then_some(())
    })
    .await;
    assert_eq!(broker.depth().await.unwrap().unroutable, 0);
    drop(subscription);
    let again = taken_from(server, &queue("work")).await;
    assert_eq!((again.properties.kind(), again.data.as_slice()), (newer.kind(), &b"news"[..]));
    let headers = again.properties.headers().as_ref().unwrap().inner();
    assert!(headers.contains_key("x-unheard-of"), "{headers:?}");
    let count = headers.get("x-delivery-count").and_then(AMQPValue::as_long_long_int);
    assert!(count.is_none_or(|count| count == 0), "nobody is blamed: {headers:?}");
}

/// RabbitMQ ends a channel on which somebody publishes in another's name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_else_says_of_a_message_does_not_stop_publishing() {
    let server = RabbitMq::shared().await;
    let options = options(server);
    let broker = RabbitBroker::connect(&options).await.unwrap();
    server.control(&["add_user", "somebody", "else"]).await;
    server.control(&["set_permissions", "somebody", ".*", ".*", ".*"]).await;
    let url = server.url().replace("guest:guest", "somebody:else");
    let connection = Connection::connect(&url, lapin::ConnectionProperties::default()).await;
    let channel = connection.unwrap().create_channel().await.unwrap();
    let properties = BasicProperties::default()
        .with_user_id("somebody".into())
        .with_expiration("60000".into())
        .with_content_type("text/plain".into());
    let (exchange, key) = (format!("{}.events", options.namespace), "work".into());
    let publish = BasicPublishOptions::default();
    let exchange = exchange.as_str().into();
    channel.basic_publish(exchange, key, publish, b"who knows", properties).await.unwrap();
    let mut subscription = work(&broker).await;
    broker.publish(envelope("ours")).await.unwrap();
    take_one(&mut subscription).await.settle(Disposition::Ack);
    let unroutable = taken_from(server, &format!("{}.foreign", options.namespace)).await;
    assert_eq!(unroutable.data, b"who knows");
    let said = &unroutable.properties;
    assert_eq!((said.user_id(), said.expiration()), (&None, &None));
    assert_eq!(said.content_type().as_ref().unwrap().as_str(), "text/plain");
    for number in 0..200 {
        let published = broker.publish(envelope(&number.to_string())).await;
        assert!(published.is_ok(), "{number}: {published:?}");
    }
}

/// Waits for a message in a queue, and takes it.
async fn taken_from(server: &RabbitMq, queue: &str) -> lapin::message::Delivery {
    let connection = server.connection().await;
    let channel = connection.create_channel().await.unwrap();
    let message = eventually("something is in the queue", async || {
        channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.unwrap()
    })
    .await;
    connection.close(200, "".into()).await.unwrap();
    message.delivery
}
