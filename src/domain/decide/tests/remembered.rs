//! Earlier names of lines: a null means lost knowledge, not a change.

use serde_json::json;

use super::*;
use crate::domain::StockKeyKind;

/// Creates an update with one line "l" of one unit with these names.
fn line(millis: i64, names: &Value) -> Arrived {
    lines(millis, &[names])
}

fn lines(millis: i64, all: &[&Value]) -> Arrived {
    let line = |names: &&Value| {
        let mut line = json!({"id": "l", "quantity": 1});
        for (member, value) in names.as_object().unwrap() {
            line[member] = value.clone();
        }
        line
    };
    update(millis, &json!({"items": all.iter().map(line).collect::<Vec<_>>()}))
}

#[test]
fn a_name_that_the_latest_snapshot_lacks_is_remembered() {
    let full = line(1, &json!({"product_id": "P", "variation_id": "V", "sku": "S"}));
    for bare in [
        json!({"sku": "S"}),
        json!({"product_id": null, "variation_id": null, "sku": "S"}),
        json!({"product_id": "", "variation_id": " "}),
        json!({"variation_id": true}),
        json!({}),
    ] {
        holds(&[full.clone(), line(2, &bare)], "variation:V committed 1");
    }
    let bare = update(3, &json!({"status": "SHIPPED", "items": [{"id": "l", "quantity": 1}]}));
    holds(&[full, line(2, &json!({"sku": "S"})), bare], "variation:V fulfilled 1");
}

#[test]
fn what_the_latest_snapshot_says_stands_over_what_is_remembered() {
    let old = line(1, &json!({"variation_id": "V1", "sku": "S"}));
    holds(&[old.clone(), line(2, &json!({"variation_id": "V2"}))], "variation:V2 committed 1");
    // Remembered names do not become newer when an older snapshot arrives later.
    let events = [old, line(3, &json!({"sku": "S"})), line(2, &json!({"variation_id": "V2"}))];
    holds(&events, "variation:V2 committed 1");
}

#[test]
fn the_newest_of_each_kind_is_taken_and_what_goes_with_it() {
    let events = [
        line(1, &json!({"product_id": "P", "variation_id": "V1"})),
        line(2, &json!({"product_id": "P", "variation_id": "V2"})),
        line(3, &json!({"product_id": "P"})),
    ];
    holds(&events, "variation:V2 committed 1");
    // Each kind of name may come from another snapshot.
    let events = [
        line(1, &json!({"variation_id": "V", "sku": "S"})),
        line(2, &json!({"product_id": "P"})),
        line(3, &json!({})),
    ];
    holds(&events, "variation:V committed 1");
    let by_product =
        policy(|it| it.key_precedence = vec![StockKeyKind::Product, StockKeyKind::Sku]);
    check(&by_product, &events, "product:P committed 1");
    let by_sku = policy(|it| it.key_precedence = vec![StockKeyKind::Sku]);
    check(&by_sku, &events, "sku:S committed 1");
}

#[test]
fn what_contradicts_a_name_already_known_is_of_another_good() {
    let other = line(1, &json!({"product_id": "P1", "variation_id": "V1"}));
    holds(&[other.clone(), line(2, &json!({"product_id": "P2"}))], "product:P2 committed 1");
    // A name that was only just remembered is known, too.
    let events =
        [other, line(2, &json!({"product_id": "P2", "sku": "S"})), line(3, &json!({"sku": "S"}))];
    holds(&events, "product:P2 committed 1");
}

#[test]
fn a_record_that_contradicts_does_not_hide_an_older_one_that_does_not() {
    let events = [
        line(1, &json!({"variation_id": "V1"})),
        line(2, &json!({"product_id": "P2", "sku": "S2"})),
        line(3, &json!({"product_id": "P1"})),
    ];
    holds(&events, "variation:V1 committed 1");
}

#[test]
fn only_a_line_whose_id_stands_once_is_told() {
    let (named, bare) = (json!({"variation_id": "V"}), json!({"sku": "S"}));
    let once = line(1, &named);
    holds(&[once.clone(), lines(2, &[&bare, &bare])], "sku:S committed 2");
    let other = json!({"id": "other", "variation_id": "W"});
    holds(&[lines(1, &[&named, &other]), line(2, &bare)], "variation:V committed 1");
    holds(&[lines(1, &[&named, &named]), line(2, &bare)], "sku:S committed 1");
    let nameless = |names: &Value| {
        let mut data = names.clone();
        data["id"] = json!(null);
        data
    };
    holds(&[line(1, &nameless(&named)), line(2, &nameless(&bare))], "sku:S committed 1");
    let other = json!({"id": "l2", "sku": "S"});
    holds(&[once, line(2, &other)], "sku:S committed 1");
}

#[test]
fn deletions_give_no_names() {
    let shipped =
        update(1, &json!({"status": "SHIPPED", "items": [{"id": "l", "sku": "S", "quantity": 1}]}));
    let items = json!([{"id": "l", "sku": "S", "variation_id": "V", "quantity": 1}]);
    let gone = event("ECOMM_ORDER_DELETED", 2, &json!({"id": "O", "items": items}));
    holds(&[shipped, gone], "sku:S fulfilled 1");
}

#[test]
fn lines_of_a_remembered_key_are_summed_with_the_others() {
    let (full, bare) = (json!({"variation_id": "V", "sku": "S"}), json!({"sku": "S"}));
    let other = json!({"id": "l2", "variation_id": "V"});
    holds(&[line(1, &full), lines(2, &[&bare, &other])], "variation:V committed 2");
}

#[test]
fn names_are_remembered_across_the_records_of_one_order() {
    let items = json!([{"id": "l", "variation_id": "V", "quantity": 1}]);
    let by_second = update(1, &json!({"id": null, "external_id": "E", "items": items}));
    let bare = line(3, &json!({"sku": "S"}));
    holds(&[by_second.clone(), bare.clone()], "variation:V committed 1, sku:S committed 1");
    let both = order("CREATED", 0, &json!({"external_id": "E", "items": []}));
    holds(&[by_second.clone(), bare.clone(), both.clone()], "variation:V committed 1");
    // A record without a snapshot of its own, or with an older one, adds what it knows.
    let older = line(0, &json!({"sku": "S"}));
    holds(&[by_second, older, bare, both], "variation:V committed 1");
}

#[test]
fn a_line_whose_key_changes_nevertheless_is_counted() {
    let counted = |events: &[Arrived], expected: u64| {
        let shop = Shop::after(&Policy::default(), events);
        assert_eq!(shop.findings.lines_rekeyed, expected);
        let timeline = shop.order("id:O").1.timeline;
        let noted: Vec<u32> = timeline.iter().rev().map(|entry| entry.rekeyed_lines).collect();
        assert_eq!(noted.iter().map(|it| u64::from(*it)).sum::<u64>(), expected, "{noted:?}");
    };
    let (p, q) = (json!({"product_id": "P"}), json!({"product_id": "Q"}));
    counted(&[line(1, &p), line(2, &q), line(3, &q)], 1);
    counted(&[line(1, &p), line(2, &q), line(2, &q)], 1);
    counted(&[line(2, &q), line(1, &p)], 1);
    // A name that is merely missing does not make another key.
    counted(&[line(1, &p), line(2, &json!({"sku": "S"}))], 0);
    // Lines with the same id cannot be distinguished, so none of them has another key.
    counted(&[lines(1, &[&p, &q]), lines(2, &[&p, &q])], 0);
    counted(&[lines(1, &[&p, &q]), lines(2, &[&q, &p]), line(3, &p)], 0);
}

#[test]
fn the_5000_newest_names_of_an_order_are_remembered() {
    let all = |millis, prefix: &str, count: usize, named: bool| {
        let line = |it: usize| {
            let mut line = json!({"id": format!("{prefix}{it:04}"), "sku": "S", "quantity": 1});
            let kinds =
                ["variation_id", "product_id", "external_variation_id", "external_product_id"];
            for kind in kinds.into_iter().filter(|_| named) {
                line[kind] = json!(format!("{kind}-{prefix}{it:04}"));
            }
            line
        };
        update(millis, &json!({"items": (0..count).map(line).collect::<Vec<_>>()}))
    };
    let variations = |events: &[&Arrived]| {
        let mut shop = Shop::new(&Policy::default());
        for event in events {
            shop.arrive(&[event]);
        }
        let applied = shop.order("id:O").1.applied;
        applied.keys().filter(|key| key.kind == StockKeyKind::Variation).count()
    };
    // A full order takes all the room.
    let (old, bare) = (all(1, "a", 1000, true), all(3, "a", 1000, false));
    let full = all(2, "b", 1000, true);
    assert_eq!(variations(&[&old, &bare]), 1000);
    assert_eq!(variations(&[&old, &full, &bare]), 0);
    // The 1,000 SKUs of the latest snapshot come first, then the names of the fuller one: five for
    // each line, including the SKU. These 4,000 names leave room for 1,000 more.
    let most = all(2, "b", 600, true);
    let expected = variations(&[&old, &most, &bare]);
    assert_eq!(expected, (5000 - 1000 - 600 * 5) / 4, "lines are forgotten from the last on");
    for events in permutations(&[old, most, bare]) {
        assert_eq!(variations(&events), expected);
    }
}
