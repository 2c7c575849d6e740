//! A webhook's place among those on their way to the queue.
//!
//! A call of the broker that was given up may leave its body queued for the broker's writer: the
//! place is taken for as long as there is a body, and not for as long as there is a call. So is its
//! share of the memory of large bodies.

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::body::Share;

/// A body and what it has taken.
struct InFlight {
    body: Bytes,
    _permit: OwnedSemaphorePermit,
    _share: Share,
}

impl AsRef<[u8]> for InFlight {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

/// The same body, which gives place and share back when the last handle to it is gone.
pub(super) fn keep_place(body: Bytes, permit: OwnedSemaphorePermit, share: Share) -> Bytes {
    Bytes::from_owner(InFlight { body, _permit: permit, _share: share })
}
