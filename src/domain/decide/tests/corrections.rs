//! What a person corrects, and how long the correction is in force.

use serde_json::json;

use super::*;
use crate::domain::Action::{Hold, Release, Ship};
use crate::domain::{Deleted, Restock};

/// Returns the events and corrections together.
fn with(events: &[Arrived], more: &[Arrived]) -> Vec<Arrived> {
    [events, more].concat()
}

#[test]
fn a_release_holds_nothing_while_the_latest_snapshot_says_the_same_words() {
    for status in ["PENDING", "PROCESSED", "DISPUTED", "SHIPPED", "SOMETHING"] {
        let events = [says(1, status)];
        let release = correct(Release, &shown(&events), 1);
        holds(&with(&events, std::slice::from_ref(&release)), "");
        // An order that is merely repeated does not hold again, whatever names its lines have.
        holds(&with(&events, &[release.clone(), says(9, status)]), "");
        let renamed = json!([{"id": "l", "product_id": "Q", "name": "Mug", "quantity": "2.0"}]);
        let renamed = update(9, &json!({"status": status, "items": renamed, "mode": "LIVE"}));
        holds(&with(&events, &[release, renamed]), "");
    }
}

#[test]
fn other_words_take_the_force_from_a_release() {
    let events = [says(1, "PENDING")];
    let release = correct(Release, &shown(&events), 1);
    let released = with(&events, &[release]);
    holds(&with(&released, &[says(9, "PROCESSED")]), "product:P committed 2");
    let more = update(9, &json!({"status": "PENDING", "items": items(3)}));
    holds(&with(&released, &[more]), "product:P committed 3");
    let other_line = json!([{"id": "m", "product_id": "P", "quantity": 2}]);
    let other_line = update(9, &json!({"status": "PENDING", "items": other_line}));
    holds(&with(&released, &[other_line]), "product:P committed 2");
    // An unknown status is compared as it is written.
    let events = [says(1, "ODD")];
    let release = correct(Release, &shown(&events), 1);
    holds(&with(&events, &[release.clone(), says(9, "odd")]), "product:P committed 2");
    // When the words shown return, the release is in force again.
    holds(&with(&events, &[release, says(9, "odd"), says(10, "ODD")]), "");
}

#[test]
fn a_line_without_an_id_is_told_by_its_names() {
    let line = |product: &str, millis| {
        update(millis, &json!({"items": [{"product_id": product, "quantity": 2}]}))
    };
    let release = correct(Release, &shown(&[line("P", 1)]), 1);
    holds(&[line("P", 1), release.clone(), line("P", 9)], "");
    holds(&[line("P", 1), release, line("Q", 9)], "product:Q committed 2");
}

#[test]
fn while_a_hold_decides_incomplete_cancelled_and_test_do_not_matter() {
    let expected = "product:P committed 2";
    for change in [
        json!({"status": "INCOMPLETE"}),
        json!({"status": "CANCELLED"}),
        json!({"mode": "TEST"}),
        json!({"mode": "TEST", "status": "CANCELED"}),
        json!({}),
    ] {
        let events = [update(1, &change)];
        let hold = correct(Hold, &shown(&events), 1);
        holds(&with(&events, std::slice::from_ref(&hold)), expected);
        let mut again = change;
        again["mode"] = json!(null);
        holds(&with(&events, &[hold, update(9, &again)]), expected);
    }
    let left = [says(1, "SHIPPED"), says(2, "INCOMPLETE")];
    holds(&with(&left, &[correct(Hold, &shown(&left), 1)]), "product:P fulfilled 2");
}

#[test]
fn a_hold_ends_with_the_words_that_were_shown() {
    let events = [says(1, "CANCELLED")];
    let hold = correct(Hold, &shown(&events), 1);
    let more = update(9, &json!({"status": "CANCELLED", "items": items(3)}));
    holds(&with(&events, &[hold.clone(), more]), "");
    holds(&with(&events, &[hold, says(9, "INCOMPLETE")]), "");
}

#[test]
fn refunds_matter_while_a_hold_decides() {
    let events = [says(1, "CANCELLED")];
    let hold = correct(Hold, &shown(&events), 1);
    holds(&with(&events, &[hold, refund(2, "r", 1)]), "product:P committed 1");
    let events = [says(1, "REFUNDED")];
    let hold = correct(Hold, &shown(&events), 1);
    let all = with(&events, &[hold]);
    holds(&all, "");
    let never = policy(|policy| policy.restock = Restock::Never);
    check(&never, &all, "product:P committed 2");
}

#[test]
fn a_hold_takes_back_deletions_up_to_the_one_shown_for_good() {
    let first = [created(&json!({})), deleted(3), update(9, &json!({}))];
    let hold = correct(Hold, &shown(&first), 1);
    let shop = holds(&with(&first, std::slice::from_ref(&hold)), "product:P committed 2");
    assert_eq!(shop.lists("id:O"), ["corrected"]);
    // An older deletion that arrives later is revoked too, even once the hold itself no longer
    // decides.
    holds(&with(&first, &[hold.clone(), deleted(2)]), "product:P committed 2");
    let other = update(10, &json!({"items": items(5)}));
    holds(&with(&first, &[hold.clone(), other]), "product:P committed 5");
    // This is so under either policy.
    let release = policy(|policy| policy.deleted = Deleted::Release);
    check(&release, &with(&first, std::slice::from_ref(&hold)), "product:P committed 2");
    // A newer deletion is not revoked.
    holds(&with(&first, &[hold, deleted(4)]), "");
    // Nor is one that was not shown.
    let unaware = correct(Hold, &shown(&[created(&json!({}))]), 1);
    holds(&[created(&json!({})), deleted(3), unaware], "");
}

#[test]
fn a_newer_deletion_ends_what_a_hold_lets_pass() {
    let first = [says(1, "SHIPPED"), update(2, &json!({"status": "CANCELLED", "mode": "TEST"}))];
    let hold = correct(Hold, &shown(&first), 1);
    holds(&with(&first, std::slice::from_ref(&hold)), "product:P fulfilled 2");
    // The order is deleted and its goods have left, so the hold no longer excludes TEST.
    holds(&with(&first, &[hold, deleted(3)]), "");
}

#[test]
fn a_released_hold_leaves_the_deletion_taken_back() {
    let first = [created(&json!({})), deleted(3)];
    let seen = shown(&first);
    let (hold, release) = (correct(Hold, &seen, 1), correct(Release, &seen, 2));
    holds(&with(&first, &[hold.clone(), release.clone()]), "");
    let other = update(9, &json!({"items": items(5)}));
    holds(&with(&first, &[hold, release, other]), "product:P committed 5");
}

#[test]
fn of_releases_and_holds_the_one_received_last_decides() {
    let first = [says(1, "CANCELLED")];
    let seen = shown(&first);
    let (hold, release) = (correct(Hold, &seen, 1), correct(Release, &seen, 2));
    holds(&with(&first, &[hold, release]), "");
    let (release, hold) = (correct(Release, &seen, 1), correct(Hold, &seen, 2));
    let expected = "product:P committed 2";
    holds(&with(&first, &[release.clone(), hold.clone()]), expected);
    // If both were received at the same time, the greater message id decides.
    let at_once = |it: Arrived| it.received(at(5));
    let (release, hold) = (at_once(release), at_once(hold));
    holds(&with(&first, &[release.clone().by_message(1), hold.clone().by_message(2)]), expected);
    holds(&with(&first, &[release.by_message(2), hold.by_message(1)]), "");
}

#[test]
fn the_last_one_decides_or_none_does() {
    let first = [says(1, "PENDING"), says(2, "CANCELLED")];
    let hold = correct(Hold, &shown(&first), 1);
    holds(&with(&first, std::slice::from_ref(&hold)), "product:P committed 2");
    // The release is the last, and is about other words, so neither decides.
    let release = correct(Release, &shown(&first[..1]), 2);
    holds(&with(&first, &[hold, release]), "");
}

#[test]
fn no_clock_of_ours_is_compared_with_the_stores() {
    let first = [says(1, "PENDING")];
    let seen = shown(&first);
    for received_at in [Timestamp::from_micros(0), at(1_000_000_000)] {
        let release = correct(Release, &seen, 1).received(received_at);
        holds(&with(&first, std::slice::from_ref(&release)), "");
        holds(&with(&first, &[release, says(5, "PROCESSED")]), "product:P committed 2");
    }
}

#[test]
fn a_release_also_says_that_the_goods_have_not_left() {
    let first = [says(1, "SHIPPED")];
    let release = correct(Release, &shown(&first), 1);
    let disputed = says(5, "DISPUTED");
    holds(&with(&first, std::slice::from_ref(&disputed)), "product:P fulfilled 2");
    let released = with(&first, &[release, disputed]);
    holds(&released, "product:P committed 2");
    // Its place is directly above the version shown, so newer events still count.
    holds(&with(&released, &[says(4, "SHIPPED")]), "product:P fulfilled 2");
}

#[test]
fn a_shipped_order_has_left_since_the_correction_was_received() {
    let first = [says(1, "PROCESSED")];
    // It is received 5,000 ms after the beginning.
    let ship = correct(Ship, &shown(&first), 5);
    let after = holds(&with(&first, std::slice::from_ref(&ship)), "product:P fulfilled 2");
    assert!(after.order("id:O").1.departure().unwrap().by_hand);
    let refunded = |millis| with(&first, &[ship.clone(), refund(millis, "r", 1)]);
    holds(&refunded(4999), "product:P fulfilled 1");
    holds(&refunded(5000), "product:P fulfilled 2");
    // A body placed above it does not change that.
    holds(&with(&refunded(4999), &[says(9, "SHIPPED")]), "product:P fulfilled 1");
    holds(&with(&first, &[ship.clone(), says(9, "CANCELLED")]), "product:P fulfilled 2");
    holds(&with(&first, &[ship, deleted(9)]), "product:P fulfilled 2");
}

#[test]
fn whoever_says_the_words_shown_again_does_not_take_a_ship_back() {
    let first = [says(1, "PROCESSED")];
    let ship = correct(Ship, &shown(&first), 1);
    let shipped = with(&first, &[ship]);
    holds(&with(&shipped, &[says(9, "PROCESSED")]), "product:P fulfilled 2");
    let other = |status: &str, quantity: u32| {
        update(9, &json!({"status": status, "items": items(quantity)}))
    };
    holds(&with(&shipped, &[other("PROCESSED", 3)]), "product:P committed 3");
    holds(&with(&shipped, &[other("PENDING", 2)]), "product:P committed 2");
    // The highest snapshot counts: it repeats the words shown, after others.
    let again = with(&shipped, &[other("PENDING", 2), says(10, "PROCESSED")]);
    holds(&again, "product:P fulfilled 2");
    // A snapshot that says nothing about shipment revokes nothing.
    holds(&with(&shipped, &[other("DISPUTED", 3)]), "product:P fulfilled 3");
}

#[test]
fn of_a_release_and_a_ship_above_one_version_the_one_received_last_is_the_higher() {
    let first = [says(1, "PROCESSED")];
    let seen = shown(&first);
    let disputed = says(9, "DISPUTED");
    let play = |corrections: &[Arrived], expected: &str| {
        holds(&[&first, corrections, std::slice::from_ref(&disputed)].concat(), expected);
    };
    play(&[correct(Ship, &seen, 1), correct(Release, &seen, 2)], "product:P committed 2");
    play(&[correct(Release, &seen, 1), correct(Ship, &seen, 2)], "product:P fulfilled 2");
    // A release placed above the ship revokes it, even if the words shown are repeated.
    let later = [says(1, "PROCESSED"), says(5, "PROCESSED")];
    let release = correct(Release, &shown(&later), 2);
    let all = with(&later, &[correct(Ship, &seen, 1), release, disputed.clone()]);
    holds(&all, "product:P committed 2");
    // A release placed below it does not, even if it was received later.
    let ship = correct(Ship, &shown(&later), 1);
    let all = with(&later, &[ship, correct(Release, &seen, 2), disputed.clone()]);
    holds(&all, "product:P fulfilled 2");
}

#[test]
fn a_ship_moves_nothing_of_a_released_or_test_order_until_it_is_held() {
    let first = [says(1, "PROCESSED")];
    let seen = shown(&first);
    let released = with(&first, &[correct(Release, &seen, 1), correct(Ship, &seen, 2)]);
    holds(&released, "");
    holds(&with(&released, &[correct(Hold, &seen, 3)]), "product:P fulfilled 2");
    let test = [update(1, &json!({"mode": "TEST"}))];
    let seen = shown(&test);
    let shipped = with(&test, &[correct(Ship, &seen, 1)]);
    holds(&shipped, "");
    holds(&with(&shipped, &[correct(Hold, &seen, 2)]), "product:P fulfilled 2");
}

#[test]
fn of_two_corrections_under_one_reference_the_lower_message_counts() {
    let first = [says(1, "CANCELLED")];
    let seen = shown(&first);
    let both = |hold: u128, release: u128| {
        let hold = correct(Hold, &seen, 7).by_message(hold);
        with(&first, &[hold, correct(Release, &seen, 7).by_message(release)])
    };
    let shop = holds(&both(1, 2), "product:P committed 2");
    assert_eq!(shop.findings.corrections, 1);
    assert_eq!(shop.order("id:O").1.corrections.len(), 1);
    holds(&both(2, 1), "");
}

#[test]
fn a_correction_may_come_before_its_order_and_waits() {
    let first = [says(1, "PENDING")];
    let release = correct(Release, &shown(&first), 1);
    let shop = holds(&[release], "");
    assert_eq!(shop.lists("id:O"), ["waiting", "corrected"]);
}

#[test]
fn a_correction_counts_for_the_order_that_its_name_leads_to() {
    let first = [created(&json!({"external_id": "E"}))];
    let seen = shown(&first);
    let release = correct_as("external-id:E", Release, &seen, 1);
    let shop = holds(&with(&first, &[release]), "");
    assert_eq!(shop.lists("id:O"), ["corrected"]);
}

#[test]
fn what_was_shown_is_opaque_and_says_whether_the_order_still_says_so() {
    let first = [created(&json!({}))];
    let seen = shown(&first);
    assert_eq!(Shown::parse(&seen.token()), Ok(seen));
    assert!(Shown::parse("nonsense").is_err());
    let after = |more: &[Arrived]| shown(&with(&first, more));
    assert!(seen.is_still(&after(&[update(5, &json!({}))])));
    assert!(!seen.is_still(&after(&[says(5, "SHIPPED")])));
    assert!(!seen.is_still(&after(&[deleted(5)])));
    assert!(after(&[deleted(5)]).is_still(&after(&[deleted(5)])));
    assert!(!after(&[deleted(5)]).is_still(&after(&[deleted(4)])), "nobody saw a later deletion");
    let waiting = Shop::after(&Policy::default(), &[refund(1, "r", 1)]);
    assert_eq!(
        waiting.order("id:O").1.shown(),
        None,
        "without a snapshot there is nothing to show"
    );
}
