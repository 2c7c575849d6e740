//! Histories that nobody thought of: a fixed generator draws them from everything that a shop can
//! say about two orders, and they are played in several orders of arrival.

use serde_json::json;

use super::*;
use crate::domain::{Cancelled, Deleted, Restock, TestMode};

/// A generator of numbers, which are the same on every run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for place in (1..all.len()).rev() {
            let other = self.below(place + 1);
            all.swap(place, other);
        }
    }

    fn snapshot(&mut self) -> Arrived {
        let millis = i64::try_from(self.below(8)).unwrap();
        let lines: Vec<Value> = (0..self.below(3))
            .map(|_| {
                let mut line = json!({"id": self.of(&["l", "m"]), "quantity": 1 + self.below(3)});
                for kind in ["product_id", "variation_id", "sku"] {
                    line[kind] = self.of(&[json!(null), json!("X"), json!("Y")]);
                }
                line
            })
            .collect();
        let status = ["PENDING", "PROCESSED", "SHIPPED", "CANCELLED", "DISPUTED", "INCOMPLETE"];
        let refunds = [json!([]), json!([{"id": "r"}]), in_snapshot("r", 1), in_snapshot("s", 2)];
        let data = json!({
            "id": self.of(&[json!("A"), json!("A"), json!("B"), json!(null)]),
            "external_id": self.of(&[json!("E"), json!("F"), json!(null)]),
            "invoice_number": "7",
            "mode": self.of(&[json!(null), json!(null), json!("LIVE"), json!("TEST")]),
            "status": self.of(&status),
            "items": lines,
            "refunds": self.of(&refunds),
        });
        let kind = self.of(&["CREATED", "UPDATED", "UPDATED", "UPDATED", "DELETED"]);
        event(&format!("ECOMM_ORDER_{kind}"), millis, &data)
    }

    fn event(&mut self, seen: &[Shown], number: u32) -> Arrived {
        match self.below(10) {
            0 | 1 => {
                let millis = i64::try_from(self.below(8)).unwrap();
                let order = self.of(&["A", "B"]);
                let quantity = 1 + self.below(2);
                let items = json!([{"id": self.of(&["l", "m"]), "quantity": quantity}]);
                let id = self.of(&["r", "s"]);
                refund_with(millis, id, &json!({"order_id": order, "items": items}))
            }
            2 | 3 if !seen.is_empty() => {
                let order = self.of(&["id:A", "id:B", "external-id:E"]);
                correct_as(order, self.of(&Action::ALL), &self.of(seen), number)
            }
            _ => self.snapshot(),
        }
    }

    fn history(&mut self) -> Vec<Arrived> {
        let mut shop = Shop::new(&Policy::default());
        let (mut events, mut seen) = (Vec::new(), Vec::new());
        for number in 0..7 {
            let event = self.event(&seen, number);
            shop.arrive(&[&event]);
            let names: Vec<String> = shop.records.keys().map(ToString::to_string).collect();
            seen.extend(names.iter().filter_map(|name| shop.order(name).1.shown()));
            events.push(event);
        }
        events
    }
}

#[test]
fn whatever_the_history_the_order_of_arrival_leaves_no_trace() {
    let mut draw = Draw(1);
    for round in 0..120 {
        let policy = Policy {
            test_mode: draw.of(&[TestMode::Ignore, TestMode::Count]),
            cancelled: draw.of(&[
                Cancelled::ReleaseUnlessShipped,
                Cancelled::Release,
                Cancelled::Keep,
            ]),
            deleted: draw.of(&[Deleted::ReleaseUnlessShipped, Deleted::Release]),
            restock: draw.of(&[Restock::Unshipped, Restock::Never, Restock::Full, Restock::Lines]),
            ..Policy::default()
        };
        let events = draw.history();
        let mut first: Option<String> = None;
        for _ in 0..6 {
            let mut arrivals: Vec<&Arrived> = events.iter().collect();
            arrivals.push(&events[draw.below(events.len())]);
            arrivals.push(&events[draw.below(events.len())]);
            draw.shuffle(&mut arrivals);
            let mut shop = Shop::new(&policy);
            for together in arrivals.chunks(1 + draw.below(4)) {
                shop.arrive(together);
            }
            let normal = shop.normal();
            let first = first.get_or_insert_with(|| normal.clone());
            for (line, other) in normal.lines().zip(first.lines()) {
                assert_eq!(line, other, "round {round} under {policy:?}");
            }
            assert_eq!(normal, *first, "round {round} under {policy:?}");
        }
    }
}
