//! Divides a batch by the bytes of its bodies.
//!
//! What is made of a body takes more memory than the body: texts without their escapes, compressed
//! copies, commands for the Store. So no more is worked at a time than takes few bytes.

use crate::broker::Delivery;

/// What the bodies of a chunk take together, unless it is a single one.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// The deliveries in their order, in chunks.
pub(super) fn chunks(deliveries: Vec<Delivery>) -> Vec<Vec<Delivery>> {
    let mut chunks: Vec<Vec<Delivery>> = Vec::new();
    let mut bytes = usize::MAX;
    for delivery in deliveries {
        let length = delivery.envelope.body.len();
        bytes = bytes.saturating_add(length);
        if let Some(chunk) = chunks.last_mut()
            && bytes <= BYTES_MAX
        {
            chunk.push(delivery);
        } else {
            bytes = length;
            chunks.push(vec![delivery]);
        }
    }
    chunks
}
