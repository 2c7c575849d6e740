//! Bodies as they are stored: compressed, as webhooks are repetitive text.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use crate::domain::dead_letter::{Body, BodyDigest};
use crate::domain::{Fingerprint, MessageId};
use crate::store::StoreError;

/// Compresses a body.
pub(super) fn pack(body: &[u8]) -> Body {
    let mut stored = ZlibEncoder::new(Vec::new(), Compression::fast());
    stored.write_all(body).expect("memory takes every byte");
    let stored = stored.finish().expect("memory takes every byte");
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let (bytes, fingerprint) = (length(body), Fingerprint::of(body));
    let digest = BodyDigest { fingerprint, bytes, stored: length(&stored) };
    Body { digest, stored: stored.into() }
}

/// Decompresses a body that must match its digest in the state; never reads more than its length.
pub(super) fn unpack(
    id: MessageId,
    digest: &BodyDigest,
    stored: &[u8],
) -> Result<Bytes, StoreError> {
    let mut body = Vec::new();
    let read = ZlibDecoder::new(stored).take(u64::from(digest.bytes) + 1).read_to_end(&mut body);
    let is_complete = u32::try_from(body.len()) == Ok(digest.bytes);
    if read.is_err() || !is_complete || Fingerprint::of(&body) != digest.fingerprint {
        let detail = format!("a body of the dead letter {id} cannot be read; restore a backup");
        return Err(StoreError::Corrupt { detail });
    }
    Ok(body.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: MessageId = MessageId(uuid::Uuid::nil());

    #[test]
    fn a_body_is_read_back_byte_for_byte_and_takes_less() {
        for body in [&b""[..], b"\xff\0\xc3", &b"{\"event_type\": 1}".repeat(100)] {
            let packed = pack(body);
            assert_eq!(unpack(ID, &packed.digest, &packed.stored).unwrap(), body);
            assert!(packed.stored.len() < body.len().max(20));
        }
    }

    #[test]
    fn a_body_that_is_another_is_refused_before_it_fills_the_memory() {
        let packed = pack(&vec![b' '; 1 << 24]);
        let digest = BodyDigest { bytes: 7, ..packed.digest };
        assert!(
            unpack(ID, &digest, &packed.stored).unwrap_err().to_string().contains("dead letter")
        );
        assert!(unpack(ID, &packed.digest, &packed.stored[1..]).is_err());
        assert!(unpack(ID, &packed.digest, &pack(b"other").stored).is_err());
    }
}
