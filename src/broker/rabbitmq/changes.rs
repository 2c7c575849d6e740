//! Changes of stock, published to whoever has bound a queue for them.
//!
//! Each is a CloudEvent in binary mode: its attributes are headers with the prefix `cloudEvents_`,
//! its data is the body. Where nothing is bound, nothing is kept: the feed has it all.

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use sha2::{Digest, Sha256};

use super::RabbitBroker;
use super::publisher::Message;
use crate::broker::BrokerError;
use crate::domain::identifier;

/// The longest part of a routing key, in bytes; the whole has 255 at most.
const PART_BYTES_MAX: usize = 100;
/// How many bytes of a longer part's hash end it, two digits each.
const HASH_BYTES: usize = 8;
/// What the headers of a CloudEvent begin with.
const ATTRIBUTE: &str = "cloudEvents_";
const PERSISTENT: u8 = 2;

/// A change that is published to whoever listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// What it is about, from the general to the special: the parts of the routing key.
    pub topic: Vec<String>,
    /// The attributes of the CloudEvent beside `specversion` and the data's type, by name.
    pub attributes: Vec<(&'static str, String)>,
    /// The data, in JSON.
    pub data: Bytes,
}

impl RabbitBroker {
    /// Publishes announcements in their order; returns once all of them would survive a crash.
    ///
    /// Dies before the answer, or fails: some may have been published; publishing all of them again
    /// is harmless to listeners that know an event by its id.
    pub async fn announce(&self, announcements: Vec<Announcement>) -> Result<(), BrokerError> {
        let shared = self.open()?;
        let exchange = shared.topology.exchange("changes");
        let message = |announcement| message(exchange.clone(), announcement);
        shared.publisher.publish_all(announcements.into_iter().map(message).collect()).await
    }
}

fn message(exchange: ShortString, announcement: Announcement) -> Message {
    let Announcement { topic, attributes, data } = announcement;
    let mut headers = FieldTable::default();
    for (name, value) in attributes.into_iter().chain([("specversion", "1.0".to_owned())]) {
        let value = AMQPValue::LongString(value.into());
        headers.insert(ShortString::from(format!("{ATTRIBUTE}{name}")), value);
    }
    let properties = BasicProperties::default()
        .with_content_type(ShortString::from("application/json"))
        .with_delivery_mode(PERSISTENT)
        .with_headers(headers);
    let parts: Vec<String> = topic.iter().map(|part| routing_part(part)).collect();
    Message { exchange, key: ShortString::from(parts.join(".")), properties, body: data }
}

/// A part of a routing key: what would end it or select many is encoded, and a long one is cut,
/// with a hash of the whole at its end.
fn routing_part(text: &str) -> String {
    let encoded = identifier::encode(text);
    if encoded.len() <= PART_BYTES_MAX {
        return encoded;
    }
    let hash = Sha256::digest(text.as_bytes());
    let hash = hash.iter().take(HASH_BYTES).fold(0_u64, |hash, byte| hash << 8 | u64::from(*byte));
    // All of it is ASCII.
    let kept: String = encoded.chars().take(PART_BYTES_MAX - 2 * HASH_BYTES - 1).collect();
    format!("{kept}-{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routing_keys_are_encoded_and_bounded() {
        assert_eq!(routing_part("my_site-1"), "my_site-1");
        assert_eq!(routing_part("product:a.b*#"), "product%3Aa%2Eb%2A%23");
        let long = |last: &str| routing_part(&format!("{}{last}", "\u{1f600}".repeat(60)));
        assert_eq!(long("a").len(), PART_BYTES_MAX);
        assert_ne!(long("a"), long("b"));
        assert!(["stock", &long("a"), &long("b")].join(".").len() <= 255);
    }

    #[test]
    fn attributes_are_headers() {
        let announcement = Announcement {
            topic: vec!["stock".into(), "shop".into(), "sku:A".into()],
            attributes: vec![("id", "e-1".into()), ("type", "storekeeper.stock.changed".into())],
            data: Bytes::from_static(b"{}"),
        };
        let message = message("changes".into(), announcement);
        assert_eq!(message.key.as_str(), "stock.shop.sku%3AA");
        let headers = message.properties.headers().as_ref().unwrap().inner();
        let names: Vec<&str> = headers.keys().map(ShortString::as_str).collect();
        assert_eq!(names, ["cloudEvents_id", "cloudEvents_specversion", "cloudEvents_type"]);
    }
}
