//! The arguments of queues, and what becomes of those that follow the settings.
//!
//! Limits do, and RabbitMQ never changes those of a queue. Where a queue stands with another limit
//! than is set, everything else works: so that is logged and is no reason to stop. RabbitMQ names
//! the present limit in its refusal.

use std::time::Duration;

use lapin::types::{AMQPValue, FieldTable};

/// More than any queue delivers a message: RabbitMQ 4 would drop what passes its own limit.
pub(super) const NO_DELIVERY_LIMIT: i64 = i32::MAX as i64;
/// The journal is cut off by whole segments, when one is full: so they must be small against what
/// it keeps, and so large that there are not too many files.
const SEGMENT_BYTES: i64 = 8 * 1024 * 1024;

/// The limits.
const DELIVERIES: &str = "x-delivery-limit";
const AGE: &str = "x-max-age";
const BYTES: &str = "x-max-length-bytes";
const SEGMENT: &str = "x-stream-max-segment-size-bytes";
const LIMITS: [&str; 4] = [DELIVERIES, AGE, BYTES, SEGMENT];

/// A quorum queue's.
pub(super) fn quorum(delivery_limit: i64) -> FieldTable {
    let mut arguments = FieldTable::default();
    insert(&mut arguments, "x-queue-type", text("quorum"));
    insert(&mut arguments, DELIVERIES, AMQPValue::LongLongInt(delivery_limit));
    arguments
}

/// The journal's: how long it keeps bodies, and how large it may get.
pub(super) fn journal((age, bytes): (Option<Duration>, Option<u64>)) -> FieldTable {
    let mut arguments = FieldTable::default();
    insert(&mut arguments, "x-queue-type", text("stream"));
    if let Some(age) = age {
        insert(&mut arguments, AGE, text(&format!("{}s", age.as_secs().max(1))));
    }
    if let Some(bytes) = bytes {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        insert(&mut arguments, BYTES, AMQPValue::LongLongInt(bytes));
    }
    insert(&mut arguments, SEGMENT, AMQPValue::LongLongInt(SEGMENT_BYTES));
    arguments
}

/// Where what leaves a queue by RabbitMQ's own doing goes: to an exchange, with a key if not its own.
/// It stays until it is there.
pub(super) fn dead_letter_to(arguments: &mut FieldTable, exchange: &str, key: Option<&str>) {
    insert(arguments, "x-dead-letter-exchange", text(exchange));
    if let Some(key) = key {
        insert(arguments, "x-dead-letter-routing-key", text(key));
    }
    insert(arguments, "x-dead-letter-strategy", text("at-least-once"));
    // Without it, RabbitMQ silently falls back to at-most-once; and drops the oldest where a policy
    // limits the length.
    insert(arguments, "x-overflow", text("reject-publish"));
}

pub(super) fn insert(table: &mut FieldTable, name: &'static str, value: AMQPValue) {
    table.insert(name.into(), value);
}

pub(super) fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// Takes over the limit that a refusal names; `false` if it is about something else, or about a
/// limit that was taken over already.
pub(super) fn adopt(arguments: &mut FieldTable, refusal: &lapin::Error) -> bool {
    let Some((limit, standing)) = difference(&refusal.to_string()) else { return false };
    if arguments.inner().get(limit) == standing.as_ref() {
        return false;
    }
    let mut adopted = arguments.inner().clone();
    match standing {
        Some(value) => adopted.insert(limit.into(), value),
        None => adopted.remove(limit),
    };
    *arguments = adopted.into();
    true
}

/// The limit that differs, and what it is where the queue stands; `None` inside for no limit.
fn difference(refusal: &str) -> Option<(&'static str, Option<AMQPValue>)> {
    let (_, told) = refusal.split_once("inequivalent arg '")?;
    let (name, told) = told.split_once('\'')?;
    let limit = LIMITS.into_iter().find(|limit| *limit == name)?;
    let (_, current) = told.split_once("but current is ")?;
    if current.starts_with("none") {
        return Some((limit, None));
    }
    let value = current.split('\'').nth(1)?;
    let value =
        if limit == AGE { text(value) } else { AMQPValue::LongLongInt(value.parse().ok()?) };
    Some((limit, Some(value)))
}

/// Logs which limits of a queue are not as they should be.
pub(super) fn log_differences(queue: &str, wanted: &FieldTable, standing: &FieldTable) {
    for limit in LIMITS {
        let [set, stands] = [wanted, standing].map(|table| shown(table.inner().get(limit)));
        if set != stands {
            tracing::warn!(
                queue,
                limit,
                set,
                stands,
                "the queue stands with another limit than is set, and RabbitMQ changes none; a \
                 policy of RabbitMQ's can lower it, and a queue that was deleted is declared as is set"
            );
        }
    }
}

fn shown(value: Option<&AMQPValue>) -> String {
    match value.map(|value| (value.as_long_string(), value.as_long_long_int())) {
        Some((Some(text), _)) => String::from_utf8_lossy(text.as_bytes()).into(),
        Some((None, Some(number))) => number.to_string(),
        Some((None, None)) | None => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_differs_is_read_from_the_refusal() {
        let refusal = |what: &str| {
            format!(
                "PRECONDITION_FAILED - inequivalent arg {what} for queue 'sk.work' in vhost '/'"
            )
        };
        let number = |number| Some(AMQPValue::LongLongInt(number));
        for (told, expected) in [
            (
                "'x-delivery-limit' for queue 'q' in vhost '/': received '51' but current is '50'",
                Some((DELIVERIES, number(50))),
            ),
            (
                "'x-max-length-bytes' for queue 'q' in vhost '/': received none but current is the \
                 value '7' of type 'long'",
                Some((BYTES, number(7))),
            ),
            (
                "'x-max-age' for queue 'q' in vhost '/': received the value '1s' of type \
                 'longstr' but current is none",
                Some((AGE, None)),
            ),
            (
                "'x-max-age' for queue 'q' in vhost '/': received none but current is the value \
                 '2s' of type 'longstr'",
                Some((AGE, Some(text("2s")))),
            ),
            ("'x-queue-type' for queue 'q': received none but current is the value 'a'", None),
        ] {
            assert_eq!(difference(&refusal(told)), expected, "{told}");
        }
        assert_eq!(difference("NOT_FOUND - no queue"), None);
    }
}
