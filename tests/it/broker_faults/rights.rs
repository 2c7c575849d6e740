//! Users who may not declare, and limits of RabbitMQ's.

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use storekeeper::broker::rabbitmq::declare_topology;
use storekeeper::broker::{Disposition, QueueDepth};

use super::*;

const PASSWORD: &str = "open-sesame";

/// A user who may write to an exchange, read, and declare nothing; gives the same options in that
/// user's name.
async fn may(
    server: &RabbitMq,
    options: &RabbitOptions,
    write: &'static [&str],
    read: &str,
) -> RabbitOptions {
    let user = format!("user-{}", Uuid::now_v7());
    let names = |parts: &str| format!("^{}\\.({parts})$", options.namespace);
    server.control(&["add_user", &user, PASSWORD]).await;
    server.control(&["set_permissions", &user, "^$", &names(&write.join("|")), &names(read)]).await;
    let url = server.url().replace("guest:guest", &format!("{user}:{PASSWORD}"));
    RabbitOptions { urls: vec![url.into()], publishes_to: write, ..options.clone() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_declare_uses_what_stands() {
    let server = RabbitMq::shared().await;
    let options = options(server);
    let ingress = may(server, &options, &["events"], "").await;
    let worker = may(server, &options, &["again"], "work|dead|unrouted").await;
    let refused = RabbitBroker::connect(&ingress).await.unwrap_err();
    assert!(!refused.is_transient(), "{refused:?}");
    let refused = text(&refused);
    let work = format!("{}.work", options.namespace);
    for part in [work.as_str(), "ACCESS_REFUSED", "storekeeper topology declare", "127.0.0.1"] {
        assert!(refused.contains(part), "{part:?} is not in {refused:?}");
    }
    assert!(!refused.contains(PASSWORD), "{refused}");

    declare_topology(&options).await.unwrap();
    let ingress = RabbitBroker::connect(&ingress).await.unwrap();
    let worker = RabbitBroker::connect(&worker).await.unwrap();
    let mut subscription = self::work(&worker).await;
    ingress.publish(envelope("a")).await.unwrap();
    // One is the ladder's, and for the other no queue may be declared.
    for (attempt, delay) in [(1, 100), (2, 150)] {
        let delivery = take_one(&mut subscription).await;
        assert_eq!((body(&delivery), delivery.attempt), ("a", attempt));
        delivery.settle(Disposition::Retry(Duration::from_millis(delay)));
    }
    take_one(&mut subscription).await.settle(Disposition::Ack);
    for broker in [&ingress, &worker] {
        eventually("it is ready", async || broker.check().await.ok()).await;
        eventually("nothing is left", async || {
            (broker.depth().await.ok()? == QueueDepth::default()).then_some(())
        })
        .await;
    }
    // What is missing is noticed all the same.
    let retry = format!("{}.retry.100ms", options.namespace);
    behind_its_back(server, async |channel| {
        channel.queue_delete(retry.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    })
    .await;
    for broker in [&ingress, &worker] {
        let told = eventually("it is said", async || broker.check().await.err()).await;
        assert!(text(&told).contains(&retry), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_retry_queue_is_told_with_the_command_that_closes_the_gap() {
    let server = RabbitMq::shared().await;
    let options = options(server);
    let broker = RabbitBroker::connect(&options).await.unwrap();
    let mut subscription = work(&broker).await;
    let far = Duration::from_hours(1);
    broker.publish(envelope("a")).await.unwrap();
    take_one(&mut subscription).await.settle(Disposition::Retry(far));
    eventually("it waits", async || (broker.depth().await.ok()?.retry_ready == 1).then_some(()))
        .await;
    let retry = format!("{}.retry.3600", options.namespace);
    behind_its_back(server, async |channel| {
        channel.queue_delete(retry.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    })
    .await;
    let told = eventually("it is said", async || broker.check().await.err()).await;
    let told = text(&told);
    assert!(told.contains(&retry) && told.contains("storekeeper journal replay"), "{told}");
    eventually("it is ready", async || broker.check().await.ok()).await;
    behind_its_back(server, async |channel| {
        let passive = QueueDeclareOptions::durable().passive();
        channel.queue_declare(retry.as_str().into(), passive, FieldTable::default()).await.unwrap();
    })
    .await;
    assert_eq!(broker.journal(None, 10).await.unwrap().len(), 1, "the journal has it");
}

/// A virtual host and a user of a test's own on the shared node.
struct Tenant {
    name: String,
    options: RabbitOptions,
}

impl Tenant {
    async fn new(server: &RabbitMq) -> Self {
        let name = format!("tenant-{}", Uuid::now_v7());
        server.control(&["add_vhost", &name]).await;
        server.control(&["add_user", &name, PASSWORD]).await;
        server.control(&["set_permissions", "-p", &name, &name, ".*", ".*", ".*"]).await;
        let url = server.url().replace("guest:guest", &format!("{name}:{PASSWORD}"));
        let url = url.replace("%2f", &name);
        Self { options: RabbitOptions { urls: vec![url.into()], ..options(server) }, name }
    }

    /// Fails to connect; gives whether that may pass, and what is said of it.
    async fn is_refused(&self) -> (bool, String) {
        let refused = RabbitBroker::connect(&self.options).await.unwrap_err();
        let told = text(&refused);
        assert!(!told.contains(PASSWORD) && told.contains("127.0.0.1"), "{told}");
        assert!(!told.contains("delete it") && !told.contains("AMQP"), "{told}");
        (refused.is_transient(), told)
    }
}

fn has_all(told: &str, parts: &[&str]) {
    for part in parts {
        assert!(told.contains(part), "{part:?} is not in {told:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_rabbitmq_has_words_of_its_own() {
    let server = RabbitMq::shared().await;
    let few_queues = Tenant::new(server).await;
    let limit = r#"{"max-queues": 4}"#;
    server.control(&["set_vhost_limits", "-p", &few_queues.name, limit]).await;
    let (passes, told) = few_queues.is_refused().await;
    assert!(!passes, "{told}");
    has_all(&told, &["cannot declare queue", "queue limit", "max-queues"]);

    let few_connections = Tenant::new(server).await;
    let limit = r#"{"max-connections": 1}"#;
    server.control(&["set_vhost_limits", "-p", &few_connections.name, limit]).await;
    let (passes, told) = few_connections.is_refused().await;
    assert!(passes, "{told}");
    has_all(&told, &["connection limit", "max-connections"]);

    let busy_user = Tenant::new(server).await;
    let limit = r#"{"max-connections": 1}"#;
    server.control(&["set_user_limits", &busy_user.name, limit]).await;
    let (passes, told) = busy_user.is_refused().await;
    assert!(passes, "{told}");
    has_all(&told, &["connection", "limit", "max-connections"]);

    let stranger = Tenant::new(server).await;
    server.control(&["clear_permissions", "-p", &stranger.name, &stranger.name]).await;
    let (passes, told) = stranger.is_refused().await;
    assert!(!passes, "{told}");
    has_all(&told, &["NOT_ALLOWED", "refused for user", "rights"]);

    let nowhere = Tenant::new(server).await;
    server.control(&["delete_vhost", &nowhere.name]).await;
    let (passes, told) = nowhere.is_refused().await;
    assert!(!passes, "{told}");
    has_all(&told, &["not found", "virtual host in rabbitmq.url"]);

    let other_password = Tenant::new(server).await;
    server.control(&["change_password", &other_password.name, "another"]).await;
    let (passes, told) = other_password.is_refused().await;
    assert!(!passes, "{told}");
    has_all(&told, &["ACCESS_REFUSED", "user and password in rabbitmq.url"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rabbitmq_without_streams_is_told_as_that() {
    let server = RabbitMq::start_without_streams().await;
    let refused = declare_topology(&options(&server)).await.unwrap_err();
    assert!(!refused.is_transient(), "{refused:?}");
    let told = text(&refused);
    has_all(&told, &["journal", "stream", "enable_feature_flag"]);
    assert!(!told.contains("delete it"), "{told}");
}
