//! A client's stream that cannot stall, and that closes so that the client gets the last answer.
//!
//! - A client that reads nothing for too long while an answer waits for it is disconnected;
//!   otherwise a few clients that never read could occupy all connections for ever.
//! - If a connection is closed while the client still sends (a body that was refused), the kernel
//!   resets it and discards the answer. So the stream is half-closed first, and what the client
//!   still sends is read and dropped for a moment.
//! - Heads pass through [`super::lines`].

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::lines::Lines;

/// How many bytes are read and dropped at a time.
const DROPPED_BYTES_MAX: usize = 4096;

/// A stream to one client.
pub(super) struct Stream<T> {
    inner: T,
    lines: Lines,
    write_stall_max: Duration,
    linger: Duration,
    /// Runs while a write waits for the client to read.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Runs from the half-close on.
    lingering: Option<Pin<Box<Sleep>>>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream<T> {
    /// A stream with limits for stalled writes and for lingering.
    pub(super) fn new(inner: T, write_stall_max: Duration, linger: Duration) -> Self {
        let lines = Lines::default();
        Self { inner, lines, write_stall_max, linger, stalled: None, lingering: None }
    }

    /// Performs one step of writing; fails if the client has read nothing for too long.
    fn poll_unless_stalled<R>(
        &mut self,
        cx: &mut Context<'_>,
        step: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let polled = step(Pin::new(&mut self.inner), cx);
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(self.write_stall_max)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buffer);
        self.lines.pass(buffer.filled_mut().get_mut(before..).unwrap_or_default());
        polled
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_unless_stalled(cx, |inner, cx| inner.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_unless_stalled(cx, T::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.lingering.is_none() {
            ready!(this.poll_unless_stalled(cx, T::poll_shutdown))?;
        }
        let lingering = this.lingering.get_or_insert_with(|| Box::pin(sleep(this.linger)));
        loop {
            if lingering.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut dropped = [0; DROPPED_BYTES_MAX];
            let mut buffer = ReadBuf::new(&mut dropped);
            match ready!(Pin::new(&mut this.inner).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                // The client has read everything and closed, or is gone.
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<T> fmt::Debug for Stream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("lingering", &self.lingering.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn a_client_that_reads_nothing_loses_the_connection() {
        let (_client, server) = duplex(16);
        let mut stream = Stream::new(server, SHORT, LONG);
        let error = stream.write_all(&[b'x'; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_client_that_reads_slowly_keeps_the_connection() {
        let (mut client, server) = duplex(1);
        let mut stream = Stream::new(server, LONG, LONG);
        let writes = async { stream.write_all(&[b'x'; 64]).await };
        let reads = async {
            let mut read = [0; 64];
            client.read_exact(&mut read).await.map(|_| read)
        };
        let (written, read) = tokio::join!(writes, reads);
        written.unwrap();
        assert_eq!(read.unwrap(), [b'x'; 64]);
    }

    #[tokio::test]
    async fn the_end_waits_for_what_the_client_still_sends() {
        let (mut client, server) = duplex(16);
        let mut stream = Stream::new(server, LONG, LONG);
        let client = async {
            client.write_all(&[b'x'; 64]).await.unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            drop(client);
            answer
        };
        let server = async {
            stream.write_all(b"refused").await.unwrap();
            stream.shutdown().await.unwrap();
        };
        assert_eq!(tokio::join!(client, server).0, b"refused");
    }

    #[tokio::test]
    async fn the_end_does_not_wait_for_ever() {
        let (mut client, server) = duplex(16);
        let mut stream = Stream::new(server, LONG, SHORT);
        tokio::time::timeout(LONG, stream.shutdown()).await.unwrap().unwrap();
        // The client never closed its side.
        client.write_all(b"x").await.unwrap();
    }
}
