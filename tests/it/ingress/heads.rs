//! What the head of a request may be, to the byte.

use super::harness::{DEADLINE, Service, unsigned};
use crate::harness::eventually_or_told;

const START: &str = "POST /webhooks/duda HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n";
/// The most bytes that request line and headers may have, with the empty line at their end.
const BYTES_MAX: usize = 16 * 1024;
/// The most headers.
const HEADERS_MAX: usize = 64;

/// A webhook whose head has so many bytes.
fn of_bytes(bytes: usize) -> String {
    let rest = START.len() + "a: \r\n\r\n".len();
    format!("{START}a: {}\r\n\r\nx", "x".repeat(bytes - rest))
}

/// A webhook with so many headers.
fn of_headers(headers: usize) -> String {
    format!("{START}{}\r\nx", "a: b\r\n".repeat(headers - 2))
}

/// Waits until so many requests were counted as invalid: some are when their connection has ended.
async fn invalid(service: &Service, expected: u64) {
    eventually_or_told(DEADLINE, "they are counted", async || {
        let counted = service.count("request.invalid");
        if counted == expected { Ok(()) } else { Err(counted) }
    })
    .await;
}

#[tokio::test]
async fn a_head_is_limited_to_the_byte_and_to_the_header() {
    let service = Service::start(unsigned()).await;
    for (fits, does_not) in [
        (of_bytes(BYTES_MAX), of_bytes(BYTES_MAX + 1)),
        (of_headers(HEADERS_MAX), of_headers(HEADERS_MAX + 1)),
    ] {
        // Sent at once and in pieces, alone and behind another request.
        for piece in [usize::MAX, 8000] {
            let mut client = service.connect().await;
            for _ in 0..2 {
                for piece in fits.as_bytes().chunks(piece) {
                    client.send(piece).await;
                    tokio::task::yield_now().await;
                }
                client.taken().await;
            }
            for piece in does_not.as_bytes().chunks(piece) {
                // What is refused early is not read to its end.
                drop(client.try_send(piece).await);
                tokio::task::yield_now().await;
            }
            client.refused_bare(431).await;
            client.closed().await;
        }
    }
    assert_eq!(service.count("ok"), 8);
    invalid(&service, 4).await;
}

#[tokio::test]
async fn a_bare_line_feed_ends_no_line_of_a_head() {
    let service = Service::start(unsigned()).await;
    let fine = format!("{START}\r\n\n");
    let chunked = "POST /webhooks/duda HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\
                   \r\n2\r\n\n\n\r\n0\r\n\r\n";
    let mut refused = 0;
    for before in ["", &fine, chunked] {
        for broken in [
            START.replacen("HTTP/1.1\r\n", "HTTP/1.1\n", 1) + "\r\nx",
            format!("{START}a: b\nc: d\r\n\r\nx"),
            format!("{START}a: b\n\r\nx"),
            format!("{START}\nx"),
        ] {
            // As one piece, so that it is read behind what comes before.
            let mut client = service.connect().await;
            client.send(format!("{before}{broken}")).await;
            if !before.is_empty() {
                client.taken().await;
            }
            client.refused_bare(400).await;
            client.closed().await;
            refused += 1;
        }
    }
    invalid(&service, refused).await;
    let published = service.published().await;
    let bodies: Vec<_> = published.iter().map(|record| &record.envelope.body[..]).collect();
    assert_eq!(bodies, [[&b"\n"[..]; 4], [&b"\n\n"[..]; 4]].concat());
}

#[tokio::test]
async fn a_request_names_one_host() {
    let service = Service::start(unsigned()).await;
    let head = "POST /webhooks/duda HTTP/1.1\r\ncontent-length: 1\r\n";
    for hosts in ["", "host: localhost\r\nhost: localhost\r\n"] {
        let mut client = service.connect().await;
        client.send(format!("{head}{hosts}\r\nx")).await;
        client.refused(400, "request.invalid").await;
        client.closed().await;
    }
    invalid(&service, 2).await;
    assert_eq!(service.published().await.len(), 0);
}
