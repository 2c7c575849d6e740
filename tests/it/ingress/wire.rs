//! What clients can do to the protocol.

use std::time::Duration;

use storekeeper::clock;
use storekeeper::config::IngressSettings;

use super::harness::{DEADLINE, Service, unsigned};

const HEAD: &str = "POST /webhooks/duda HTTP/1.1\r\nhost: localhost\r\n";

fn webhook(body: &str) -> String {
    format!("{HEAD}content-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn requests_on_one_connection_are_answered_in_order() {
    let service = Service::start(unsigned()).await;
    let mut client = service.connect().await;
    // Sent as one piece, with a refusal in the middle.
    client.send([webhook("first"), webhook(""), webhook("third")].concat()).await;
    client.taken().await;
    client.refused(400, "request.invalid").await;
    client.taken().await;
    client.send(webhook("fourth")).await;
    client.taken().await;
    let published = service.published().await;
    let bodies: Vec<_> = published.iter().map(|record| &record.envelope.body[..]).collect();
    assert_eq!(bodies, [&b"first"[..], b"third", b"fourth"]);
}

#[tokio::test]
async fn a_body_in_chunks_is_one_body() {
    let service = Service::start(unsigned()).await;
    let mut client = service.connect().await;
    client.send(format!("{HEAD}transfer-encoding: chunked\r\n\r\n3\r\nab")).await;
    client.send("c\r\n2;extension\r\nde\r\n0\r\ntrailer: x\r\n\r\n").await;
    client.taken().await;
    assert_eq!(service.published().await[0].envelope.body, b"abcde"[..]);
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on() {
    let service = Service::start(unsigned()).await;
    let mut client = service.connect().await;
    client.send(format!("{HEAD}expect: 100-continue\r\ncontent-length: 4\r\n\r\n")).await;
    assert_eq!(client.head().await.status, 100);
    let sent_at = clock::now();
    client.send("body").await;
    client.taken().await;
    // A webhook is received when its body is, not when it was announced.
    assert!(service.published().await[0].envelope.received_at >= sent_at);
    client.send(webhook("next")).await;
    client.taken().await;
}

#[tokio::test]
async fn a_client_that_asks_first_is_refused_before_it_sends() {
    let service = Service::start(unsigned()).await;
    let mut client = service.connect().await;
    client.send(format!("{HEAD}expect: 100-continue\r\ncontent-length: 1025\r\n\r\n")).await;
    client.refused(413, "body.too_large").await;
}

#[tokio::test]
async fn a_client_that_sends_too_much_reads_why_it_was_refused() {
    let service = Service::start(unsigned()).await;
    // More than the buffers between the two hold, sent before anything is read.
    let mebibyte = vec![b'x'; 1 << 20];
    let length = 8 * mebibyte.len();
    for framing in [
        format!("content-length: {length}\r\n\r\n"),
        format!("transfer-encoding: chunked\r\n\r\n{length:x}\r\n"),
    ] {
        let mut client = service.connect().await;
        client.send(format!("{HEAD}{framing}")).await;
        for _ in 0..8 {
            client.send(&mebibyte).await;
        }
        client.refused(413, "body.too_large").await;
        client.closed().await;
    }
    assert_eq!(service.published().await.len(), 0);
}

#[tokio::test]
async fn a_chunked_body_is_refused_when_it_grows_too_large() {
    let service = Service::start(unsigned()).await;
    let mut client = service.connect().await;
    client.send(format!("{HEAD}transfer-encoding: chunked\r\n\r\n")).await;
    let chunk = format!("80\r\n{}\r\n", "x".repeat(0x80));
    client.send(chunk.repeat(8)).await;
    client.send("1\r\nx\r\n").await;
    client.refused(413, "body.too_large").await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_slow() {
    let body_timeout = Duration::from_millis(200);
    let service = Service::start(IngressSettings { body_timeout, ..unsigned() }).await;
    let mut client = service.connect().await;
    client.send(format!("{HEAD}content-length: 4\r\n\r\nbod")).await;
    client.refused(408, "body.slow").await;
    client.closed().await;
    assert_eq!(service.published().await.len(), 0);
    assert_eq!(service.count("body.slow"), 1);
}

#[tokio::test]
async fn headers_that_do_not_come_end_the_connection() {
    let header_timeout = Duration::from_millis(200);
    let service = Service::start(IngressSettings { header_timeout, ..unsigned() }).await;
    let mut silent = service.connect().await;
    let mut slow = service.connect().await;
    slow.send(HEAD).await;
    let mut idle = service.connect().await;
    idle.send(webhook("body")).await;
    idle.taken().await;
    silent.closed().await;
    slow.closed().await;
    idle.closed().await;
}

#[tokio::test]
async fn a_drip_of_headers_does_not_extend_their_time() {
    let header_timeout = Duration::from_millis(200);
    let service = Service::start(IngressSettings { header_timeout, ..unsigned() }).await;
    let mut client = service.connect().await;
    client.send(HEAD).await;
    let drip = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while client.try_send("a: b\r\n").await.is_ok() {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(DEADLINE, drip).await.expect("the connection is still open");
}

#[tokio::test]
async fn a_flood_of_headers_is_refused() {
    let service = Service::start(unsigned()).await;
    let many = "header: x\r\n".repeat(65);
    let large = format!("header: {}\r\n", "x".repeat(64 * 1024));
    for flood in [many, large] {
        let mut client = service.connect().await;
        client.send(format!("{HEAD}{flood}content-length: 1\r\n\r\nx")).await;
        client.refused_bare(431).await;
        client.closed().await;
    }
    let fine = "header: x\r\n".repeat(60);
    let mut client = service.connect().await;
    client.send(format!("{HEAD}{fine}content-length: 1\r\n\r\nx")).await;
    client.taken().await;
}

#[tokio::test]
async fn broken_http_is_refused() {
    let service = Service::start(unsigned()).await;
    let broken_heads = [
        "hello\r\n\r\n".to_owned(),
        "POST /webhooks/duda\r\n\r\n".to_owned(),
        "POST /webhooks/duda HTTP/9.9\r\n\r\n".to_owned(),
        format!("{HEAD}no colon\r\n\r\n"),
        format!("{HEAD}content-length: one\r\n\r\nx"),
        format!("{HEAD}content-length: -1\r\n\r\nx"),
        format!("{HEAD}content-length: 1\r\ncontent-length: 2\r\n\r\nxx"),
        format!("{HEAD}transfer-encoding: gzip\r\n\r\nx"),
        "\0\0\0\0\r\n\r\n".to_owned(),
    ];
    for broken in broken_heads {
        let mut client = service.connect().await;
        client.send(webhook("fine")).await;
        client.taken().await;
        client.send(&broken).await;
        client.refused_bare(400).await;
        client.closed().await;
    }
    let mut client = service.connect().await;
    client.send(format!("{HEAD}transfer-encoding: chunked\r\n\r\nxyz\r\nabc\r\n")).await;
    client.refused(400, "request.invalid").await;
    client.closed().await;
    let published = service.published().await;
    assert!(published.iter().all(|record| record.envelope.body == b"fine"[..]));
}

#[tokio::test]
async fn odd_requests_are_answered() {
    let service = Service::start(unsigned()).await;
    for (request, status, code) in [
        ("OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n", 404, "route.unknown"),
        ("CONNECT localhost:443 HTTP/1.1\r\nhost: localhost\r\n\r\n", 404, "route.unknown"),
        (
            "GET http://localhost/webhooks/duda HTTP/1.1\r\nhost: localhost\r\n\r\n",
            405,
            "request.method",
        ),
        (
            "post /webhooks/duda HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\nx",
            405,
            "request.method",
        ),
    ] {
        let mut client = service.connect().await;
        client.send(request).await;
        client.refused(status, code).await;
    }
    let mut old = service.connect().await;
    old.send("POST /webhooks/duda HTTP/1.0\r\nhost: localhost\r\ncontent-length: 1\r\n\r\nx").await;
    old.taken().await;
    old.closed().await;
}
