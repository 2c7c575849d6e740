//! Envelopes as AMQP messages, and back.
//!
//! Headers are written anew for every message: what RabbitMQ adds to them (`x-death` and its kin)
//! would come back to it, and before release 4 it drops what it takes for a cycle. Of a message
//! that cannot be read they are copied, without these. Read defensively: RabbitMQ writes numbers as
//! whatever integer it likes.
//!
//! The source, the attempt and the number of replays are left out where they are what most messages
//! have: a stream encodes each header of each message. A source that is there and cannot be read is no
//! default: a webhook must not become that of another source.
//!
//! # Invariants
//! - The headers of a message stay under [`HEADERS_BYTES_MAX`], or [`FOREIGN_BYTES_MAX`]: RabbitMQ
//!   ends the connection over a table that does not fit a frame.

use std::sync::Arc;

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};
use uuid::Uuid;

use super::arguments::text;
use super::topology::{DEAD_KEY, UNROUTED, WORK_KEY};
use crate::broker::{DeadReason, Envelope, EnvelopeKind};
use crate::domain::{Code, DEFAULT_SOURCE, MessageId, Rejection, Timestamp};

/// The headers together, in bytes.
const HEADERS_BYTES_MAX: usize = 32 * 1024;
/// What the reason of a dead letter may take of them; a longer detail is cut off.
const REJECTION_BYTES_MAX: usize = 16 * 1024;
/// What each text that came with the request may take of them; a longer one is left out.
const TEXT_BYTES_MAX: usize = 4 * 1024;
const _: () = assert!(REJECTION_BYTES_MAX + 3 * TEXT_BYTES_MAX <= HEADERS_BYTES_MAX);
/// What is kept of the headers of a message that is not ours, in bytes: half of what fits a frame.
const FOREIGN_BYTES_MAX: usize = 64 * 1024;
/// The `app_id` of what we publish.
const APP_ID: &str = "storekeeper";
/// The `type` of a message that only marks the end of the journal.
const MARKER: &str = "storekeeper.marker";

/// The number of an envelope's first attempt.
const FIRST_ATTEMPT: u32 = 1;

const RECEIVED_AT: &str = "x-received-at-us";
const SOURCE: &str = "x-source";
const ATTEMPT: &str = "x-attempt";
const FAILING_SINCE: &str = "x-failing-since-us";
const REPLAYS: &str = "x-replays";
const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
const REJECTION: &str = "x-rejection";
const FAILED_AT: &str = "x-failed-at-us";
const ATTEMPTS: &str = "x-attempts";
/// How often it was delivered before it was published anew: RabbitMQ counts from there.
const DELIVERIES: &str = "x-deliveries";

/// A message that was read.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) envelope: Arc<Envelope>,
    pub(super) attempt: u32,
    pub(super) failing_since: Option<Timestamp>,
    pub(super) delivery_count: u32,
    pub(super) dead: Option<DeadReason>,
}

/// Why a message could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// Somebody else has put it there.
    #[error("a message that is not ours")]
    Foreign,
    /// A newer release of ours, perhaps.
    #[error("{0} is missing or unknown; run the release that wrote it")]
    Unknown(&'static str),
}

/// The properties of an envelope's message.
pub(super) fn properties(
    envelope: &Envelope,
    attempt: u32,
    failing_since: Option<Timestamp>,
    dead: Option<&DeadReason>,
) -> BasicProperties {
    let mut headers = FieldTable::default();
    let mut put = |name: &'static str, value: AMQPValue| {
        headers.insert(name.into(), value);
    };
    put(RECEIVED_AT, AMQPValue::LongLongInt(envelope.received_at.micros()));
    if envelope.source != DEFAULT_SOURCE {
        put(SOURCE, text(&envelope.source));
    }
    if attempt != FIRST_ATTEMPT {
        put(ATTEMPT, AMQPValue::LongLongInt(attempt.into()));
    }
    if envelope.replays != 0 {
        put(REPLAYS, AMQPValue::LongLongInt(envelope.replays.into()));
    }
    if let Some(failing_since) = failing_since {
        put(FAILING_SINCE, AMQPValue::LongLongInt(failing_since.micros()));
    }
    for (name, value) in [(TRACEPARENT, &envelope.traceparent), (TRACESTATE, &envelope.tracestate)]
    {
        if let Some(value) = value.as_ref().filter(|value| value.len() <= TEXT_BYTES_MAX) {
            put(name, text(value));
        }
    }
    if let Some(DeadReason { rejection, failed_at, attempts }) = dead {
        put(REJECTION, text(&reason(rejection)));
        put(FAILED_AT, AMQPValue::LongLongInt(failed_at.micros()));
        put(ATTEMPTS, AMQPValue::LongLongInt((*attempts).into()));
    }
    let seconds = envelope.received_at.micros().div_euclid(1_000_000);
    base(&envelope.message_id.0, envelope.kind.as_str())
        .with_timestamp(u64::try_from(seconds).unwrap_or(0))
        .with_headers(headers)
}

/// The properties with which a delivery that nobody settled is published anew, as what it was.
pub(super) fn handed_back(received: &Received) -> BasicProperties {
    let Received { envelope, attempt, failing_since, delivery_count, dead } = received;
    let written = properties(envelope, *attempt, *failing_since, dead.as_ref());
    let mut headers = written.headers().clone().unwrap_or_default();
    headers.insert(DELIVERIES.into(), AMQPValue::LongLongInt((*delivery_count).into()));
    written.with_headers(headers)
}

/// The properties of a marker in the journal.
pub(super) fn marker(id: &Uuid) -> BasicProperties {
    base(id, MARKER)
}

/// The properties with which a message that could not be read is sent on: those that identify it.
///
/// What RabbitMQ added and what it would act on is left out. A message in another's name it
/// refuses, with the channel and all that is in flight there; one that expires it drops.
pub(super) fn stripped(properties: &BasicProperties) -> BasicProperties {
    let mut headers = FieldTable::default();
    let mut room = FOREIGN_BYTES_MAX;
    for (name, value) in properties.headers().iter().flat_map(FieldTable::inner) {
        let acted_on = ["CC", "BCC", "x-acquired-count"].contains(&name.as_str())
            || ["x-death", "x-first-death-", "x-last-death-", "x-delivery-count"]
                .iter()
                .any(|noted| name.as_str().starts_with(noted));
        // What is without a source is the default one's; what has one of this kind is nobody's.
        let is_nobodys = name.as_str() == SOURCE && length(value) > TEXT_BYTES_MAX;
        let value = if is_nobodys { &AMQPValue::Void } else { value };
        let bytes = if name.as_str() == SOURCE { 0 } else { name.as_str().len() + length(value) };
        if let Some(left) = room.checked_sub(bytes).filter(|_| !acted_on) {
            room = left;
            headers.insert(name.clone(), value.clone());
        }
    }
    let mut stripped = BasicProperties::default().with_headers(headers).with_delivery_mode(2);
    if let Some(text) = properties.content_type() {
        stripped = stripped.with_content_type(text.clone());
    }
    if let Some(text) = properties.content_encoding() {
        stripped = stripped.with_content_encoding(text.clone());
    }
    if let Some(text) = properties.message_id() {
        stripped = stripped.with_message_id(text.clone());
    }
    if let Some(text) = properties.kind() {
        stripped = stripped.with_type(text.clone());
    }
    if let Some(text) = properties.app_id() {
        stripped = stripped.with_app_id(text.clone());
    }
    if let Some(seconds) = properties.timestamp() {
        stripped = stripped.with_timestamp(*seconds);
    }
    stripped
}

/// About what a header's value takes in a frame, in bytes; never less.
#[expect(clippy::wildcard_enum_match_arm, reason = "all that are of a fixed length")]
fn length(value: &AMQPValue) -> usize {
    match value {
        AMQPValue::LongString(text) => 5 + text.as_bytes().len(),
        AMQPValue::ShortString(text) => 2 + text.as_str().len(),
        AMQPValue::ByteArray(bytes) => 5 + bytes.as_slice().len(),
        AMQPValue::FieldArray(values) => 5 + values.as_slice().iter().map(length).sum::<usize>(),
        AMQPValue::FieldTable(table) => {
            let entries = table.inner().iter();
            5 + entries.map(|(name, value)| 1 + name.as_str().len() + length(value)).sum::<usize>()
        }
        _ => 16,
    }
}

fn base(id: &Uuid, kind: &'static str) -> BasicProperties {
    BasicProperties::default()
        .with_delivery_mode(2)
        .with_message_id(id.to_string().into())
        .with_type(kind.into())
        .with_app_id(APP_ID.into())
}

/// A rejection as it is written into a header.
fn reason(rejection: &Rejection) -> String {
    // A rejection is made of texts: it can always be written.
    let written = |it: &Rejection| serde_json::to_string(it).unwrap_or_default();
    let whole = written(rejection);
    let excess = whole.len().saturating_sub(REJECTION_BYTES_MAX);
    if excess == 0 {
        return whole;
    }
    // Escapes take up to six bytes for one: what is left is short enough whatever it is.
    let length = REJECTION_BYTES_MAX / 8;
    let mut detail = rejection.detail.clone();
    detail.truncate(detail.floor_char_boundary(length));
    detail.push_str("... (cut off)");
    written(&Rejection { detail, ..rejection.clone() })
}

/// Whether it is a marker in the journal; then its id.
pub(super) fn marker_id(delivery: &Delivery) -> Option<Uuid> {
    let properties = &delivery.properties;
    let is_marker = properties.kind().as_ref().is_some_and(|kind| kind.as_str() == MARKER);
    let id = properties.message_id().as_ref().filter(|_| is_marker)?;
    Some(Uuid::parse_str(id.as_str()).unwrap_or_default())
}

/// Where a message of the journal stands.
pub(super) fn offset(delivery: &Delivery) -> Option<u64> {
    number(headers(&delivery.properties)?, "x-stream-offset")
}

/// Reads a message.
pub(super) fn read(delivery: &mut Delivery) -> Result<Received, Unreadable> {
    let properties = &delivery.properties;
    if properties.app_id().as_ref().is_none_or(|app| app.as_str() != APP_ID) {
        return Err(Unreadable::Foreign);
    }
    let headers = headers(properties).ok_or(Unreadable::Foreign)?;
    let name = properties.kind().as_ref().and_then(|kind| EnvelopeKind::parse(kind.as_str()));
    let id = properties.message_id().as_ref().and_then(|id| Uuid::parse_str(id.as_str()).ok());
    let envelope = Envelope {
        message_id: MessageId(id.ok_or(Unreadable::Unknown("the message id"))?),
        kind: name.ok_or(Unreadable::Unknown("the kind of a message"))?,
        received_at: Timestamp::from_micros(
            integer(headers, RECEIVED_AT).ok_or(Unreadable::Unknown("the time of receipt"))?,
        ),
        source: if headers.contains_key(SOURCE) {
            string(headers, SOURCE)
                .filter(|source| source.len() <= TEXT_BYTES_MAX)
                .ok_or(Unreadable::Unknown("the source"))?
        } else {
            DEFAULT_SOURCE.to_owned()
        },
        replays: number_or(headers, REPLAYS, 0, "the number of replays")?,
        traceparent: string(headers, TRACEPARENT),
        tracestate: string(headers, TRACESTATE),
        body: Bytes::new(),
    };
    let dead = match string(headers, REJECTION) {
        Some(text) => Some(DeadReason {
            rejection: serde_json::from_str(&text)
                .map_err(|_| Unreadable::Unknown("the reason of a dead letter"))?,
            failed_at: integer(headers, FAILED_AT)
                .map_or(envelope.received_at, Timestamp::from_micros),
            attempts: number(headers, ATTEMPTS).unwrap_or(0),
        }),
        None => left_by_itself(headers),
    };
    let is_poison = dead.is_some() && !headers.contains_key(REJECTION);
    let attempt = number(headers, ATTEMPT).unwrap_or(FIRST_ATTEMPT);
    let [before, since] = [DELIVERIES, "x-delivery-count"].map(|name| number(headers, name));
    let delivery_count = before.unwrap_or(0_u32).saturating_add(since.unwrap_or(0));
    let body = Bytes::from(std::mem::take(&mut delivery.data));
    Ok(Received {
        envelope: Arc::new(Envelope { body, ..envelope }),
        // In the queue of dead letters, its attempts begin anew.
        attempt: if is_poison { FIRST_ATTEMPT } else { attempt },
        failing_since: integer(headers, FAILING_SINCE).map(Timestamp::from_micros),
        delivery_count,
        dead,
    })
}

/// The reason of what RabbitMQ itself made a dead letter: it was delivered too often, or has
/// expired. In a retry queue, to expire is the way back to work.
fn left_by_itself(headers: &FieldTable) -> Option<DeadReason> {
    let deaths = headers.inner().get("x-death")?.as_array()?;
    let deaths: Vec<&FieldTable> =
        deaths.as_slice().iter().filter_map(AMQPValue::as_field_table).collect();
    let said = |death: &FieldTable, reason| string(death, "reason").as_deref() == Some(reason);
    let limit = deaths.iter().find(|death| said(death, "delivery_limit"));
    let (death, rejection) = if let Some(death) = limit {
        let detail = "RabbitMQ delivered it as often as the queue's x-delivery-limit allows, and \
                      it was never settled";
        (death, Rejection::new(Code::DeliveryLimit, detail))
    } else {
        let expired = |death: &&&FieldTable| said(death, "expired") && !is_of_retries(death);
        // The last is the first that it died of.
        let death = deaths.iter().rev().find(expired)?;
        let queue = string(death, "queue").unwrap_or_default();
        let detail = format!(
            "RabbitMQ let it expire in the queue {queue}, since a policy sets a message-ttl"
        );
        (death, Rejection::new(Code::BrokerExpired, detail))
    };
    let seconds = integer(death, "time").unwrap_or(0);
    Some(DeadReason {
        rejection,
        failed_at: Timestamp::from_millis(seconds.saturating_mul(1000)),
        attempts: number(headers, ATTEMPT).unwrap_or(FIRST_ATTEMPT),
    })
}

fn is_of_retries(death: &FieldTable) -> bool {
    let queue = string(death, "queue").unwrap_or_default();
    let kinds = [WORK_KEY, DEAD_KEY, UNROUTED];
    queue.rsplit('.').next().is_none_or(|kind| !kinds.contains(&kind))
}

fn headers(properties: &BasicProperties) -> Option<&FieldTable> {
    properties.headers().as_ref()
}

fn string(table: &FieldTable, name: &str) -> Option<String> {
    let value = table.inner().get(name)?;
    let short = || value.as_short_string().map(|text| text.as_str().to_owned());
    let long = value.as_long_string();
    long.map(|text| String::from_utf8_lossy(text.as_bytes()).into()).or_else(short)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all that are no whole numbers")]
fn integer(table: &FieldTable, name: &str) -> Option<i64> {
    match *table.inner().get(name)? {
        AMQPValue::ShortShortInt(value) => Some(value.into()),
        AMQPValue::ShortShortUInt(value) => Some(value.into()),
        AMQPValue::ShortInt(value) => Some(value.into()),
        AMQPValue::ShortUInt(value) => Some(value.into()),
        AMQPValue::LongInt(value) => Some(value.into()),
        AMQPValue::LongUInt(value) => Some(value.into()),
        AMQPValue::LongLongInt(value) => Some(value),
        AMQPValue::Timestamp(value) => i64::try_from(value).ok(),
        _ => None,
    }
}

fn number<N: TryFrom<i64>>(table: &FieldTable, name: &str) -> Option<N> {
    integer(table, name).and_then(|value| N::try_from(value).ok())
}

/// A number that stands for the default where it is absent.
fn number_or(
    table: &FieldTable,
    name: &str,
    default: u32,
    what: &'static str,
) -> Result<u32, Unreadable> {
    if !table.contains_key(name) {
        return Ok(default);
    }
    number(table, name).ok_or(Unreadable::Unknown(what))
}

#[cfg(test)]
mod tests;
