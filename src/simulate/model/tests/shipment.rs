//! When goods have left, and since when.

use super::*;

/// Checks what a refund at a time leaves of three units, after these statuses at times 10, 20, ...
#[track_caller]
fn refunded(statuses: &[&str], at: i64, expected: &str) {
    let times = (1..).map(|place| AT + place * 10);
    let mut bodies: Vec<Value> =
        times.zip(statuses).map(|(time, status)| updated(time, status, 3)).collect();
    bodies.push(refund(AT + at, "R", "L", json!(1)));
    holds(&bodies, &[expected]);
}

#[test]
fn a_mis_click_is_taken_back_by_the_next_snapshot() {
    let bodies = [
        created(AT, "SHIPPED", 1),
        updated(AT + 1, "PROCESSED", 1),
        updated(AT + 2, "CANCELLED", 1),
        updated(AT + 3, "DELIVERED", 1),
    ];
    holds(&bodies[..1], &["product:P 0/1"]);
    holds(&bodies[..2], &["product:P 1/0"]);
    holds(&bodies[..3], &[]);
    holds(&bodies, &["product:P 0/1"]);
    // Neither an unknown status nor a deletion takes it back.
    for other in
        [updated(AT + 1, "ODD", 1), updated(AT + 1, "INCOMPLETE", 1), deleted(AT + 1, "PENDING")]
    {
        holds(
            &[created(AT, "SHIPPED", 1), other, updated(AT + 2, "DISPUTED", 1)],
            &["product:P 0/1"],
        );
    }
}

#[test]
fn goods_have_left_since_the_first_word_of_it_after_the_last_word_against_it() {
    let path = ["DISPATCHED", "PROCESSED", "SHIPPED", "DELIVERED"];
    refunded(&path, 29, "product:P 0/2");
    // Strictly before.
    refunded(&path, 30, "product:P 0/3");
    refunded(&path, 31, "product:P 0/3");
    refunded(&path[..2], 99, "product:P 2/0");
    refunded(&path[..1], 9, "product:P 0/2");
    refunded(&path[..1], 10, "product:P 0/3");
}

#[test]
fn the_lowest_64_words_of_it_and_the_highest_are_kept() {
    let mut statuses = vec!["SHIPPED"; 64];
    statuses.extend(["PROCESSED", "SHIPPED", "SHIPPED"]);
    // The 65th shipped status, at 660, is forgotten; the 66th is the highest.
    refunded(&statuses, 665, "product:P 0/2");
    refunded(&statuses, 670, "product:P 0/3");
    let statuses = &statuses[1..];
    refunded(statuses, 655, "product:P 0/3");
    refunded(statuses, 649, "product:P 0/2");
}

#[test]
fn a_creation_that_says_it_later_has_its_own_time() {
    // Its version is the lowest; its time is the one that it states.
    let bodies = [
        created(AT + 50, "SHIPPED", 3),
        updated(AT + 10, "DELIVERED", 3),
        refund(AT + 30, "R", "L", json!(1)),
    ];
    holds(&bodies, &["product:P 0/2"]);
}
