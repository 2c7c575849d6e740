//! Inputs from the field, row by row: what each shop must count in every order of arrival, and
//! which findings are counted beside it in one pass in the order of the dead letters.

use super::*;
use crate::domain::{Findings, Restock};

/// Decodes a body that was received when it was sent.
fn body(text: &str) -> Arrived {
    let sent = text.split("\"event_timestamp\": ").nth(1).unwrap();
    let sent: i64 = sent.split(',').next().unwrap().parse().unwrap();
    webhook(text, Timestamp::from_millis(sent))
}

macro_rules! bodies {
    ($($name:literal),*) => {
        [$(body(include_str!(concat!("../../../../fixtures/field/", $name)))),*]
    };
}

/// Checks what a shop counts after these bodies, and returns one that received them one after the
/// other.
#[track_caller]
fn row(policy: &Policy, bodies: &[Arrived], expected: &str) -> Shop {
    check(policy, bodies, expected);
    let shop = Shop::after(policy, bodies);
    assert_eq!(shop.counts(), expected);
    shop
}

#[track_caller]
fn by_default(bodies: &[Arrived], expected: &str) -> Shop {
    row(&Policy::default(), bodies, expected)
}

fn by_lines() -> Policy {
    policy(|policy| policy.restock = Restock::Lines)
}

#[test]
fn row_01_the_creation_is_stamped_after_the_update() {
    by_default(&bodies!("01a.json", "01b.json"), "variation:V committed 3");
}

#[test]
fn row_03_an_update_after_the_deletion_is_listed_and_a_person_holds_it() {
    let bodies = bodies!("03a.json", "03b.json", "03c.json");
    let mut shop = by_default(&bodies, "");
    assert!(shop.lists("id:o").contains(&"after-deletion"));
    let mut hold = correct_as("id:o", Action::Hold, &shop.shown("id:o"), 1);
    hold.event.site = bodies[0].event.site.clone();
    shop.arrive(&[&hold]).pop().unwrap().unwrap();
    assert_eq!(shop.counts(), "variation:V committed 2");
    by_default(&[bodies.as_slice(), &[hold]].concat(), "variation:V committed 2");
}

#[test]
fn row_04_canceled_with_one_l() {
    by_default(&bodies!("04a.json", "04b.json"), "");
}

#[test]
fn row_06_a_quantity_that_is_finer_than_millionths() {
    let expected = "variation:KG committed 0.3, variation:V committed 4";
    let shop = by_default(&bodies!("06.json"), expected);
    assert_eq!(shop.findings, Findings { quantities_rounded: 1, ..Findings::default() });
}

#[test]
fn row_07_numbers_beside_better_names() {
    let shop = by_default(&bodies!("07b.json"), "variation:VB committed 1");
    assert_eq!(shop.findings, Findings::default());
    let shop = by_default(&bodies!("07c.json"), "variation:VC committed 1");
    assert_eq!(shop.findings, Findings::default());
    let expected = "variation:VB committed 1, variation:VC committed 1";
    by_default(&bodies!("07b.json", "07c.json"), expected);
}

#[test]
fn row_08_an_sku_that_ends_in_a_tab() {
    let shop = by_default(&bodies!("08a.json"), "variation:VA committed 1");
    assert_eq!(shop.findings, Findings::default());
    let also: Vec<String> = shop.item_names[0].also.iter().map(ToString::to_string).collect();
    assert_eq!(also, ["variation:VA", "sku:MUG-4"]);
}

#[test]
fn row_16_a_test_order_whose_update_says_no_mode() {
    by_default(&bodies!("16a.json", "16b.json"), "");
}

#[test]
fn row_19_a_donation_is_not_tracked() {
    let shop = by_default(&bodies!("19a.json", "19b.json"), "product:DON committed 25");
    let entry = shop.catalogue.values().next().unwrap();
    assert!(entry.description.is_untracked);
    let keys: Vec<String> =
        entry.description.stock_keys().iter().map(ToString::to_string).collect();
    assert!(keys.contains(&"product:DON".to_owned()), "{keys:?}");
}

#[test]
fn row_21_refunded_in_full_before_anything_left() {
    by_default(&bodies!("21a.json", "21b.json"), "");
}

#[test]
fn row_23_the_product_was_deleted_between_sale_and_shipment() {
    let received = receipt("r", &serde_json::json!({"key": "variation:V", "quantity": "10"}));
    let [sold, gone, shipped] = bodies!("23a.json", "23b.json", "23c.json");
    let events = [received, sold, gone, shipped];
    let shop = by_default(&events, "variation:V received 10 fulfilled 3");
    let counts = shop.stock.values().next().unwrap();
    assert_eq!(counts.available().to_string(), "7");
    assert_eq!(shop.findings.lines_rekeyed, 0);
}

#[test]
fn row_26_delivered_and_then_cancelled() {
    by_default(&bodies!("26a.json", "26b.json"), "variation:V fulfilled 1");
}

#[test]
fn row_33_the_refund_names_a_line_that_an_edit_replaced() {
    let bodies = bodies!("33a.json", "33b.json", "33c.json");
    let shop = row(&by_lines(), &bodies, "variation:V committed 2");
    assert_eq!(shop.findings.refunds_unmatched, 1);
    assert_eq!(crate::domain::refunds_unmatched(&shop.order("id:o").1), 1, "shown on the order");
}

#[test]
fn row_34_a_snapshot_lists_the_refund_as_a_stub() {
    let bodies = bodies!("34a.json", "34b.json", "34c.json");
    row(&by_lines(), &bodies, "variation:V committed 1");
}

#[test]
fn row_42_the_order_is_known_by_its_external_id_and_the_refund_names_the_id() {
    let bodies = bodies!("42a.json", "42b.json");
    let shop = row(&by_lines(), &bodies, "variation:V committed 1");
    assert_eq!(shop.lists("id:0d3c"), ["waiting"]);
    let text = include_str!("../../../../fixtures/field/42a.json");
    let both =
        text.replace("\"external_id\": \"E-1\"", "\"external_id\": \"E-1\", \"id\": \"0d3c\"");
    assert_ne!(both, text);
    let all = [bodies.as_slice(), &[body(&both)]].concat();
    let shop = row(&by_lines(), &all, "");
    assert!(shop.lists("id:0d3c").is_empty());
}

#[test]
fn row_53_shipped_by_mistake_processed_again_and_cancelled() {
    by_default(&bodies!("53a.json", "53b.json", "53c.json"), "");
}

#[test]
fn row_60_a_constant_external_id() {
    let bodies = bodies!("60a.json", "60b.json", "60c.json");
    let shop = by_default(&bodies, "variation:V committed 8");
    for (name, expected) in [("id:A", 1), ("id:B", 2), ("external-id:shop", 5)] {
        assert_eq!(shop.held(name), format!("variation:V committed {expected}"));
        assert_eq!(shop.lists(name), ["contested"]);
    }
    assert_eq!(shop.findings.names_contested, 1);
}

#[test]
fn row_61_dispatched_and_then_deleted_by_a_body_that_says_processed() {
    by_default(&bodies!("61a.json", "61b.json"), "variation:V fulfilled 3");
}
