//! Tests that no order of arrival and no repetition affects any result.
//!
//! Facts have few names, few instants and few contents, so that they often tie, contest and
//! contradict each other. Without a tie break a tie goes to the least content, which is as good as
//! any.

use super::*;

/// A small generator of its own: the facts are the same everywhere.
struct Chance(u64);

impl Chance {
    /// Returns a number below `end`.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for place in (1..list.len()).rev() {
            list.swap(place, self.below(place + 1));
        }
    }
}

#[derive(Clone)]
enum Fact {
    Body(Bytes),
    Correction(Box<Correction>),
}

fn an_order(chance: &mut Chance) -> Value {
    let names = [
        json!({"id": "A"}),
        json!({"id": "A", "external_id": "E"}),
        json!({"external_id": "E"}),
        json!({"id": "B", "external_id": "E"}),
        json!({"id": "B", "external_id": "F"}),
        json!({"external_id": "F"}),
    ];
    let statuses = ["PROCESSED", "SHIPPED", "CANCELED", "ODD", "INCOMPLETE", "processed"];
    let lines = [
        json!([{"id": "L", "product_id": "P", "sku": "S", "quantity": 2}]),
        json!([{"id": "L", "sku": "S", "quantity": 2}]),
        json!([{"id": "L", "quantity": 3}]),
        json!([{"id": "L", "product_id": "Q", "quantity": 2}, {"sku": "S", "quantity": 1}]),
    ];
    let refunds = [
        json!([]),
        json!([{"id": "R"}]),
        json!([{"id": "R", "items":
        [{"id": "L", "quantity": 1}], "created": "2024-03-09T15:59:59Z"}]),
    ];
    let mut data = chance.pick(&names).clone();
    data["status"] = json!(chance.pick(&statuses));
    data["mode"] = chance.pick(&[json!("LIVE"), json!("LIVE"), json!("test"), json!(null)]).clone();
    data["items"] = chance.pick(&lines).clone();
    data["refunds"] = chance.pick(&refunds).clone();
    let kinds = ["CREATED", "UPDATED", "UPDATED", "UPDATED", "DELETED"];
    let at_ms = AT + i64::try_from(chance.below(4)).unwrap();
    event(&format!("ECOMM_ORDER_{}", chance.pick(&kinds)), at_ms, data)
}

/// Returns some facts; each correction was shown what was known when it was made.
fn facts(chance: &mut Chance) -> Vec<Fact> {
    let mut model = Model::new(ModelPolicy::default());
    let mut facts = Vec::new();
    for number in 0..2 + chance.below(8) {
        let name = *chance.pick(&["id:A", "id:B", "external-id:E"]);
        let shown = if chance.below(4) == 0 { model.shown("s", name) } else { None };
        if let Some(shown) = shown {
            facts.push(Fact::Correction(Box::new(Correction {
                site: "s".into(),
                order: name.into(),
                action: *chance.pick(&[Action::Release, Action::Hold, Action::Ship]),
                shown,
                reference: (*chance.pick(&["r", "q", "p"])).into(),
                message_id: format!("m{number}"),
                received_at_us: AT * 1000 + i64::try_from(chance.below(3000)).unwrap(),
            })));
        } else {
            let order = an_order(chance);
            let refund = refund(AT + 1, "R", "L", json!(1 + chance.below(2)));
            let body = if chance.below(6) == 0 { refund } else { order };
            facts.push(Fact::Body(bytes(&body)));
        }
        tell(&mut model, &facts[number]);
    }
    facts
}

fn tell(model: &mut Model, fact: &Fact) {
    match fact {
        Fact::Body(body) => {
            let verdict = model.observe(body, RECEIVED);
            assert!(matches!(verdict, Verdict::Counted { .. }), "{verdict:?} for {body:?}");
        }
        Fact::Correction(correction) => model.correct((**correction).clone()),
    }
}

#[test]
fn no_order_of_arrival_shows_in_any_answer() {
    let mut chance = Chance(7);
    let (mut held, mut corrected) = (0, 0);
    for restocked in [RestockedRefunds::Unshipped, RestockedRefunds::Lines] {
        for round in 0..150 {
            let mut facts = facts(&mut chance);
            let mut first = None;
            for _ in 0..3 {
                let mut model = Model::new(restock(restocked));
                for fact in &facts {
                    tell(&mut model, fact);
                }
                let lists = model.lists();
                held += usize::from(!model.stock().is_empty());
                corrected += usize::from(lists.values().any(|it| it.contains(&List::Corrected)));
                let links = model.links().clone();
                let found = (model.holders(), lists, links, model.settled_orders());
                assert_eq!(*first.get_or_insert_with(|| found.clone()), found, "round {round}");
                facts.push(chance.pick(&facts).clone());
                chance.shuffle(&mut facts);
            }
        }
    }
    assert!(held > 200 && corrected > 200, "{held} {corrected}");
}
