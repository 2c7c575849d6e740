//! Which of an order's events counts.

use super::*;

#[test]
fn the_highest_version_counts() {
    let later = updated(AT + 1, "PENDING", 3);
    holds(&[created(AT, "DELIVERED", 1), later], &["product:P 3/0"]);
    // At one timestamp, an update beats a creation, a cancellation an update, and a status the one
    // before it.
    holds(&[created(AT, "SHIPPED", 1), updated(AT, "PENDING", 3)], &["product:P 3/0"]);
    let alias = order("ECOMM_ORDER_STATUS_UPDATED", AT, "PENDING", 3, json!({}));
    holds(&[created(AT, "SHIPPED", 1), alias], &["product:P 3/0"]);
    holds(&[updated(AT, "CANCELLED", 1), updated(AT, "DISPUTED", 3)], &[]);
    // A creation with status CANCELLED is still a creation.
    holds(&[created(AT, "CANCELLED", 1), updated(AT, "PENDING", 3)], &["product:P 3/0"]);
}

#[test]
fn a_creation_precedes_everything_whatever_the_clocks_say() {
    holds(&[created(AT + 5000, "SHIPPED", 1), updated(AT, "PENDING", 3)], &["product:P 3/0"]);
    holds(&[created(AT + 5000, "SHIPPED", 1), updated(AT, "DISPUTED", 3)], &["product:P 0/3"]);
    let gone = [created(AT + 5000, "PENDING", 1), deleted(AT, "PENDING")];
    assert_eq!(listed(&observed(&gone), List::AfterDeletion), [""; 0]);
}

#[test]
fn of_one_time_the_status_that_is_further_counts() {
    let path = [
        "ODD",
        "INCOMPLETE",
        "PENDING",
        "IN_PROGRESS",
        "PROCESSED",
        "DISPATCHED",
        "SHIPPED",
        "DELIVERED",
        "DISPUTED",
        "REFUNDED",
    ];
    for pair in path.windows(2) {
        let expected = match pair[1] {
            "INCOMPLETE" | "REFUNDED" => vec![],
            // The status before DISPUTED is DELIVERED, so the goods have left.
            "DISPATCHED" | "SHIPPED" | "DELIVERED" | "DISPUTED" => vec!["product:P 0/2"],
            _ => vec!["product:P 2/0"],
        };
        holds(&[updated(AT, pair[0], 1), updated(AT, pair[1], 2)], &expected);
    }
}

#[test]
fn a_tie_is_handed_to_the_judge() {
    let judged = |chosen: usize| {
        let mut model =
            Model::new(restock(RestockedRefunds::Lines)).with_tie_break(move |tied| match tied {
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
        assert_eq!(model.ambiguous_orders(), [name("id:A")]);
        assert_eq!(listed(&model, List::Ambiguous), ["id:A"]);
        stock(&model)
    };
    assert_eq!(judged(0), ["product:P 8/0"]);
    assert_eq!(judged(1), ["product:P 3/0"]);
}

#[test]
fn the_judge_orders_all_of_several() {
    // Names and quantities come from the first, the mode from the second, and nothing from the
    // third.
    let tied = [
        changed(AT, json!({"mode": null, "items": [{"id": "L", "sku": "S", "quantity": 1}]})),
        changed(AT, json!({"mode": "TEST", "items": [{"id": "L", "quantity": 2}]})),
        changed(AT, json!({"mode": "LIVE", "items": [{"id": "L", "quantity": 3}]})),
    ];
    for (falling, expected) in [([0, 1, 2], vec![]), ([0, 2, 1], vec!["sku:S 1/0"])] {
        let bodies: Vec<Bytes> = falling.iter().map(|place| bytes(&tied[*place])).collect();
        let mut model = Model::new(ModelPolicy::default()).with_tie_break(move |tied| {
            let Tied::Snapshots(tied) = tied else { panic!("{tied:?}") };
            let place = |body: &Bytes| tied.iter().position(|it| it.body == body);
            bodies.iter().find_map(place).unwrap()
        });
        for body in &tied {
            model.observe(&bytes(body), RECEIVED);
        }
        assert_eq!(stock(&model), expected, "{falling:?}");
    }
}

#[test]
fn the_same_content_is_no_tie() {
    let spaced = changed(AT, json!({"id": " A ", "status": "processed", "email": "x"}));
    holds(&[changed(AT, json!({})), spaced], &["product:P 1/0"]);
}
