//! Policies of an operator that expire or limit what is in our queues.

use std::collections::BTreeSet;

use storekeeper::broker::{Disposition, QueueDepth};
use storekeeper::domain::Code;

use super::*;

const BODIES: [&str; 3] = ["a", "b", "c"];

async fn expire(server: &RabbitMq, name: &str, queue: &str) {
    let pattern = format!("^{}$", queue.replace('.', "\\."));
    let definition = r#"{"message-ttl": 100}"#;
    server.control(&["set_policy", "--apply-to", "queues", name, &pattern, definition]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_policy_lets_expire_is_a_dead_letter_and_never_nothing() {
    let server = RabbitMq::start().await;
    let options = options(&server);
    let queue = |part: &str| format!("{}.{part}", options.namespace);
    let broker = RabbitBroker::connect(&options).await.unwrap();
    expire(&server, "work", &queue("work")).await;
    expire(&server, "dead", &queue("dead")).await;
    for body in BODIES {
        broker.publish(envelope(body)).await.unwrap();
    }
    let is = async |expected: QueueDepth| {
        eventually("they are where they should be", async || {
            (broker.depth().await.ok()? == expected).then_some(())
        })
        .await;
    };
    // Nobody parks them, and they expire there too. From the way out they are returned.
    is(QueueDepth { unroutable: 3, ..QueueDepth::default() }).await;
    server.control(&["clear_policy", "dead"]).await;
    is(QueueDepth { dead_intake: 3, ..QueueDepth::default() }).await;
    let mut intake = broker.subscribe(Queue::Dead, 10).await.unwrap();
    let mut came = BTreeSet::new();
    for _ in BODIES {
        let letter = take_one(&mut intake).await;
        let reason = letter.dead.as_ref().unwrap();
        assert_eq!(reason.rejection.code, Code::BrokerExpired);
        assert!(reason.rejection.detail.contains(&queue("work")), "{}", reason.rejection.detail);
        assert!(reason.failed_at.micros() > 0);
        came.insert(body(&letter).to_owned());
        letter.settle(Disposition::Ack);
    }
    assert_eq!(came, BODIES.map(str::to_owned).into());
    is(QueueDepth::default()).await;
}

/// Retries leave their queue by expiring too, and are no dead letters.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_expires_from_the_work_queue_after_a_retry_is_told_as_that() {
    let server = RabbitMq::start().await;
    let options = options(&server);
    let broker = RabbitBroker::connect(&options).await.unwrap();
    let mut subscription = work(&broker).await;
    broker.publish(envelope("a")).await.unwrap();
    take_one(&mut subscription).await.settle(Disposition::Retry(Duration::from_millis(100)));
    let again = take_one(&mut subscription).await;
    assert_eq!((again.attempt, &again.dead), (2, &None));
    // RabbitMQ applies a policy to what comes from then on.
    again.settle(Disposition::Retry(Duration::from_secs(4)));
    drop(subscription);
    expire(&server, "work", &format!("{}.work", options.namespace)).await;
    let letter = take_one(&mut broker.subscribe(Queue::Dead, 10).await.unwrap()).await;
    let reason = letter.dead.as_ref().unwrap();
    assert_eq!((reason.rejection.code, reason.attempts), (Code::BrokerExpired, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_that_conflict_are_named_while_they_do() {
    let server = RabbitMq::start_with_management(Duration::from_millis(500)).await;
    let management_url = Some(server.management_url().into());
    let options = RabbitOptions { management_url, ..options(&server) };
    let queue = |part: &str| format!("{}.{part}", options.namespace);
    let broker = RabbitBroker::connect(&options).await.unwrap();
    let conflicts = async |what: &str, expected: &[String]| {
        eventually(what, async || {
            let found = broker.warnings().policy_conflicts?;
            let has = |said: &String| found.iter().any(|conflict| conflict.contains(said));
            (expected.iter().all(has) && found.is_empty() == expected.is_empty()).then_some(())
        })
        .await;
    };
    conflicts("policies are read", &[]).await;
    let definition = r#"{"message-ttl": 3600000, "expires": 7200000}"#;
    server.control(&["set_policy", "everything", ".*", definition]).await;
    let ours = r#"{"max-length": 1000000}"#;
    server.control(&["set_operator_policy", "bounds", "work", ours]).await;
    let said = |key: &str, part: &str| format!("sets {key} for queue {}", queue(part));
    let retry = said("expires = 7200000", "retry.100ms");
    let expected =
        [said("message-ttl = 3600000", "dead"), said("max-length = 1000000", "work"), retry];
    conflicts("each is named, with its queue", &expected).await;
    let found = broker.warnings().policy_conflicts.unwrap();
    let of_work: Vec<_> = found.iter().filter(|it| it.ends_with(&queue("work"))).collect();
    assert!(
        of_work.iter().all(|it| it.contains(r#"policy "everything" and operator policy "bounds""#)),
        "{of_work:?}"
    );
    assert!(!found.iter().any(|it| it.contains("journal")), "{found:?}");
    server.control(&["clear_policy", "everything"]).await;
    server.control(&["clear_operator_policy", "bounds"]).await;
    conflicts("nothing is left", &[]).await;
    broker.close().await;
}

/// From `dead` they expire to `unrouted`, and from there RabbitMQ lets them go nowhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_expires_again_and_again_is_named_with_the_commands_that_put_it_back() {
    let server = RabbitMq::start_with_management(Duration::from_millis(500)).await;
    let management_url = Some(server.management_url().into());
    let options = RabbitOptions { management_url, ..options(&server) };
    let queue = |part: &str| format!("{}.{part}", options.namespace);
    let broker = RabbitBroker::connect(&options).await.unwrap();
    for part in ["work", "dead", "unrouted"] {
        expire(&server, part, &queue(part)).await;
    }
    for body in BODIES {
        broker.publish(envelope(body)).await.unwrap();
    }
    let named = async || {
        let found = broker.warnings().policy_conflicts?;
        let said = format!("queue {} keeps 3 messages", queue("unrouted"));
        found.into_iter().find(|conflict| conflict.contains(&said))
    };
    let told = eventually("they are named", named).await;
    for command in ["journal replay", &format!("delete_queue {}", queue("unrouted"))] {
        assert!(told.contains(command), "{told}");
    }
    for part in ["work", "dead", "unrouted"] {
        server.control(&["clear_policy", part]).await;
    }
    eventually("the policies are gone, and they are still named", async || {
        let found = broker.warnings().policy_conflicts?;
        (found.len() == 1).then_some(named().await?)
    })
    .await;
    server.control(&["delete_queue", &queue("unrouted")]).await;
    eventually("nothing is left", async || {
        broker.warnings().policy_conflicts?.is_empty().then_some(())
    })
    .await;
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_login_of_the_management_api_is_told_without_its_password() {
    let server = RabbitMq::start_with_management(Duration::from_millis(500)).await;
    let management_url = server.management_url().replace("guest:guest", "guest:open-sesame");
    let place = management_url.split_once('@').unwrap().1.to_owned();
    let options = RabbitOptions { management_url: Some(management_url.into()), ..options(&server) };
    let broker = RabbitBroker::connect(&options).await.unwrap();
    let told = eventually("it is said", async || broker.warnings().management).await;
    for part in [place.as_str(), "401", "rabbitmq.management_url"] {
        assert!(told.contains(part), "{part:?} is not in {told:?}");
    }
    assert!(!told.contains("open-sesame"), "{told}");
    broker.check().await.unwrap();
}
