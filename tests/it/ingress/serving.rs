//! What clients can do to the service as a whole, and how it stops.

use std::time::Duration;

use storekeeper::config::{ByteSize, IngressSettings};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::harness::{BODY, DEADLINE, Service, taken, unsigned};
use super::raw::Raw;

const HEAD: &str = "POST /webhooks/duda HTTP/1.1\r\nhost: localhost\r\n";
const WEBHOOK: &str =
    "POST /webhooks/duda HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\nbody";

/// Sends the head of a request and waits until its handler waits for the body.
async fn half_sent(service: &Service) -> Raw {
    let mut client = service.connect().await;
    client.send(format!("{HEAD}expect: 100-continue\r\ncontent-length: 4\r\n\r\n")).await;
    assert_eq!(client.head().await.status, 100);
    client
}

/// Waits for a condition that another task brings about.
async fn eventually<F: Future<Output = bool>>(condition: impl Fn() -> F) {
    let polling = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        while !condition().await {
            ticks.tick().await;
        }
    };
    timeout(DEADLINE, polling).await.expect("it did not come to be");
}

#[tokio::test]
async fn clients_that_do_not_send_their_bodies_take_no_place() {
    let service = Service::start(IngressSettings { in_flight_max: 1, ..unsigned() }).await;
    let mut slow = [half_sent(&service).await, half_sent(&service).await];
    let mut prompt = service.connect().await;
    prompt.send(WEBHOOK).await;
    prompt.taken().await;
    for slow in &mut slow {
        assert!(slow.is_unanswered());
        slow.send("body").await;
        slow.taken().await;
    }
    assert_eq!(service.count("ok"), 3);
}

#[tokio::test]
async fn a_large_body_that_finds_no_memory_is_refused_and_others_are_taken() {
    let large = 64 * 1024 + 3;
    let settings =
        IngressSettings { body_bytes_max: 2 * large, reading_bytes_max: ByteSize(2), ..unsigned() };
    let service = Service::start(settings).await;
    let webhook = |length: usize| {
        [format!("{HEAD}content-length: {length}\r\n\r\n").into(), vec![b'x'; length]].concat()
    };
    let mut crowded = service.connect().await;
    crowded.send(webhook(large)).await;
    crowded.refused(503, "ingress.busy").await;
    crowded.closed().await;
    let mut client = service.connect().await;
    // The first may still be in the writer's hands when it is answered.
    for length in [large - 2, 4, large - 2] {
        client.send(webhook(length)).await;
        client.taken().await;
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_nothing_behind() {
    let service = Service::start(IngressSettings { connections_max: 1, ..unsigned() }).await;
    drop(half_sent(&service).await);
    // Its place becomes free, and half a body is no webhook.
    eventually(|| async { service.webhook().send().await.unwrap().status() == 200 }).await;
    let published = service.published().await;
    assert_eq!(published.len(), 1);
    assert_eq!(published[0].envelope.body, BODY);
}

#[tokio::test]
async fn more_requests_than_connections_allowed_wait() {
    let service = Service::start(IngressSettings { connections_max: 1, ..unsigned() }).await;
    let mut first = half_sent(&service).await;
    let mut second = service.connect().await;
    second.send(WEBHOOK).await;
    // What was shed would be so by now: a third client is not even accepted.
    assert!(timeout(Duration::from_millis(300), second.closed()).await.is_err());
    assert!(second.is_unanswered());
    first.send("body").await;
    first.taken().await;
    // The first is idle now, so it makes room.
    second.taken().await;
    first.closed().await;
}

#[tokio::test]
async fn of_more_connections_than_allowed_the_one_that_is_idle_longest_makes_room() {
    let service = Service::start(IngressSettings { connections_max: 2, ..unsigned() }).await;
    let mut slow = service.connect().await;
    slow.send(HEAD).await;
    let mut used = service.connect().await;
    used.send(WEBHOOK).await;
    used.taken().await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = service.connect().await;
        client.send(WEBHOOK).await;
        client.taken().await;
        clients.push(client);
    }
    slow.closed().await;
    used.closed().await;
}

#[tokio::test]
async fn a_stop_finishes_the_requests_under_way() {
    let mut service = Service::start(unsigned()).await;
    let mut idle = service.connect().await;
    idle.send(WEBHOOK).await;
    idle.taken().await;
    let mut under_way = half_sent(&service).await;
    service.stop.cancel();
    idle.closed().await;
    eventually(|| async { TcpStream::connect(service.address).await.is_err() }).await;
    assert!(under_way.is_unanswered());
    under_way.send("body").await;
    under_way.taken().await;
    under_way.closed().await;
    drop((idle, under_way));
    service.ended().await;
    assert_eq!(service.published().await.len(), 2);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever_for_half_a_request() {
    let limit = Duration::from_millis(300);
    let settings = IngressSettings { header_timeout: limit, body_timeout: limit, ..unsigned() };
    let mut service = Service::start(settings).await;
    let mut half_a_body = half_sent(&service).await;
    let mut half_a_head = service.connect().await;
    half_a_head.send(HEAD).await;
    service.stop.cancel();
    half_a_body.refused(408, "body.slow").await;
    half_a_head.closed().await;
    // Neither client hangs up by itself.
    service.ended().await;
}

#[tokio::test]
async fn when_patience_ends_so_do_the_connections() {
    let mut service = Service::start(unsigned()).await;
    let mut client = half_sent(&service).await;
    service.serving.shutdown().await;
    client.closed().await;
    assert!(TcpStream::connect(service.address).await.is_err());
}

#[tokio::test]
async fn many_senders_at_once_are_all_served() {
    let service = Service::start(unsigned()).await;
    let senders = (0..64).map(|_| taken(service.webhook()));
    let ids = futures_util::future::join_all(senders).await;
    let mut published: Vec<_> = service.published().await;
    assert_eq!(published.len(), 64);
    published.retain(|record| ids.contains(&record.envelope.message_id.to_string()));
    assert_eq!(published.len(), 64);
}
