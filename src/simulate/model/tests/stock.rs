//! What orders hold, rule by rule; every history is read forwards and backwards, and twice.

use super::*;

#[test]
fn the_status_says_where_the_units_are() {
    for status in ["PENDING", "IN_PROGRESS", "PROCESSED", "DISPUTED", "ODD", ""] {
        holds(&[created(AT, status, 2)], &["product:P 2/0"]);
    }
    for status in ["SHIPPED", "DISPATCHED", "DELIVERED"] {
        holds(&[created(AT, status, 2)], &["product:P 0/2"]);
        for odd in ["DISPUTED", "ODD"] {
            holds(&[created(AT, status, 2), updated(AT + 1, odd, 3)], &["product:P 0/3"]);
        }
        // What has left and is processed again is committed again.
        holds(&[created(AT, status, 2), updated(AT + 1, "PROCESSED", 3)], &["product:P 3/0"]);
    }
    holds(&[created(AT, "CANCELLED", 2)], &[]);
}

#[test]
fn the_highest_version_counts() {
    let later = updated(AT + 1, "PENDING", 3);
    holds(&[created(AT, "DELIVERED", 1), later], &["product:P 3/0"]);
    // One timestamp: an update beats a creation, a cancellation an update, a status the one before.
    holds(&[created(AT, "SHIPPED", 1), updated(AT, "PENDING", 3)], &["product:P 3/0"]);
    let alias = order("ECOMM_ORDER_STATUS_UPDATED", AT, "PENDING", 3, json!({}));
    holds(&[created(AT, "SHIPPED", 1), alias.clone()], &["product:P 3/0"]);
    holds(&[updated(AT, "CANCELLED", 1), updated(AT, "DISPUTED", 3)], &[]);
    // A creation that says CANCELLED is a creation all the same.
    holds(&[created(AT, "CANCELLED", 1), updated(AT, "PENDING", 3)], &["product:P 3/0"]);
    let path = [
        "ODD",
        "PENDING",
        "IN_PROGRESS",
        "PROCESSED",
        "DISPATCHED",
        "SHIPPED",
        "DELIVERED",
        "DISPUTED",
    ];
    for pair in path.windows(2) {
        let bodies = [updated(AT, pair[0], 1), updated(AT, pair[1], 2)];
        let [committed, fulfilled] = match pair[1] {
            "DISPATCHED" | "SHIPPED" | "DELIVERED" | "DISPUTED" => [0, 2],
            _ => [2, 0],
        };
        let expected = format!("product:P {committed}/{fulfilled}");
        // Before DISPUTED stands DELIVERED, so it has left.
        holds(&bodies, &[&expected]);
    }
}

#[test]
fn a_deletion_is_final_and_never_the_latest() {
    holds(&[created(AT, "PROCESSED", 1), deleted(AT, "PROCESSED")], &[]);
    holds(&[deleted(AT, "PROCESSED"), updated(AT + 9, "SHIPPED", 4)], &[]);
    holds(&[deleted(AT, "PROCESSED")], &[]);
    let guide = [
        created(AT, "PROCESSED", 1),
        order("ECOMM_ORDER_STATUS_UPDATED", AT, "PROCESSED", 3, json!({})),
        deleted(AT, "PROCESSED"),
    ];
    holds(&guide[..1], &["product:P 1/0"]);
    holds(&guide[..2], &["product:P 3/0"]);
    holds(&guide, &[]);
    // Its lines are not read.
    let broken =
        order("ECOMM_ORDER_DELETED", AT, "PROCESSED", 1, json!({"items": "x", "refunds": 7}));
    holds(&[created(AT, "PROCESSED", 1), broken], &[]);
}

#[test]
fn what_a_policy_keeps_of_deleted_and_cancelled_orders() {
    let unless = policy(|policy| policy.deleted = DeletedOrders::ReleaseUnlessShipped);
    check(&unless, &[created(AT, "PROCESSED", 1), deleted(AT, "PROCESSED")], &[]);
    check(&unless, &[created(AT, "SHIPPED", 1), deleted(AT, "SHIPPED")], &["product:P 0/1"]);
    // The deletion's own status counts as seen.
    check(&unless, &[created(AT, "ODD", 1), deleted(AT, "SHIPPED")], &["product:P 0/1"]);
    check(&unless, &[created(AT, "SHIPPED", 1), updated(AT, "CANCELLED", 1), deleted(AT, "")], &[]);

    let cancelled = [created(AT, "PROCESSED", 1), updated(AT, "CANCELLED", 2)];
    let shipped = [created(AT, "SHIPPED", 1), updated(AT, "CANCELLED", 2)];
    let keep = policy(|policy| policy.cancelled = CancelledOrders::Keep);
    check(&keep, &cancelled, &["product:P 2/0"]);
    check(&keep, &shipped, &["product:P 0/2"]);
    let unless = policy(|policy| policy.cancelled = CancelledOrders::ReleaseUnlessShipped);
    check(&unless, &cancelled, &[]);
    check(&unless, &shipped, &["product:P 0/2"]);
}

#[test]
fn only_mode_test_is_special() {
    for (mode, expected) in [
        (json!("TEST"), vec![]),
        (json!("LIVE"), vec!["product:P 1/0"]),
        (json!("test"), vec!["product:P 1/0"]),
        (json!(["TEST"]), vec!["product:P 1/0"]),
        (json!(null), vec!["product:P 1/0"]),
    ] {
        let body = order("ECOMM_ORDER_CREATED", AT, "PROCESSED", 1, json!({"mode": mode}));
        holds(&[body], &expected);
    }
    let test = order("ECOMM_ORDER_CREATED", AT, "PROCESSED", 1, json!({"mode": "TEST"}));
    holds(&[test.clone(), updated(AT + 1, "PROCESSED", 2)], &["product:P 2/0"]);
    let count = policy(|policy| policy.test_mode = TestOrders::Count);
    check(&count, &[test], &["product:P 1/0"]);
}

#[test]
fn a_refund_moves_stock_by_policy_only() {
    let full = policy(|policy| policy.restock = RestockedRefunds::Full);
    let lines = policy(|policy| policy.restock = RestockedRefunds::Lines);
    let bought = created(AT, "SHIPPED", 3);
    let part = [bought.clone(), refund(AT, "R", "L", json!(1.25))];
    holds(&part, &["product:P 0/3"]);
    check(&full, &part, &["product:P 0/3"]);
    check(&lines, &part, &["product:P 0/1.75"]);
    let whole =
        [bought.clone(), refund(AT, "R", "L", json!(1)), refund(AT, "Q", "L", json!("2.5"))];
    holds(&whole, &["product:P 0/3"]);
    check(&full, &whole, &[]);
    check(&lines, &whole, &[]);
    // A line that is not of the order, and a refund without id, bring nothing back.
    let other = [bought.clone(), refund(AT, "R", "M", json!(3)), refund(AT, "", "L", json!(3))];
    check(&lines, &other, &["product:P 0/3"]);
    // Nothing is refunded of an order without lines.
    let empty = order("ECOMM_ORDER_CREATED", AT, "PROCESSED", 1, json!({"items": []}));
    check(&full, &[empty], &[]);
}

#[test]
fn refunds_are_a_union_of_all_that_was_said() {
    let lines = policy(|policy| policy.restock = RestockedRefunds::Lines);
    let carried = |id: &str, quantity: u32| json!({"refunds": [{"id": id, "items": [{"id": "L", "quantity": quantity}]}, {}]});
    let old = order("ECOMM_ORDER_CREATED", AT, "PROCESSED", 9, carried("R", 1));
    // Superseded snapshots and deletions count, and absence removes nothing.
    check(&lines, &[old.clone(), updated(AT + 1, "PROCESSED", 5)], &["product:P 4/0"]);
    let gone = order("ECOMM_ORDER_DELETED", AT, "SHIPPED", 9, carried("Q", 2));
    let unless = policy(|policy| {
        policy.restock = RestockedRefunds::Lines;
        policy.deleted = DeletedOrders::ReleaseUnlessShipped;
    });
    check(&unless, &[old.clone(), gone], &["product:P 6/0"]);
    // One id: the later entry counts; at one time, the event's.
    let later = order("ECOMM_ORDER_UPDATED", AT + 1, "PROCESSED", 9, carried("R", 4));
    check(&lines, &[old.clone(), later], &["product:P 5/0"]);
    check(&lines, &[old, refund(AT, "R", "L", json!(2))], &["product:P 7/0"]);
    // A line id that stands twice restocks nothing.
    let twice = json!({"items": [{"id": "L", "product_id": "P", "quantity": 2},
        {"id": "L", "product_id": "P", "quantity": 2}]});
    let twice = order("ECOMM_ORDER_CREATED", AT, "PROCESSED", 1, twice);
    check(&lines, &[twice, refund(AT, "R", "L", json!(1))], &["product:P 4/0"]);
}

#[test]
fn cancel_refund_and_deletion_give_back_once() {
    let lines = policy(|policy| policy.restock = RestockedRefunds::Lines);
    let other = event(
        "ECOMM_ORDER_CREATED",
        AT,
        json!({"id": "B", "status": "PENDING", "items": [{"product_id": "P", "quantity": 1}]}),
    );
    let bodies = [
        created(AT, "PROCESSED", 2),
        updated(AT + 1, "CANCELLED", 2),
        refund(AT + 2, "R", "L", json!(2)),
        deleted(AT + 3, "PROCESSED"),
        other,
    ];
    check(&lines, &bodies, &["product:P 1/0"]);
}

#[test]
fn the_first_name_that_a_line_has_is_its_key() {
    let all = json!({"variation_id": "V", "product_id": "P", "external_variation_id": "EV",
        "external_product_id": "EP", "sku": "S", "id": "L", "quantity": 1});
    let keys = [
        ("variation_id", "variation:V"),
        ("product_id", "product:P"),
        ("external_variation_id", "external-variation:EV"),
        ("external_product_id", "external-product:EP"),
        ("sku", "sku:S"),
        ("id", "line:L"),
    ];
    for nothing in [json!(null), json!("")] {
        let mut line = all.clone();
        for (field, key) in keys {
            let items = json!({"items": [line.clone()]});
            let expected = format!("{key} 1/0");
            holds(&[order("ECOMM_ORDER_CREATED", AT, "PENDING", 1, items)], &[&expected]);
            line[field] = nothing.clone();
        }
        // No name is left: it holds nothing.
        let items = json!({"items": [line, {"sku": "S", "quantity": 1}]});
        holds(&[order("ECOMM_ORDER_CREATED", AT, "PENDING", 1, items)], &["sku:S 1/0"]);
    }
    let by_sku = policy(|policy| policy.key_precedence = vec![KeyKind::Sku, KeyKind::Product]);
    let items = json!({"items": [all, {"variation_id": "V", "quantity": 5},
        {"sku": "S", "quantity": "0.5"}]});
    let body = order("ECOMM_ORDER_CREATED", AT, "PENDING", 1, items);
    check(&by_sku, &[body], &["sku:S 1.5/0"]);
}

#[test]
fn orders_are_named_by_the_first_field_and_apart_by_site_and_kind() {
    for (names, expected) in [
        (json!({"id": "X", "external_id": "Y", "invoice_number": "Z"}), "id:X"),
        (json!({"id": null, "external_id": "Y", "invoice_number": "Z"}), "external-id:Y"),
        (json!({"id": "", "external_id": "", "invoice_number": "Z"}), "invoice-number:Z"),
    ] {
        let body = order("ECOMM_ORDER_CREATED", AT, "PENDING", 1, names);
        let verdict = Model::new(ModelPolicy::default()).observe(&bytes(&body), RECEIVED);
        assert_eq!(verdict, Verdict::Counted { site: "s".into(), order: expected.into() });
    }
    let mut elsewhere = created(AT, "PENDING", 1);
    elsewhere["resource_data"]["site_name"] = json!("S");
    let invoice =
        order("ECOMM_ORDER_CREATED", AT, "PENDING", 1, json!({"id": null, "invoice_number": "A"}));
    holds(&[created(AT, "PENDING", 1), invoice, elsewhere], &["product:P 1/0", "product:P 2/0"]);
}

#[test]
fn a_tie_is_handed_to_the_judge() {
    let judged = |chosen: usize| {
        let mut model = Model::new(policy(|policy| policy.restock = RestockedRefunds::Lines))
            .with_tie_break(move |tied| match tied {
                Tied::Snapshots(tied) => tied.len() - 1 - chosen,
                Tied::Refunds(_) => chosen,
            });
        for body in [
            updated(AT, "PENDING", 5),
            updated(AT, "PENDING", 9),
            updated(AT, "PENDING", 9),
            updated(AT - 1, "PENDING", 1),
            refund(AT, "R", "L", json!(1)),
            refund(AT, "R", "L", json!(2)),
        ] {
            model.observe(&bytes(&body), RECEIVED);
        }
        assert_eq!(model.ambiguous_orders(), [("s".to_owned(), "id:A".to_owned())]);
        model
            .stock()
            .values()
            .map(|counts| counts.committed.normalize().to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(judged(0), ["8"]);
    assert_eq!(judged(1), ["3"]);
}

#[test]
fn of_two_receipts_with_one_reference_the_lower_message_counts() {
    let receipt = |message_id: &str, quantity: i64, reference: &str| Receipt {
        item: Item { site: "s".into(), key: "product:P".into() },
        reference: reference.into(),
        message_id: message_id.into(),
        quantity: Decimal::from(quantity),
    };
    let mut receipts =
        [receipt("b", 5, "r"), receipt("a", 7, "r"), receipt("a", 7, "r"), receipt("c", -3, "q")];
    for _ in 0..2 {
        let mut model = Model::new(ModelPolicy::default());
        receipts.iter().cloned().for_each(|receipt| model.receive(receipt));
        let stock: Vec<_> = model.stock().into_values().collect();
        assert_eq!(stock, [Counts { received: Decimal::from(4), ..Counts::default() }]);
        receipts.reverse();
    }
}

#[test]
fn a_policy_reads_the_settings_words() {
    let words = json!({"key_precedence": ["sku", "external-variation"], "test_mode": "count",
        "cancelled": "release-unless-shipped", "deleted": "release-unless-shipped",
        "restock": "lines"});
    let read: ModelPolicy = serde_json::from_value(words).unwrap();
    let expected = ModelPolicy {
        key_precedence: vec![KeyKind::Sku, KeyKind::ExternalVariation],
        test_mode: TestOrders::Count,
        cancelled: CancelledOrders::ReleaseUnlessShipped,
        deleted: DeletedOrders::ReleaseUnlessShipped,
        restock: RestockedRefunds::Lines,
    };
    assert_eq!(read, expected);
}
