//! HTTP by hand: what no well-behaved client sends.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::harness::{DEADLINE, Head, check_problem};

/// A connection on which bytes are written and answers are read.
pub(super) struct Raw {
    stream: TcpStream,
    /// What was read and belongs to no answer yet.
    read: Vec<u8>,
}

impl Raw {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let stream = timeout(DEADLINE, TcpStream::connect(address)).await.unwrap().unwrap();
        Self { stream, read: Vec::new() }
    }

    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.unwrap();
    }

    /// Sends what the service may refuse to read.
    pub(super) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        timeout(DEADLINE, self.stream.write_all(bytes.as_ref())).await.unwrap()
    }

    /// Reads the head of an answer.
    pub(super) async fn head(&mut self) -> Head {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|part| part == b"\r\n\r\n") {
                break end;
            }
            assert!(self.read_more().await.unwrap() > 0, "closed before an answer");
        };
        let rest = self.read.split_off(end + 4);
        let head = String::from_utf8(std::mem::replace(&mut self.read, rest)).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        Head {
            status: status.parse().unwrap(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }

    /// Reads an answer.
    pub(super) async fn answer(&mut self) -> (Head, Vec<u8>) {
        let head = self.head().await;
        let length: usize = head.get("content-length").map_or(0, |length| length.parse().unwrap());
        while self.read.len() < length {
            assert!(self.read_more().await.unwrap() > 0, "closed within an answer");
        }
        let rest = self.read.split_off(length);
        (head, std::mem::replace(&mut self.read, rest))
    }

    /// Reads an answer that shall be a problem.
    pub(super) async fn refused(&mut self, status: u16, code: &str) {
        let (head, body) = self.answer().await;
        check_problem(&head, &body, status, code);
    }

    /// Reads an answer that shall be a bare status: the request was not valid HTTP.
    pub(super) async fn refused_bare(&mut self, status: u16) {
        let (head, body) = self.answer().await;
        assert_eq!((head.status, head.get("connection")), (status, Some("close")), "{head:?}");
        assert_eq!((head.get("content-length"), body.len()), (Some("0"), 0), "{head:?}");
        assert_eq!(head.get("server"), None);
    }

    /// Reads an answer that shall be 200.
    pub(super) async fn taken(&mut self) {
        let (head, body) = self.answer().await;
        assert_eq!(head.status, 200, "{}", String::from_utf8_lossy(&body));
    }

    /// Waits until the service has closed the connection without another answer.
    pub(super) async fn closed(&mut self) {
        match self.read_more().await {
            Ok(0) => assert_eq!(String::from_utf8_lossy(&self.read), ""),
            Ok(_) => {
                panic!("an answer instead of the end: {}", String::from_utf8_lossy(&self.read))
            }
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
    }

    /// Whether nothing has been answered so far.
    pub(super) fn is_unanswered(&self) -> bool {
        let read = self.stream.try_read(&mut [0]);
        self.read.is_empty() && read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    async fn read_more(&mut self) -> io::Result<usize> {
        let read = timeout(DEADLINE, self.stream.read_buf(&mut self.read)).await;
        read.expect("the service neither answered nor closed")
    }
}
