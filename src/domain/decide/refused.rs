//! What an order's state has no room for.

use serde_json::{Value, json};

use super::tests::{T0, event};
use super::*;
use crate::domain::{Outcome, REFUNDED_LINES_MAX, REFUNDS_MAX, Refused, Settled};

/// The state of an order, and events that arrive one after the other or together.
#[derive(Default)]
struct Order(Option<EntityState>);

impl Order {
    fn arrive(&mut self, events: &[&Event]) -> Vec<Result<Outcome, Refused>> {
        let in_force = PolicyInForce { revision: 1, policy: Policy::default() };
        let arrivals: Vec<_> = events
            .iter()
            .map(|event| Arrival {
                message_id: MessageId(uuid::Uuid::nil()),
                received_at: Timestamp::from_millis(T0),
                replays: 0,
                event_type: event.event_type.clone(),
            })
            .collect();
        let contents: Vec<_> = events.iter().map(|event| &event.content).zip(&arrivals).collect();
        let decision = decide(self.0.take(), &contents, &in_force).unwrap();
        self.0 = Some(decision.state);
        let outcome = |settled: Result<Settled, Refused>| settled.map(|settled| settled.outcome);
        decision.settled.into_iter().map(outcome).collect()
    }

    fn state(&self) -> &OrderState {
        match &self.0 {
            Some(EntityState::Order(state)) => state,
            other => panic!("{other:?} is no order"),
        }
    }

    /// How many units it holds.
    fn held(&self) -> String {
        self.state().applied.values().map(|hold| hold.committed.to_string()).collect()
    }
}

/// Refunds of these numbers, each with so many lines.
fn refunds(numbers: std::ops::Range<usize>, lines: usize) -> Value {
    let lines: Vec<_> = (0..lines).map(|it| json!({"id": it.to_string(), "quantity": 1})).collect();
    numbers.map(|number| json!({"id": format!("r{number}"), "items": lines})).collect()
}

fn order(name: &str, at: i64, quantity: usize, refunds: &Value) -> Event {
    let items = json!([{"id": "0", "product_id": "P", "quantity": quantity}]);
    let data = json!({"id": "O", "status": "PROCESSED", "items": items, "refunds": refunds});
    event(name, at, &data)
}

fn update(at: i64, quantity: usize, refunds: &Value) -> Event {
    order("ECOMM_ORDER_UPDATED", at, quantity, refunds)
}

fn refund(at: i64, id: &str) -> Event {
    let items = json!([{"id": "0", "quantity": 1}]);
    event("ECOMM_REFUND_CREATED", at, &json!({"id": id, "order_id": "O", "items": items}))
}

const TOO_MANY: Result<Outcome, Refused> = Err(Refused::TooManyRefunds);
const APPLIED: Result<Outcome, Refused> = Ok(Outcome::Applied);

#[test]
fn an_order_has_a_bounded_number_of_refunds_whichever_events_bring_them() {
    let mut state = Order::default();
    assert_eq!(state.arrive(&[&update(1, 1, &refunds(0..REFUNDS_MAX - 1, 1))]), [APPLIED]);
    assert_eq!(state.arrive(&[&refund(2, "last")]), [APPLIED]);
    let full = state.state().clone();
    // Refused whole: neither its quantity nor a place in the timeline is left behind.
    assert_eq!(state.arrive(&[&refund(3, "more")]), [TOO_MANY]);
    assert_eq!(state.arrive(&[&update(4, 9, &refunds(5..REFUNDS_MAX, 1))]), [TOO_MANY]);
    assert_eq!(*state.state(), full);
    // What is known, or nothing new, still has room.
    assert_eq!(state.arrive(&[&refund(2, "last")]), [Ok(Outcome::Duplicate)]);
    assert_eq!(state.arrive(&[&update(5, 5, &refunds(0..10, 1))]), [APPLIED]);
    assert_eq!((state.held().as_str(), state.state().refunds.len()), ("5", REFUNDS_MAX));
}

#[test]
fn of_events_that_arrive_together_only_those_without_room_are_refused() {
    let mut state = Order::default();
    let half = REFUNDS_MAX / 2;
    let events = [
        &update(1, 1, &refunds(0..half, 1)),
        &update(2, 2, &refunds(0..REFUNDS_MAX + 1 - half, 1)),
        &update(3, 3, &refunds(half..REFUNDS_MAX + 1, 1)),
        &refund(4, "more"),
        &update(5, 4, &json!([])),
    ];
    assert_eq!(state.arrive(&events), [APPLIED, APPLIED, TOO_MANY, APPLIED, APPLIED]);
    assert_eq!((state.held().as_str(), state.state().refunds.len()), ("4", half + 2));
}

#[test]
fn the_lines_of_all_refunds_are_bounded_together() {
    let (mut state, lines) = (Order::default(), 1000);
    let most = REFUNDED_LINES_MAX / lines;
    for number in 0..most {
        let event = update(1, 1, &refunds(number..number + 1, lines));
        assert_ne!(state.arrive(&[&event]), [TOO_MANY], "{number}");
    }
    assert_eq!(state.arrive(&[&refund(2, "more")]), [TOO_MANY]);
    // A later word on a refund takes the place of the earlier.
    assert_eq!(state.arrive(&[&update(3, 1, &refunds(0..1, lines - 1))]), [APPLIED]);
    assert_eq!(state.arrive(&[&refund(4, "more")]), [APPLIED]);
    assert_eq!(state.arrive(&[&update(5, 1, &refunds(0..1, lines))]), [TOO_MANY]);
}

#[test]
fn a_deletion_takes_effect_whether_its_refunds_have_room_or_not() {
    let mut state = Order::default();
    state.arrive(&[&update(1, 1, &refunds(0..REFUNDS_MAX, 1))]);
    let deletion = order("ECOMM_ORDER_DELETED", 2, 1, &refunds(1..REFUNDS_MAX + 1, 1));
    assert_eq!(state.arrive(&[&deletion]), [APPLIED]);
    assert_eq!((state.held().as_str(), state.state().refunds.len()), ("", REFUNDS_MAX));
    assert_eq!(state.arrive(&[&deletion]), [Ok(Outcome::Duplicate)]);
}
