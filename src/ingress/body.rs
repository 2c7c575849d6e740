//! Reading a body within its limits.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

/// What a body may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The largest body, in bytes.
    pub(super) bytes_max: usize,
    /// From the head of the request to the end of its body.
    pub(super) timeout: Duration,
}

/// Why a body was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyError {
    /// It is larger than allowed.
    #[error("the body is larger than {bytes_max} bytes")]
    TooLarge {
        /// What is allowed.
        bytes_max: usize,
    },
    /// It did not arrive in time.
    #[error("the body did not arrive in time")]
    Slow,
    /// There is none.
    #[error("the body is empty")]
    Empty,
    /// It ended before its end, or its framing is not HTTP.
    #[error("the body is not valid HTTP")]
    Broken,
}

/// Refuses a body that says of itself that it is too large, before any of it is read.
pub(super) fn check_announced(body: &Body, limits: Limits) -> Result<(), BodyError> {
    let announced = usize::try_from(body.size_hint().lower());
    let fits = announced.is_ok_and(|bytes| bytes <= limits.bytes_max);
    if fits { Ok(()) } else { Err(BodyError::TooLarge { bytes_max: limits.bytes_max }) }
}

/// Reads a body to its end, byte for byte.
pub(super) async fn read(body: Body, limits: Limits) -> Result<Bytes, BodyError> {
    let read = tokio::time::timeout(limits.timeout, read_to_end(body, limits.bytes_max));
    read.await.map_err(|_| BodyError::Slow)?
}

async fn read_to_end(mut body: Body, bytes_max: usize) -> Result<Bytes, BodyError> {
    // One buffer and not the list of what came: a body sent a byte a chunk would make that list
    // many times larger than the limit.
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else {
            // Trailers say nothing that is needed.
            continue;
        };
        if data.len() > bytes_max - read.len() {
            return Err(BodyError::TooLarge { bytes_max });
        }
        read.extend_from_slice(&data);
    }
    if read.is_empty() { Err(BodyError::Empty) } else { Ok(read.freeze()) }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};

    use super::*;

    const LIMITS: Limits = Limits { bytes_max: 8, timeout: Duration::from_mins(1) };

    fn chunks(chunks: &[&'static str]) -> Body {
        let chunks: Vec<_> = chunks.iter().map(|chunk| Ok::<_, std::io::Error>(*chunk)).collect();
        Body::from_stream(stream::iter(chunks))
    }

    #[tokio::test]
    async fn chunks_become_one_body() {
        assert_eq!(read(chunks(&["ab", "", "c\n"]), LIMITS).await.unwrap(), "abc\n");
    }

    #[tokio::test]
    async fn the_limit_is_inclusive() {
        assert_eq!(read(chunks(&["1234", "5678"]), LIMITS).await.unwrap().len(), 8);
        let too_large = Err(BodyError::TooLarge { bytes_max: 8 });
        assert_eq!(read(chunks(&["1234", "56789"]), LIMITS).await, too_large);
        assert_eq!(check_announced(&Body::from("12345678"), LIMITS), Ok(()));
        assert_eq!(check_announced(&Body::from("123456789"), LIMITS), too_large.map(|_| ()));
    }

    #[tokio::test]
    async fn a_body_of_nothing_is_empty() {
        assert_eq!(read(Body::empty(), LIMITS).await, Err(BodyError::Empty));
        assert_eq!(read(chunks(&["", ""]), LIMITS).await, Err(BodyError::Empty));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_not_taken() {
        let broken = stream::iter([Ok("1"), Err(std::io::Error::other("gone"))]);
        assert_eq!(read(Body::from_stream(broken), LIMITS).await, Err(BodyError::Broken));
    }

    #[tokio::test]
    async fn a_body_that_stops_is_slow() {
        let limits = Limits { timeout: Duration::from_millis(10), ..LIMITS };
        let stops = stream::iter([Ok::<_, std::io::Error>("1")]).chain(stream::pending());
        assert_eq!(read(Body::from_stream(stops), limits).await, Err(BodyError::Slow));
    }
}
