//! Settings that can never work are told at once, in words, and without a password.

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use storekeeper::broker::Disposition;
use storekeeper::broker::rabbitmq::declare_topology;
use tokio::net::TcpListener;

use super::*;
use crate::harness::free_port;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_with_other_arguments_is_told_with_a_way_out() {
    let server = RabbitMq::shared().await;
    let options = options(server);
    let queue = format!("{}.dead", options.namespace);
    behind_its_back(server, async |channel| {
        let (classic, none) = (QueueDeclareOptions::durable(), FieldTable::default());
        channel.queue_declare(queue.as_str().into(), classic, none).await.unwrap();
    })
    .await;
    let refused = RabbitBroker::connect(&options).await.unwrap_err();
    assert!(matches!(refused, BrokerError::Rejected { .. }), "{refused:?}");
    let text = text(&refused);
    for part in
        [queue.as_str(), "inequivalent arg", "delete it when it is empty", "rabbitmq.namespace"]
    {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_was_changed_stops_nothing() {
    let server = RabbitMq::shared().await;
    let first = options(server);
    declare_topology(&first).await.unwrap();
    declare_topology(&first).await.unwrap();
    let day = Duration::from_hours(24);
    for options in [
        RabbitOptions { delivery_limit: 51, ..first.clone() },
        RabbitOptions { journal_retention: Some(day), ..first.clone() },
        RabbitOptions { journal_bytes_max: Some(1 << 30), ..first.clone() },
        RabbitOptions { delivery_limit: 3, journal_retention: Some(day), ..first },
    ] {
        let broker = RabbitBroker::connect(&options).await.unwrap();
        broker.publish(envelope("a")).await.unwrap();
        broker.check().await.unwrap();
        take_one(&mut work(&broker).await).await.settle(Disposition::Ack);
        broker.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_is_too_large_loses_its_oldest_bodies() {
    const BODIES: usize = 40;
    let body = "a".repeat(1 << 20);
    let options =
        RabbitOptions { journal_bytes_max: Some(16 << 20), ..options(RabbitMq::shared().await) };
    let broker = RabbitBroker::connect(&options).await.unwrap();
    let mut subscription = work(&broker).await;
    assert!(broker.journal_extent(None).await.unwrap().is_complete);
    for _ in 0..BODIES {
        broker.publish(envelope(&body)).await.unwrap();
        take_one(&mut subscription).await.settle(Disposition::Ack);
    }
    eventually("the oldest are gone", async || {
        let extent = broker.journal_extent(None).await.unwrap();
        (!extent.is_complete && extent.first.is_some()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_login_a_wrong_place_and_a_wrong_address_are_told_apart() {
    const PASSWORD: &str = "open-sesame";
    let server = RabbitMq::shared().await;
    let place = server.url().split_once('@').unwrap().1.to_owned();
    let nobody = format!("127.0.0.1:{}/%2f", free_port());
    for (url, is_transient) in [
        (format!("amqp://guest:{PASSWORD}@{place}"), false),
        (format!("amqp://guest:{PASSWORD}@{nobody}"), true),
        (format!("amqp://guest:guest@{}", place.replace("%2f", PASSWORD)), false),
        (format!("amqp:guest:{PASSWORD}@"), false),
    ] {
        let options = RabbitOptions { urls: vec![url.clone().into()], ..options(server) };
        let refused = RabbitBroker::connect(&options).await.unwrap_err();
        assert_eq!(refused.is_transient(), is_transient, "{url}: {refused:?}");
        let is_vhost = url.ends_with(PASSWORD);
        for shown in [text(&refused), format!("{refused:?} {options:?}")] {
            assert_eq!(shown.contains(PASSWORD), is_vhost && !shown.is_empty(), "{shown}");
        }
    }
    // Of several addresses, one that works is enough.
    let urls = vec![format!("amqp://guest:guest@{nobody}").into(), server.url().into()];
    let broker = RabbitBroker::connect(&RabbitOptions { urls, ..options(server) }).await.unwrap();
    broker.publish(envelope("a")).await.unwrap();
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap();
    let silent = RabbitOptions {
        urls: vec![format!("amqp://guest:guest@{place}/%2f").into()],
        ..options(RabbitMq::shared().await)
    };
    let refused = timeout(DEADLINE, RabbitBroker::connect(&silent)).await.expect("it gives up");
    assert!(matches!(refused, Err(BrokerError::Unavailable { .. })), "{refused:?}");
}
