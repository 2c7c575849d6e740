//! Clients that cost little: one thread, raw sockets, and requests that were written beforehand.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::Instant;

use crate::corpus::Corpus;

/// How requests are sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) connections: usize,
    /// Requests a second; without it, each connection sends as soon as it has an answer.
    pub(crate) rate: Option<u32>,
}

/// How requests were answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered {
    pub(crate) took: Duration,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

struct Work {
    corpus: Arc<Corpus>,
    next: Cell<usize>,
    places: Range<usize>,
    rate: Option<u32>,
    began: Instant,
    latencies: RefCell<Vec<Duration>>,
}

/// Sends these requests of a corpus; each must be answered 200.
///
/// At a rate, a request is timed from the moment when it was due, if no connection was free then.
pub(crate) async fn post(
    to: SocketAddr,
    corpus: &Arc<Corpus>,
    places: Range<usize>,
    pace: Pace,
) -> Answered {
    let corpus = Arc::clone(corpus);
    let post = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, post_all(to, corpus, places, pace))
    };
    tokio::task::spawn_blocking(post).await.unwrap()
}

async fn post_all(
    to: SocketAddr,
    corpus: Arc<Corpus>,
    places: Range<usize>,
    pace: Pace,
) -> Answered {
    let mut sockets = Vec::new();
    for _ in 0..pace.connections {
        let socket = TcpStream::connect(to).await.unwrap();
        socket.set_nodelay(true).unwrap();
        sockets.push(socket);
    }
    let (next, latencies) = (Cell::new(places.start), RefCell::default());
    let began = Instant::now();
    let work = Rc::new(Work { corpus, next, places, rate: pace.rate, began, latencies });
    let clients: Vec<_> =
        sockets.into_iter().map(|socket| spawn_local(send(socket, Rc::clone(&work)))).collect();
    for client in clients {
        client.await.unwrap();
    }
    let took = began.elapsed();
    let mut latencies = work.latencies.take();
    latencies.sort_unstable();
    let of_hundred = |part| latencies[(latencies.len() - 1) * part / 100];
    Answered { took, p50: of_hundred(50), p99: of_hundred(99) }
}

/// One connection.
async fn send(mut socket: TcpStream, work: Rc<Work>) {
    let mut answer = Vec::with_capacity(1024);
    loop {
        let place = work.next.get();
        if place >= work.places.end {
            return;
        }
        work.next.set(place + 1);
        let mut began = Instant::now();
        if let Some(rate) = work.rate {
            let turn = u32::try_from(place - work.places.start).unwrap();
            let due = work.began + Duration::from_secs(1) * turn / rate;
            if due > began {
                tokio::time::sleep_until(due).await;
                // That the timer is late is not the server's doing.
                began = Instant::now();
            } else {
                began = due;
            }
        }
        socket.write_all(work.corpus.request(place)).await.unwrap();
        read(&mut socket, &mut answer).await;
        work.latencies.borrow_mut().push(began.elapsed());
    }
}

/// Reads one answer, and makes sure that it is 200; gives where its body begins.
async fn read(socket: &mut TcpStream, answer: &mut Vec<u8>) -> usize {
    answer.clear();
    loop {
        let count = socket.read_buf(answer).await.unwrap();
        let text = String::from_utf8_lossy(answer);
        assert!(count > 0 && text.starts_with("HTTP/1.1 200"), "no answer 200: {text}");
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim())
        });
        if body.len() >= length.unwrap().parse::<usize>().unwrap() {
            return head.len() + 4;
        }
    }
}

/// Reads what an address answers.
pub(crate) async fn ask(from: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(from).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let body = read(&mut socket, &mut answer).await;
    String::from_utf8(answer.split_off(body)).unwrap()
}
