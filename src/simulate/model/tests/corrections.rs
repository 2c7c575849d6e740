//! Which corrections people may make to an order, and how long each one holds.

use super::*;

use Action::{Hold, Release, Ship};

/// Something that happened: a body, or a correction by a person who had seen only the first `seen`
/// bodies.
enum Step {
    Body(Value),
    Correct { action: Action, seen: usize, reference: &'static str, message: u8 },
}

use Step::{Body, Correct};

const fn correct(action: Action, seen: usize) -> Step {
    Correct { action, seen, reference: "r1", message: 1 }
}

const fn then(action: Action, seen: usize) -> Step {
    Correct { action, seen, reference: "r2", message: 2 }
}

fn shown(bodies: &[Value]) -> Shown {
    observed(bodies).shown("s", "id:A").expect("there is a snapshot")
}

/// An input to a model.
#[derive(Clone)]
enum Input {
    Body(Value),
    Correction(Box<Correction>),
}

impl Input {
    fn tell(&self, model: &mut Model) {
        match self {
            Self::Body(body) => drop(model.observe(&bytes(body), RECEIVED)),
            Self::Correction(correction) => model.correct((**correction).clone()),
        }
    }
}

/// Returns the inputs for the steps; a correction with a higher message is received later.
fn inputs(steps: &[Step]) -> Vec<Input> {
    let bodies = steps
        .iter()
        .filter_map(|step| if let Body(body) = step { Some(body.clone()) } else { None });
    let bodies: Vec<Value> = bodies.collect();
    let inputs = steps.iter().map(|step| match step {
        Body(body) => Input::Body(body.clone()),
        Correct { action, seen, reference, message } => Input::Correction(Box::new(Correction {
            site: "s".into(),
            order: "id:A".into(),
            action: *action,
            shown: shown(&bodies[..*seen]),
            reference: (*reference).into(),
            message_id: format!("m{message}"),
            received_at_us: (AT + 500) * 1000 + i64::from(*message),
        })),
    });
    inputs.collect()
}

/// Checks the stock after the steps, in this order and in reverse.
#[track_caller]
fn lead_to(policy: &ModelPolicy, steps: &[Step], expected: &[&str]) {
    let mut inputs = inputs(steps);
    for is_reversed in [false, true] {
        let mut model = Model::new(policy.clone());
        for step in inputs.iter().chain(&inputs) {
            step.tell(&mut model);
        }
        assert_eq!(stock(&model), expected, "reversed: {is_reversed}");
        assert_eq!(listed(&model, List::Corrected), ["id:A"]);
        inputs.reverse();
    }
}

#[track_caller]
fn leads_to(steps: &[Step], expected: &[&str]) {
    lead_to(&ModelPolicy::default(), steps, expected);
}

#[test]
fn only_an_order_with_a_snapshot_is_shown() {
    let gone = deleted(AT, "SHIPPED");
    assert!(observed([&gone]).shown("s", "id:A").is_none());
    assert!(observed([&gone]).shown("s", "id:B").is_none());
    let mut both = created(AT, "PENDING", 1);
    both["data"]["external_id"] = json!("E");
    let model = observed([&both]);
    // By any name, and for each site separately.
    assert!(model.shown("s", "external-id:E").is_some());
    assert!(model.shown("S", "id:A").is_none());
}

#[test]
fn a_release_holds_nothing_until_the_order_says_something_else() {
    let unpaid = || Body(created(AT, "PENDING", 2));
    leads_to(&[unpaid(), correct(Release, 1)], &[]);
    // The same content sent again, with everything else changed.
    let again = changed(
        AT + 1,
        json!({"status": "pending", "email": "x", "mode": null,
        "items": [{"id": "L", "sku": "S", "quantity": "2.0"}]}),
    );
    leads_to(&[unpaid(), correct(Release, 1), Body(again)], &[]);
    for (status, quantity, expected) in [("PROCESSED", 2, "2/0"), ("PENDING", 3, "3/0")] {
        let news = Body(updated(AT + 1, status, quantity));
        leads_to(&[unpaid(), correct(Release, 1), news], &[&format!("product:P {expected}")]);
    }
    // An unseen body with a lower version does not end it.
    leads_to(
        &[
            Body(updated(AT + 1, "PENDING", 2)),
            correct(Release, 1),
            Body(created(AT, "PROCESSED", 9)),
        ],
        &[],
    );
}

#[test]
fn words_are_the_unknown_status_as_written_and_the_names_of_lines_without_id() {
    let odd = |status: &str| Body(updated(AT, status, 2));
    let then_odd = |status: &str| Body(updated(AT + 1, status, 2));
    leads_to(&[odd("ODD"), correct(Release, 1), then_odd(" ODD ")], &[]);
    leads_to(&[odd("ODD"), correct(Release, 1), then_odd("Odd")], &["product:P 2/0"]);
    let line = |at_ms: i64, sku: &str| {
        Body(changed(at_ms, json!({"items": [{"sku": sku, "quantity": 2}]})))
    };
    leads_to(&[line(AT, "S"), correct(Release, 1), line(AT + 1, "S")], &[]);
    leads_to(&[line(AT, "S"), correct(Release, 1), line(AT + 1, "T")], &["sku:T 2/0"]);
}

#[test]
fn a_release_also_says_that_the_goods_are_here() {
    let shipped = || Body(created(AT, "SHIPPED", 2));
    leads_to(&[shipped(), correct(Release, 1)], &[]);
    leads_to(
        &[shipped(), correct(Release, 1), Body(updated(AT + 1, "ODD", 2))],
        &["product:P 2/0"],
    );
    leads_to(&[shipped(), correct(Release, 1), Body(updated(AT + 1, "CANCELLED", 2))], &[]);
    leads_to(
        &[shipped(), correct(Release, 1), Body(updated(AT + 1, "DELIVERED", 2))],
        &["product:P 0/2"],
    );
}

#[test]
fn a_hold_takes_a_deletion_back_for_good() {
    let gone = || [Body(created(AT, "PROCESSED", 2)), Body(deleted(AT + 1, "PROCESSED"))];
    let with = |more: Vec<Step>| gone().into_iter().chain(more).collect::<Vec<_>>();
    leads_to(&with(vec![correct(Hold, 2)]), &["product:P 2/0"]);
    // Also after the order has changed.
    let news = Body(updated(AT + 2, "PROCESSED", 3));
    leads_to(&with(vec![correct(Hold, 2), news]), &["product:P 3/0"]);
    // But not a deletion that the person had not seen.
    leads_to(&with(vec![correct(Hold, 2), Body(deleted(AT + 3, "PROCESSED"))]), &[]);
    leads_to(&with(vec![correct(Hold, 1)]), &[]);
    // An older deletion is taken back with it.
    leads_to(&with(vec![correct(Hold, 2), Body(deleted(AT, "PROCESSED"))]), &["product:P 2/0"]);
    // Also if a later correction decides.
    let later = vec![correct(Hold, 2), then(Release, 2), Body(updated(AT + 2, "PROCESSED", 3))];
    leads_to(&with(later), &["product:P 3/0"]);
}

#[test]
fn a_hold_outweighs_what_was_seen_but_refunds() {
    let test = || Body(changed(AT, json!({"mode": "TEST"})));
    let status = |status: &str| Body(updated(AT, status, 2));
    leads_to(&[test(), correct(Hold, 1)], &["product:P 1/0"]);
    leads_to(&[status("INCOMPLETE"), correct(Hold, 1)], &["product:P 2/0"]);
    leads_to(&[status("CANCELLED"), correct(Hold, 1)], &["product:P 2/0"]);
    leads_to(&[status("REFUNDED"), correct(Hold, 1)], &[]);
    let refund = Body(refund(AT + 1, "R", "L", json!(1)));
    leads_to(&[status("CANCELLED"), correct(Hold, 1), refund], &["product:P 1/0"]);
    // A deletion that the person had not seen ends it, even if the goods have left.
    let gone = Body(deleted(AT + 1, "SHIPPED"));
    leads_to(&[status("CANCELLED"), correct(Hold, 1), gone], &["product:P 0/2"]);
    let gone = Body(deleted(AT + 1, "SHIPPED"));
    let test = changed(AT, json!({"mode": "TEST"}));
    leads_to(&[Body(test), correct(Hold, 1), gone], &["product:P 0/1"]);
    // Cancelled again with different content.
    leads_to(&[status("CANCELLED"), correct(Hold, 1), Body(updated(AT + 1, "CANCELLED", 3))], &[]);
}

#[test]
fn of_release_and_hold_the_one_received_last_decides() {
    let bought = || Body(created(AT, "PROCESSED", 2));
    leads_to(&[bought(), correct(Release, 1), then(Hold, 1)], &["product:P 2/0"]);
    leads_to(&[bought(), correct(Hold, 1), then(Release, 1)], &[]);
    // It decides even when it is no longer in force.
    let news = || Body(updated(AT + 1, "PROCESSED", 3));
    leads_to(&[bought(), news(), correct(Release, 2), then(Hold, 1)], &["product:P 3/0"]);
    // A ship is neither of them.
    leads_to(&[bought(), correct(Release, 1), then(Ship, 1)], &[]);
}

#[test]
fn a_ship_says_that_the_goods_have_left() {
    let bought = || Body(created(AT, "PROCESSED", 2));
    leads_to(&[bought(), correct(Ship, 1)], &["product:P 0/2"]);
    // Neither the content that was known then nor the same content sent again takes it back.
    let again = || Body(updated(AT + 1, "PROCESSED", 2));
    leads_to(&[bought(), correct(Ship, 1), again()], &["product:P 0/2"]);
    leads_to(
        &[bought(), correct(Ship, 1), Body(updated(AT + 1, "CANCELLED", 2))],
        &["product:P 0/2"],
    );
    leads_to(&[bought(), correct(Ship, 1), Body(deleted(AT + 1, "PROCESSED"))], &["product:P 0/2"]);
    // Any other content with a status that means they are still here does.
    leads_to(
        &[bought(), correct(Ship, 1), Body(updated(AT + 1, "PENDING", 2))],
        &["product:P 2/0"],
    );
    leads_to(
        &[bought(), correct(Ship, 1), Body(updated(AT + 1, "PROCESSED", 3))],
        &["product:P 3/0"],
    );
    // It changes nothing that is not held.
    leads_to(&[Body(changed(AT, json!({"mode": "TEST"}))), correct(Ship, 1)], &[]);
    leads_to(&[Body(created(AT, "INCOMPLETE", 1)), correct(Ship, 1)], &[]);
}

#[test]
fn a_release_above_a_ship_takes_it_back() {
    let bought = || Body(created(AT, "PROCESSED", 2));
    let again = || Body(updated(AT + 1, "PROCESSED", 2));
    let odd = || Body(updated(AT + 2, "ODD", 2));
    // Of corrections of one shown version, the one received later is higher.
    leads_to(&[bought(), correct(Ship, 1), then(Release, 1), odd()], &["product:P 2/0"]);
    leads_to(&[bought(), correct(Release, 1), then(Ship, 1), odd()], &["product:P 0/2"]);
    // Otherwise, the one with the higher version is.
    leads_to(&[bought(), again(), correct(Release, 2), then(Ship, 1), odd()], &["product:P 2/0"]);
    leads_to(&[bought(), again(), correct(Ship, 2), then(Release, 1), odd()], &["product:P 0/2"]);
}

#[test]
fn goods_have_left_since_the_ship_was_received() {
    // It is received at AT + 500 ms and 1 µs.
    for (at_ms, expected) in [(AT + 500, "product:P 0/1"), (AT + 501, "product:P 0/2")] {
        let refund = Body(refund(at_ms, "R", "L", json!(1)));
        leads_to(&[Body(created(AT, "PROCESSED", 2)), correct(Ship, 1), refund], &[expected]);
    }
    // Or since a body with a shipped status and a lower version.
    let steps = [
        Body(created(AT, "SHIPPED", 2)),
        Body(updated(AT + 1, "ODD", 2)),
        correct(Ship, 2),
        Body(refund(AT + 9, "R", "L", json!(1))),
    ];
    leads_to(&steps, &["product:P 0/2"]);
}

#[test]
fn a_reference_counts_once_by_its_lower_message() {
    let bought = || Body(created(AT, "PROCESSED", 2));
    let second = Correct { action: Hold, seen: 1, reference: "r1", message: 2 };
    leads_to(&[bought(), correct(Release, 1), second], &[]);
    let second = Correct { action: Release, seen: 1, reference: "r1", message: 2 };
    leads_to(&[bought(), correct(Hold, 1), second], &["product:P 2/0"]);
}

#[test]
fn the_corrections_of_linked_records_are_those_of_one_order() {
    let mut by_external = updated(AT, "PROCESSED", 2);
    by_external["data"]["id"] = json!(null);
    by_external["data"]["external_id"] = json!("E");
    let mut both = updated(AT + 1, "PROCESSED", 2);
    both["data"]["external_id"] = json!("E");
    let seen = observed([&by_external]).shown("s", "external-id:E").unwrap();
    let correction = |action, order: &str, message: &str| Correction {
        site: "s".into(),
        order: order.into(),
        action,
        shown: seen.clone(),
        reference: "r".into(),
        message_id: message.into(),
        received_at_us: 0,
    };
    let mut model = observed([&by_external]);
    model.correct(correction(Release, "external-id:E", "m1"));
    assert_eq!(stock(&model), [""; 0]);
    model.observe(&bytes(&both), RECEIVED);
    assert_eq!(stock(&model), [""; 0]);
    // The lower message id counts, whichever record it joined.
    model.correct(correction(Hold, "id:A", "m2"));
    assert_eq!(stock(&model), [""; 0]);
    model.correct(correction(Hold, "id:A", "m0"));
    assert_eq!(stock(&model), ["product:P 2/0"]);
}

#[test]
fn a_correction_may_come_before_its_order() {
    let bought = created(AT, "PROCESSED", 2);
    let mut model = Model::new(ModelPolicy::default());
    inputs(&[Body(bought.clone()), correct(Release, 1)])[1].tell(&mut model);
    assert_eq!(listed(&model, List::Waiting), ["id:A"]);
    model.observe(&bytes(&bought), RECEIVED);
    assert_eq!(stock(&model), [""; 0]);
    assert_eq!(listed(&model, List::Waiting), [""; 0]);
}

#[test]
fn what_was_shown_is_known_again_among_ties() {
    // Two updates that only a fingerprint tells apart; the tie break prefers three units to two.
    let [two, three] = [updated(AT, "SHIPPED", 2), updated(AT, "SHIPPED", 3)];
    let prefer_more = |tied: &Tied<'_>| {
        let Tied::Snapshots(tied) = tied else { panic!("{tied:?}") };
        let units = |place: &usize| tied[*place].lines[0].quantity;
        (0..tied.len()).max_by_key(units).unwrap()
    };
    let odd = updated(AT + 1, "ODD", 1);
    for (seen, expected) in [(&two, "product:P 0/1"), (&three, "product:P 1/0")] {
        let mut model = Model::new(ModelPolicy::default()).with_tie_break(prefer_more);
        model.correct(Correction {
            site: "s".into(),
            order: "id:A".into(),
            action: Release,
            shown: shown(std::slice::from_ref(seen)),
            reference: "r".into(),
            message_id: "m".into(),
            received_at_us: 0,
        });
        for body in [&two, &three, &odd] {
            model.observe(&bytes(body), RECEIVED);
        }
        // A release directly above the lower of the two leaves the shipment that the higher one
        // states.
        assert_eq!(stock(&model), [expected]);
    }
}
