//! A record is a join: what is known about an order is the same, however its parts are joined.

use super::*;
use crate::domain::{
    Action, Class, CorrectionContent, Line, LineNames, Rank, RefundLine, Shown, Status,
    StockKeyKind,
};

fn name(text: &str) -> Identifier {
    Identifier::parse(text).unwrap()
}

fn version(event_timestamp: i64, status: Status, fingerprint: u64) -> Version {
    Version {
        class: Class::Later,
        event_timestamp,
        observed_at: 0,
        rank: Rank::Updated,
        status,
        fingerprint: Fingerprint(fingerprint),
    }
}

fn line(id: &str, names: &[(StockKeyKind, &str)]) -> Line {
    let names: LineNames = names.iter().map(|(kind, text)| (*kind, name(text))).collect();
    Line { id: Some(name(id)), names, quantity: Quantity::from_millionths(1), name: None }
}

/// Creates a record with one of everything, distinguished by a number.
fn record(number: i64, names: &[(StockKeyKind, &str)]) -> Record {
    let shipped = version(number, Status::Shipped, 0);
    let unshipped = version(number, Status::Processed, 0);
    let entry = RefundEntry {
        event_timestamp: number,
        from_event: number % 2 == 0,
        fingerprint: Fingerprint(0),
        lines: vec![RefundLine {
            id: Some(name("l")),
            quantity: Quantity::from_millionths(number),
        }],
        created: (number % 3 == 0).then(|| Timestamp::from_millis(number)),
        first_seen: number,
    };
    let content = CorrectionContent {
        action: Action::Hold,
        shown: Shown { version: shipped, words: Fingerprint(1), deleted: Some(shipped) },
        reason: None,
        actor: None,
    };
    let message_id =
        |number: i64| MessageId(uuid::Uuid::from_u128(u128::from(number.unsigned_abs())));
    let correction = Correction {
        content,
        message_id: message_id(100 - number),
        received_at: Timestamp::from_millis(number),
    };
    let mut record = Record {
        deleted: Some(shipped),
        mode: Some((shipped, Mode::Test)),
        refunds: [(name("r"), entry.clone()), (name(&format!("r{number}")), entry)].into(),
        unshipped: Some((unshipped, Fingerprint(2))),
        corrections: [(name("c"), correction)].into(),
        ..Record::default()
    };
    record.join_shipped(&[shipped]);
    record.join_invoice(shipped, &OrderId::parse(&format!("invoice-number:{number}")).unwrap());
    record.join_entry(TimelineEntry {
        version: shipped,
        message_id: message_id(number),
        event_type: name("ECOMM_ORDER_UPDATED"),
        received_at: Timestamp::from_millis(number),
        outcome: Outcome::Applied,
        reason: None,
        said: None,
        rekeyed_lines: 0,
    });
    let lines = vec![line("l", names)];
    record.join_snapshot(unshipped, &Snapshot { words: Fingerprint(3), lines });
    record
}

#[test]
fn the_join_of_records_depends_on_no_order_and_no_repetition() {
    use StockKeyKind::{Product, Sku, Variation};
    let all = [
        record(1, &[(Variation, "V"), (Product, "P"), (Sku, "S")]),
        record(2, &[(Variation, "W"), (Product, "P")]),
        record(3, &[(Product, "Q")]),
        record(4, &[]),
        // A record without a snapshot.
        Record { latest: None, remembered: Vec::new(), ..record(5, &[]) },
    ];
    let whole = Record::union(&all.each_ref()).into_owned();
    assert_eq!(whole.refunds.len(), 6);
    assert_eq!(whole.shipped.len(), 5);
    for first in 0..all.len() {
        let mut turned: Vec<&Record> = all.iter().collect();
        turned.rotate_left(first);
        assert_eq!(*Record::union(&turned), whole, "from {first} on");
        turned.reverse();
        assert_eq!(*Record::union(&turned), whole, "to {first}");
        turned.extend_from_within(..);
        assert_eq!(*Record::union(&turned), whole, "twice");
        let (some, others) = turned.split_at(first + 1);
        let parts = [Record::union(some), Record::union(others)];
        assert_eq!(*Record::union(&[&parts[0], &parts[1]]), whole, "in parts at {first}");
        assert_eq!(*Record::union(&[&whole, turned[0]]), whole);
    }
}

#[test]
fn names_that_are_newest_of_no_kind_and_those_of_the_latest_are_not_stored() {
    use StockKeyKind::{Product, Sku, Variation};
    let whole = Record::union(&[
        &record(1, &[(Variation, "V1"), (Product, "P1")]),
        &record(2, &[(Variation, "V2"), (Product, "P2"), (Sku, "S2")]),
        &record(3, &[(Product, "P3")]),
        &record(4, &[(Product, "P4")]),
    ])
    .into_owned();
    let kept: Vec<i64> = whole.remembered.iter().map(|it| it.version.event_timestamp).collect();
    assert_eq!(kept, [2]);
    assert_eq!(whole.remembered[0].names.iter().count(), 3, "all that was said together");
}

#[test]
fn the_join_keeps_64_departures_and_the_highest_however_it_is_put_together() {
    let shipped = |numbers: std::ops::Range<i64>| {
        let mut record = Record::default();
        for number in numbers {
            record.join_shipped(&[version(number, Status::Shipped, 0)]);
        }
        record
    };
    let whole = shipped(0..200);
    let times: Vec<i64> = whole.shipped.iter().map(|it| it.event_timestamp).collect();
    assert_eq!(times, (0..64).chain([199]).collect::<Vec<_>>());
    let parts = [shipped(0..50), shipped(120..200), shipped(40..130)];
    assert_eq!(*Record::union(&parts.each_ref()), whole);
}

#[test]
fn a_record_is_read_back_as_it_was_written() {
    let record = Record::union(&[
        &record(1, &[(StockKeyKind::Variation, "V")]),
        &record(2, &[(StockKeyKind::Sku, "S")]),
    ])
    .into_owned();
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    let bytes = postcard::to_stdvec(&record).unwrap();
    assert_eq!(postcard::from_bytes::<Record>(&bytes).unwrap(), record);
}
