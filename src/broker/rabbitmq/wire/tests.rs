//! Messages that were written are read again, and those of others are not.

use super::*;

fn envelope() -> Envelope {
    Envelope {
        message_id: MessageId(Uuid::now_v7()),
        kind: EnvelopeKind::Webhook,
        received_at: Timestamp::from_micros(1_700_000_000_123_456),
        source: "agency".into(),
        replays: 2,
        traceparent: Some("00-a-b-01".into()),
        tracestate: Some("v=1".into()),
        body: Bytes::from_static(b"{}"),
    }
}

fn delivery(properties: BasicProperties) -> Delivery {
    let mut delivery = Delivery::mock(1, "".into(), "".into(), false, b"{}".to_vec());
    delivery.properties = properties;
    delivery
}

fn dead(detail: &str) -> DeadReason {
    DeadReason {
        rejection: Rejection::new(Code::NotJson, detail),
        failed_at: Timestamp::from_micros(5),
        attempts: 3,
    }
}

#[test]
fn an_envelope_is_read_as_it_was_written() {
    let reason = dead("$: no JSON");
    let since = Some(Timestamp::from_micros(7));
    let written = properties(&envelope(), 4, since, Some(&reason));
    let envelope = Envelope {
        message_id: MessageId(
            Uuid::parse_str(written.message_id().as_ref().unwrap().as_str()).unwrap(),
        ),
        ..envelope()
    };
    let read = read(&mut delivery(written)).unwrap();
    assert_eq!((&*read.envelope, read.attempt, read.delivery_count), (&envelope, 4, 0));
    assert_eq!((read.dead, read.failing_since), (Some(reason), since));
}

#[test]
fn what_is_the_default_is_left_out_and_read_again() {
    let first = Envelope { source: DEFAULT_SOURCE.into(), replays: 0, ..envelope() };
    let written = properties(&first, 1, None, None);
    let headers = written.headers().as_ref().unwrap().inner();
    let names: Vec<_> = headers.keys().map(ToString::to_string).collect();
    assert_eq!(names, [TRACEPARENT, TRACESTATE, RECEIVED_AT]);
    let first = read(&mut delivery(written)).unwrap();
    assert_eq!((first.envelope.source.as_str(), first.envelope.replays), (DEFAULT_SOURCE, 0));
    assert_eq!(first.attempt, 1);
}

#[test]
fn a_header_of_another_type_is_no_default() {
    for (name, value) in [
        (SOURCE, AMQPValue::LongInt(1)),
        (SOURCE, AMQPValue::Void),
        (SOURCE, text(&"a".repeat(TEXT_BYTES_MAX + 1))),
        (REPLAYS, AMQPValue::Boolean(true)),
    ] {
        let written = properties(&envelope(), 2, None, None);
        let mut headers = written.headers().clone().unwrap();
        headers.insert(name.into(), value);
        let read = read(&mut delivery(written.with_headers(headers)));
        assert!(matches!(read, Err(Unreadable::Unknown(_))), "{name}: {read:?}");
    }
}

/// Release 0.1.0 wrote all of them always.
#[test]
fn defaults_that_are_written_are_read_as_well() {
    let written = properties(&envelope(), 4, None, None);
    let mut headers = written.headers().clone().unwrap();
    headers.insert(SOURCE.into(), text(DEFAULT_SOURCE));
    headers.insert(ATTEMPT.into(), AMQPValue::LongLongInt(1));
    headers.insert(REPLAYS.into(), AMQPValue::LongLongInt(0));
    let read = read(&mut delivery(written.with_headers(headers))).unwrap();
    assert_eq!((read.envelope.source.as_str(), read.envelope.replays), (DEFAULT_SOURCE, 0));
    assert_eq!(read.attempt, 1);
}

#[test]
fn headers_stay_small_whatever_is_in_them() {
    let long = "\u{1}".repeat(100_000);
    let envelope =
        Envelope { tracestate: Some(long.clone()), traceparent: Some(long.clone()), ..envelope() };
    let written =
        properties(&envelope, u32::MAX, Some(Timestamp::from_micros(7)), Some(&dead(&long)));
    let size: usize = written
        .headers()
        .iter()
        .flat_map(FieldTable::inner)
        .map(|(name, value)| {
            name.as_str().len() + value.as_long_string().map_or(8, |it| it.as_bytes().len())
        })
        .sum();
    assert!(size < HEADERS_BYTES_MAX, "{size} bytes");
    let read = read(&mut delivery(written)).unwrap();
    let rejection = read.dead.unwrap().rejection;
    assert_eq!(rejection.code, Code::NotJson);
    assert!(rejection.detail.ends_with("... (cut off)"));
    assert_eq!((&read.envelope.traceparent, read.attempt), (&None, u32::MAX));
}

#[test]
fn what_is_not_ours_is_told_from_what_is_newer() {
    let foreign = properties(&envelope(), 1, None, None).with_app_id("a shovel".into());
    assert!(matches!(read(&mut delivery(foreign)), Err(Unreadable::Foreign)));
    let newer = properties(&envelope(), 1, None, None).with_type("storekeeper.unheard_of".into());
    assert!(matches!(read(&mut delivery(newer)), Err(Unreadable::Unknown(_))));
}

#[test]
fn what_rabbitmq_notes_or_acts_on_is_stripped_and_the_rest_is_kept() {
    let mut headers = FieldTable::default();
    for name in ["x-death", "x-first-death-queue", "x-last-death-reason", "x-delivery-count"] {
        headers.insert(name.into(), text("a"));
    }
    // Queues that RabbitMQ routes it to as well.
    for name in ["CC", "BCC"] {
        headers.insert(name.into(), AMQPValue::FieldArray(vec![text("work")].into()));
    }
    headers.insert(SOURCE.into(), text(&"s".repeat(FOREIGN_BYTES_MAX)));
    headers.insert("x-mine".into(), text("b"));
    headers.insert("x-much".into(), text(&"c".repeat(FOREIGN_BYTES_MAX)));
    let known = BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_content_encoding("gzip".into())
        .with_message_id("1".into())
        .with_type("a type".into())
        .with_app_id("a shovel".into())
        .with_timestamp(7);
    let all = known.clone().with_headers(headers);
    let all = all
        .with_user_id("somebody".into())
        .with_expiration("1000".into())
        .with_priority(9)
        .with_reply_to("a queue".into())
        .with_delivery_mode(1);
    let mut kept = FieldTable::default();
    kept.insert("x-mine".into(), text("b"));
    kept.insert(SOURCE.into(), AMQPValue::Void);
    assert_eq!(stripped(&all), known.with_headers(kept).with_delivery_mode(2));
}

#[test]
fn what_is_handed_back_keeps_its_count_and_rabbitmq_counts_on() {
    let written = properties(&envelope(), 4, Some(Timestamp::from_micros(7)), None);
    let mut headers = written.headers().clone().unwrap();
    headers.insert("x-delivery-count".into(), AMQPValue::LongLongInt(3));
    let received = read(&mut delivery(written.with_headers(headers))).unwrap();
    let again = handed_back(&received);
    let mut headers = again.headers().clone().unwrap();
    let received = read(&mut delivery(again.clone())).unwrap();
    assert_eq!((received.delivery_count, received.attempt), (3, 4));
    assert_eq!(received.failing_since, Some(Timestamp::from_micros(7)));
    headers.insert("x-delivery-count".into(), AMQPValue::LongLongInt(2));
    assert_eq!(read(&mut delivery(again.with_headers(headers))).unwrap().delivery_count, 5);
}

#[test]
fn what_expired_is_a_dead_letter_unless_it_waited_for_its_retry() {
    let died = |deaths: &[(&str, &str)]| {
        let deaths = deaths.iter().map(|(queue, reason)| {
            let mut death = FieldTable::default();
            death.insert("queue".into(), text(queue));
            death.insert("reason".into(), text(reason));
            AMQPValue::FieldTable(death)
        });
        let mut headers = properties(&envelope(), 2, None, None).headers().clone().unwrap();
        headers.insert("x-death".into(), AMQPValue::FieldArray(deaths.collect::<Vec<_>>().into()));
        let written = properties(&envelope(), 2, None, None).with_headers(headers);
        let dead = read(&mut delivery(written)).unwrap().dead;
        dead.map(|dead| (dead.rejection.code, dead.attempts))
    };
    let retried = ("sk.retry.5", "expired");
    assert_eq!(died(&[retried]), None);
    assert_eq!(died(&[("sk.dead-retry.5", "expired")]), None);
    let expired = Some((Code::BrokerExpired, 2));
    assert_eq!(died(&[("sk.work", "expired"), retried]), expired);
    assert_eq!(died(&[("sk.unrouted", "expired")]), expired);
    let limit = ("sk.work", "delivery_limit");
    assert_eq!(died(&[retried, limit]), Some((Code::DeliveryLimit, 2)));
}
