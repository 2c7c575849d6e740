//! Reading a body within its limits.
//!
//! What is counted is the memory that is allocated for a body, and for as long as it is: a buffer
//! grows in steps that are paid for first, and never beyond what the body can need.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What every body may hold, in bytes; only what is larger needs a share of the memory that all have
/// together.
const OWN_BYTES: usize = 64 * 1024;
/// The first buffer of a body whose length was not announced.
const FIRST_BYTES: usize = 4 * 1024;

/// What a body may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyLimits {
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
    /// There is no memory left in which it could be read.
    #[error("too many large bodies are being read; send it again")]
    Crowded,
    /// There is none.
    #[error("the body is empty")]
    Empty,
    /// It ended before its end, or its framing is not HTTP.
    #[error("the body is not valid HTTP")]
    Broken,
}

/// Refuses a body whose announced length is too large, before any of it is read.
pub(super) fn check_announced(body: &Body, limits: BodyLimits) -> Result<(), BodyError> {
    let announced = usize::try_from(body.size_hint().lower());
    let fits = announced.is_ok_and(|bytes| bytes <= limits.bytes_max);
    if fits { Ok(()) } else { Err(BodyError::TooLarge { bytes_max: limits.bytes_max }) }
}

/// Reads a body to its end, byte for byte; returns also its share of `room`, to be kept as long as
/// the body is.
///
/// `room` has a permit for each byte that bodies may hold beyond [`OWN_BYTES`]. What has arrived
/// decides and not what was announced: a client that is silent takes nothing from others.
pub(super) async fn read(
    body: Body,
    limits: BodyLimits,
    room: &Arc<Semaphore>,
) -> Result<(Bytes, Share), BodyError> {
    let read = tokio::time::timeout(limits.timeout, read_to_end(body, limits.bytes_max, room));
    read.await.map_err(|_| BodyError::Slow)?
}

async fn read_to_end(
    mut body: Body,
    bytes_max: usize,
    room: &Arc<Semaphore>,
) -> Result<(Bytes, Share), BodyError> {
    let mut share = Share { taken: None };
    let announced = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    // One buffer and not the list of what came: a body sent a byte a chunk would make that list
    // many times larger than the limit. It is made once something has come.
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else {
            // Trailers say nothing that is needed.
            continue;
        };
        if data.len() > bytes_max - read.len() {
            return Err(BodyError::TooLarge { bytes_max });
        }
        let length = read.len() + data.len();
        if length > read.capacity() {
            let wanted = match announced {
                Some(announced) => announced.min(OWN_BYTES.max(2 * read.capacity())),
                None => bytes_max.min(FIRST_BYTES.max(2 * read.capacity())),
            };
            let capacity = length.max(wanted);
            share.grow_to(capacity, room)?;
            read.reserve_exact(capacity - read.len());
        }
        read.extend_from_slice(&data);
    }
    if read.is_empty() { Err(BodyError::Empty) } else { Ok((read.into(), share)) }
}

/// What one body has of the memory that all share.
#[derive(Debug)]
pub(super) struct Share {
    taken: Option<OwnedSemaphorePermit>,
}

impl Share {
    /// Takes what a buffer of so many bytes needs.
    fn grow_to(&mut self, bytes: usize, room: &Arc<Semaphore>) -> Result<(), BodyError> {
        let taken = self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = bytes.saturating_sub(OWN_BYTES + taken);
        if wanted == 0 {
            return Ok(());
        }
        let wanted = u32::try_from(wanted).map_err(|_| BodyError::Crowded)?;
        // Not waited for: what is held while waiting would keep others from finishing.
        let more = Arc::clone(room).try_acquire_many_owned(wanted);
        let more = more.map_err(|_| BodyError::Crowded)?;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::{StreamExt, stream};

    use super::*;

    const LIMITS: BodyLimits = BodyLimits { bytes_max: 8, timeout: Duration::from_mins(1) };

    async fn read(body: Body, limits: BodyLimits) -> Result<Bytes, BodyError> {
        super::read(body, limits, &Arc::new(Semaphore::new(0))).await.map(|(body, _)| body)
    }

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
        let limits = BodyLimits { timeout: Duration::from_millis(10), ..LIMITS };
        let stops = stream::iter([Ok::<_, std::io::Error>("1")]).chain(stream::pending());
        assert_eq!(read(Body::from_stream(stops), limits).await, Err(BodyError::Slow));
    }

    #[tokio::test]
    async fn large_bodies_share_their_memory_and_others_need_none_of_it() {
        let limits = BodyLimits { bytes_max: OWN_BYTES + 8, ..LIMITS };
        let of = |beyond: usize| vec![b'x'; OWN_BYTES + beyond];
        let room = Arc::new(Semaphore::new(11));
        let read = |body: Body| super::read(body, limits, &room);
        // Its length is not known, so its buffer grows to what it may be.
        let stops = stream::iter([Ok::<_, std::io::Error>(of(0)), Ok(vec![b'x'; 1])]);
        let mut held = Box::pin(read(Body::from_stream(stops.chain(stream::pending()))));
        let silent = stream::pending::<Result<Bytes, std::io::Error>>();
        let mut silent = pin!(read(Body::from_stream(silent)));
        let at_once = Duration::ZERO;
        assert!(tokio::time::timeout(at_once, held.as_mut()).await.is_err());
        assert!(tokio::time::timeout(at_once, silent.as_mut()).await.is_err());
        assert_eq!(room.available_permits(), 3);
        assert_eq!(read(Body::from(of(4))).await.unwrap_err(), BodyError::Crowded);
        assert_eq!(room.available_permits(), 3);
        let (body, share) = read(Body::from(of(3))).await.unwrap();
        // What was read holds its share until it is let go.
        assert_eq!((body.len(), room.available_permits()), (OWN_BYTES + 3, 0));
        assert_eq!(read(Body::from(of(1))).await.unwrap_err(), BodyError::Crowded);
        assert_eq!(read(Body::from(of(0))).await.unwrap().0.len(), OWN_BYTES);
        drop(share);
        // A client that hangs up gives its share back.
        drop(held);
        assert_eq!(room.available_permits(), 11);
    }
}
