//! A webhook's place among those on their way to the queue.
//!
//! A call of the broker that was given up may leave its body queued for the broker's writer: the
//! place is taken for as long as there is a body, and not for as long as there is a call.

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

/// A body and the permit that goes with it.
struct InFlight {
    body: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for InFlight {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

/// The same body, which gives its place back when the last handle to it is gone.
pub(super) fn keep_place(body: Bytes, permit: OwnedSemaphorePermit) -> Bytes {
    Bytes::from_owner(InFlight { body, _permit: permit })
}
