//! Which events belong to one order: ids, second names that lead to them, and names that lead
//! nowhere.

use serde_json::json;

use super::super::{decide_orders, recompute};
use super::*;
use crate::domain::{EntityName, PolicyInForce, StockKeyKind};

/// Creates an update of this many units of P with exactly these names.
fn named(millis: i64, quantity: u32, names: &Value) -> Arrived {
    let mut change = json!({"id": null, "items": items(quantity)});
    for (member, value) in names.as_object().unwrap() {
        change[member] = value.clone();
    }
    update(millis, &change)
}

fn id(millis: i64, quantity: u32, id: &str) -> Arrived {
    named(millis, quantity, &json!({"id": id}))
}

fn external(millis: i64, quantity: u32) -> Arrived {
    named(millis, quantity, &json!({"external_id": "E"}))
}

fn both(millis: i64, quantity: u32, id: &str) -> Arrived {
    named(millis, quantity, &json!({"id": id, "external_id": "E"}))
}

#[test]
fn two_ids_are_never_one_order() {
    let with_invoice = |id, quantity| {
        named(1, quantity, &json!({"id": id, "external_id": "E", "invoice_number": "7"}))
    };
    let events = [with_invoice("A", 1), with_invoice("B", 2)];
    let shop = holds(&events, "product:P committed 3");
    assert_eq!(shop.held("id:A"), "product:P committed 1");
    assert_eq!(shop.held("id:B"), "product:P committed 2");
}

#[test]
fn an_id_is_no_other_kind_of_name() {
    let events = [id(1, 1, "X"), named(2, 2, &json!({"external_id": "X"}))];
    let events = [events, [named(3, 4, &json!({"invoice_number": "X"})), id(0, 9, "X")]].concat();
    holds(&events, "product:P committed 7");
}

#[test]
fn a_second_name_leads_to_the_only_id_that_was_seen_beside_it() {
    let shop = holds(&[external(2, 5), both(1, 1, "A")], "product:P committed 5");
    for name in ["id:A", "external-id:E"] {
        assert_eq!(shop.order(name).0.to_string(), "id:A");
        assert_eq!(shop.held(name), "product:P committed 5");
    }
    // Only the lines of the latest snapshot count, whichever record has it.
    holds(&[external(1, 5), both(2, 1, "A")], "product:P committed 1");
    holds(&[external(1, 5), both(0, 7, "A"), id(2, 1, "A")], "product:P committed 1");
}

#[test]
fn what_is_known_under_either_name_counts_for_the_order() {
    let gone = event("ECOMM_ORDER_DELETED", 3, &json!({"external_id": "E"}));
    holds(&[both(1, 1, "A"), gone], "");
    let gone = event("ECOMM_ORDER_DELETED", 3, &json!({"id": "A"}));
    holds(&[external(2, 5), both(1, 1, "A"), gone], "");
    let shipped = named(1, 1, &json!({"external_id": "E", "status": "SHIPPED"}));
    holds(&[shipped, both(2, 1, "A"), both(0, 1, "A")], "product:P committed 1");
    let shipped = named(3, 1, &json!({"external_id": "E", "status": "SHIPPED"}));
    let disputed = named(4, 1, &json!({"id": "A", "status": "DISPUTED"}));
    holds(&[shipped, both(2, 1, "A"), disputed], "product:P fulfilled 1");
    let test = named(3, 1, &json!({"external_id": "E", "mode": "TEST"}));
    holds(&[test, both(2, 1, "A"), id(4, 1, "A")], "");
}

#[test]
fn a_name_without_an_id_is_an_order_of_its_own_until_an_event_bears_both() {
    holds(&[external(1, 5), id(2, 1, "A")], "product:P committed 6");
    holds(&[external(1, 5), id(2, 1, "A"), both(0, 9, "A")], "product:P committed 1");
}

#[test]
fn with_a_second_id_the_name_is_contested_for_good_and_leads_nowhere() {
    let events = [external(9, 5), both(1, 1, "A"), both(2, 2, "B")];
    let shop = holds(&events, "product:P committed 8");
    assert_eq!(shop.order("external-id:E").0.to_string(), "external-id:E");
    for name in ["id:A", "id:B", "external-id:E"] {
        assert_eq!(shop.lists(name), ["contested"]);
    }
    assert_eq!(shop.findings.names_contested, 1);
    // It stays contested, even if only one of the ids ever arrives again.
    let again = [events.as_slice(), &[both(10, 1, "A")]].concat();
    assert_eq!(holds(&again, "product:P committed 8").findings.names_contested, 1);
}

#[test]
fn a_link_that_turns_out_wrong_is_undone_by_the_next_commit() {
    let mut shop = Shop::new(&Policy::default());
    shop.arrive(&[&external(9, 5)]);
    assert_eq!(shop.counts(), "product:P committed 5");
    shop.arrive(&[&both(1, 1, "A")]);
    assert_eq!(shop.counts(), "product:P committed 5");
    assert_eq!(shop.held("id:A"), "product:P committed 5");
    shop.arrive(&[&both(2, 2, "B")]);
    assert_eq!(shop.counts(), "product:P committed 8");
    assert_eq!(shop.held("id:A"), "product:P committed 1");
    assert_eq!(shop.held("id:B"), "product:P committed 2");
    assert_eq!(shop.held("external-id:E"), "product:P committed 5");
}

#[test]
fn a_constant_external_id_holds_every_order_apart() {
    let constant = |millis, id: &str, quantity| both(millis, quantity, id);
    let events = [constant(1, "A", 1), constant(2, "B", 2), constant(3, "C", 4), external(4, 8)];
    let shop = holds(&events, "product:P committed 15");
    assert_eq!(shop.links.len(), 1);
    let link = shop.links.values().next().unwrap();
    let ids: Vec<String> = link.ids.iter().map(ToString::to_string).collect();
    assert_eq!(ids, ["id:A", "id:B"], "the two lowest are kept");
}

#[test]
fn a_refund_names_an_id_and_never_an_external_id() {
    let refund = event(
        "ECOMM_REFUND_CREATED",
        2,
        &json!({"id": "r", "order_id": "E", "items": [{"id": "l", "quantity": 1}]}),
    );
    let shop = holds(&[external(1, 5), refund], "product:P committed 5");
    assert_eq!(shop.lists("id:E"), ["waiting"]);
}

#[test]
fn a_refund_of_the_id_counts_for_lines_that_the_second_name_brought() {
    let refund =
        refund_with(2, "r", &json!({"order_id": "A", "items": [{"id": "l", "quantity": 2}]}));
    let shop = holds(&[external(1, 5), refund.clone()], "product:P committed 5");
    assert_eq!(shop.lists("id:A"), ["waiting"]);
    let shop = holds(&[external(1, 5), refund, both(0, 9, "A")], "product:P committed 3");
    assert!(shop.lists("id:A").is_empty());
}

#[test]
fn refunds_of_a_linked_order_unite_by_their_ids() {
    let carried = |names: &Value, refund: &str, quantity| {
        let mut names = names.clone();
        names["refunds"] = in_snapshot(refund, quantity);
        named(3, 9, &names)
    };
    let by_second = carried(&json!({"external_id": "E"}), "r1", 1);
    let by_id = carried(&json!({"id": "A"}), "r1", 1);
    holds(&[by_second.clone(), by_id, both(1, 9, "A")], "product:P committed 8");
    let other = carried(&json!({"id": "A"}), "r2", 2);
    holds(&[by_second, other, both(1, 9, "A")], "product:P committed 6");
}

#[test]
fn an_invoice_number_leads_nowhere_and_is_a_hint() {
    let invoice = |millis, quantity| named(millis, quantity, &json!({"invoice_number": "7"}));
    let numbered =
        |millis, quantity, id| named(millis, quantity, &json!({"id": id, "invoice_number": "7"}));
    let events = [invoice(1, 1), numbered(2, 2, "A"), numbered(3, 4, "B"), invoice(4, 8)];
    let shop = holds(&events, "product:P committed 14");
    let link = &shop.links[&crate::domain::OrderId::parse("invoice-number:7").unwrap()];
    let hinted: Vec<String> = link.ids.iter().map(ToString::to_string).collect();
    assert_eq!(hinted, ["id:A", "id:B"]);
    assert_eq!(shop.order("id:A").1.invoices.len(), 1);
}

#[test]
fn the_newest_invoice_numbers_are_kept_for_people() {
    let events: Vec<_> =
        (0..20).map(|it| update(it, &json!({"invoice_number": format!("i{it:02}")}))).collect();
    let kept = |events: &[&Arrived]| {
        let mut shop = Shop::new(&Policy::default());
        for event in events {
            shop.arrive(&[event]);
        }
        let invoices = shop.order("id:O").1.invoices;
        invoices.into_iter().map(|(_, it)| it.to_string()).collect::<Vec<_>>()
    };
    let rising: Vec<_> = events.iter().collect();
    let falling: Vec<_> = events.iter().rev().collect();
    let expected: Vec<String> =
        (4..20).rev().map(|it| format!("invoice-number:i{it:02}")).collect();
    assert_eq!(kept(&rising), expected);
    assert_eq!(kept(&falling), expected);
}

#[test]
fn names_that_are_numbers_or_have_space_around_them_are_the_same_names() {
    let text = id(1, 1, "1066");
    let number = named(2, 2, &json!({"id": 1066}));
    let spaced = named(3, 3, &json!({"id": " 1066\t\u{a0}"}));
    holds(&[text, number, spaced], "product:P committed 3");
    let cased = [id(1, 1, "a"), id(2, 2, "A")];
    holds(&cased, "product:P committed 3");
}

#[test]
fn a_third_party_stores_notices_are_one_order_by_entity_and_order_id() {
    let notice = |kind: &str, millis, data: &Value| {
        let mut all = json!({"siteAlias": "shop", "storeId": 7});
        for (member, value) in data.as_object().unwrap() {
            all[member] = value.clone();
        }
        event(&format!("STORE_ORDER_{kind}"), millis, &all)
    };
    let events = [
        notice("CREATED", 1, &json!({"entityId": 1, "data": {"orderId": "X"}})),
        notice("UPDATED", 2, &json!({"data": {"orderId": "X", "newPaymentStatus": "PAID"}})),
        notice("UPDATED", 3, &json!({"entityId": 2})),
    ];
    let shop = holds(&events, "");
    assert_eq!(shop.order("store-order-id:7/X").0.to_string(), "store-order:7/1");
    assert_eq!(shop.lists("store-order:7/1"), ["waiting"]);
    assert_eq!(shop.lists("store-order:7/2"), ["waiting"]);
    // A deletion leaves a tombstone of its own.
    let gone = notice("DELETED", 4, &json!({"entityId": 1, "data": null}));
    let shop = holds(&[events[0].clone(), gone], "");
    assert_eq!(shop.lists("store-order:7/1"), ["settled"]);
    let version = shop.order("store-order:7/1").1.deleted.unwrap();
    let later = crate::domain::Class::Later;
    let expected = (later, T0 + 4, 0, crate::domain::Rank::Deleted);
    assert_eq!(
        (version.class, version.event_timestamp, version.observed_at, version.rank),
        expected
    );
}

#[test]
fn corrections_of_a_linked_order_unite_by_their_references() {
    let events = [external(1, 5), both(0, 9, "A")];
    let seen = Shop::after(&Policy::default(), &events).shown("id:A");
    let by_second = correct_as("external-id:E", Action::Release, &seen, 5);
    let by_id = correct_as("id:A", Action::Hold, &seen, 5);
    let all = |first: Arrived, second: Arrived| [events.as_slice(), &[first, second]].concat();
    // If both records have the reference, the correction with the lower message id counts.
    let (low, high) = (by_second.clone().by_message(1), by_id.clone().by_message(2));
    holds(&all(low, high), "");
    let (high, low) = (by_second.by_message(2), by_id.by_message(1));
    holds(&all(low, high), "product:P committed 5");
}

#[test]
fn news_under_a_second_name_is_written_to_the_order_that_it_leads_to() {
    let mut shop = Shop::after(&Policy::default(), &[both(2, 1, "A")]);
    let reading = shop.whole();
    let late = external(1, 5);
    let decision = decide_orders(&reading, &[(&late.event, &late.arrival)], &shop.in_force);
    let written: Vec<String> = decision
        .writes
        .iter()
        .map(|write| match &write.name {
            EntityName::Order(name) => name.to_string(),
            EntityName::Catalogue(_) | EntityName::Receipt(_) => panic!("it is no order"),
        })
        .collect();
    assert_eq!(written, ["id:A", "external-id:E"]);
    shop.arrive(&[&late]);
}

#[test]
fn another_policy_calls_items_by_their_names_again() {
    let change = json!({"items": [{"product_id": "P", "sku": "S", "name": "Mug", "quantity": 1}]});
    let shop = Shop::after(&Policy::default(), &[update(1, &change)]);
    let policy = Policy { key_precedence: vec![StockKeyKind::Sku], ..Policy::default() };
    let decision = recompute(&shop.whole(), &PolicyInForce { revision: 2, policy });
    let names: Vec<_> = decision.item_names.iter().map(|it| it.key.to_string()).collect();
    assert_eq!(names, ["sku:S"]);
    assert_eq!(decision.item_names[0].line.as_ref().unwrap().1, "Mug");
}
