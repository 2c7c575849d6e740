//! Webhooks with a wrong thing at one place, and what must become of them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use bytes::Bytes;
use rand::{Rng, RngExt};
use rust_decimal::Decimal;
use storekeeper::domain::{
    Code, Content, Decoded, EntityName, EntityState, Hold, Policy, PolicyInForce, Rejection,
};
use storekeeper::simulate::model::{Counts, Item, Verdict};
use storekeeper::simulate::{Model, ModelPolicy};

use super::{decoded, event_type, matters, outcome};
use crate::bodies::{Place, places, webhooks};
use crate::properties::decode::{self, RECEIVED};
use crate::rules_say::{Role, Then, Thing, role, then};

/// Stands in every wrong text, and must never be in an error's detail.
pub(super) const PLANTED: &str = "planted-value";

/// Wrong things that are JSON, cheap ones first.
pub(super) static WRONG: LazyLock<Vec<(Thing, String)>> = LazyLock::new(|| {
    let nested = |open: &str, close: &str| [open.repeat(10_000), close.repeat(10_000)].concat();
    let quoted = |text: &str| format!("\"{PLANTED}{text}\"");
    let mut wrong: Vec<(Thing, String)> = [
        (Thing::Null, "null"),
        (Thing::Empty, "\"\""),
        (Thing::Whole, "7"),
        (Thing::Whole, "0"),
        (Thing::NegativeZero, "-0"),
        (Thing::Odd, "-1.5"),
        (Thing::Odd, "1e400"),
        (Thing::Odd, "-1e-400"),
        (Thing::Odd, "0.0000001"),
        (Thing::Odd, "1000000000.1"),
        (Thing::Huge, "1717500000000"),
        (Thing::HugeText, "\"1717500000000\""),
        (Thing::Flag, "true"),
        (Thing::Flag, "false"),
        (Thing::Object, "{}"),
        (Thing::EmptyList, "[]"),
        (Thing::ListOfObjects, "[{}]"),
        (Thing::ListOfLists, "[[],{}]"),
        (Thing::WordOfStatuses, "\"CANCELLED\""),
        (Thing::WordOfStatuses, "\"SHIPPED\""),
        (Thing::WordOfModes, "\"TEST\""),
        (Thing::WordOfEvents, "\"ECOMM_ORDER_DELETED\""),
        (Thing::BrokenText, "\"\\ud83c\""),
    ]
    .map(|(thing, text)| (thing, text.to_owned()))
    .to_vec();
    wrong.push((Thing::Text, quoted("")));
    wrong.push((Thing::Control, quoted(r"\u0000\u0007\n\u0085\u202e")));
    wrong.push((Thing::Long, quoted(&"x".repeat(257 - PLANTED.len()))));
    wrong.push((Thing::Text, quoted(" \u{1f3ee}\u{301}\u{10ffff}")));
    let line = format!("{{\"id\":{0},\"items\":[{{\"id\":{0},\"quantity\":{0}}}]}}", quoted(""));
    wrong.push((Thing::WithLines, line));
    wrong.push((Thing::LongList, format!("[{}]", vec!["{\"quantity\":1}"; 1001].join(","))));
    wrong.push((Thing::ListOfLists, nested("[", "]")));
    wrong.push((Thing::Object, nested("{\"a\":", "}").replace(":}", ":[]}")));
    wrong.push((Thing::Long, quoted(&"x".repeat(1 << 16))));
    wrong
});

/// A webhook with a wrong thing at one place that a rule reads.
pub(super) struct Wronged<'a> {
    body: &'a str,
    event_type: &'a str,
    place: &'a Place,
    thing: Thing,
    /// What the body is now.
    pub(super) now: String,
}

impl<'a> Wronged<'a> {
    /// With that thing in the place, or without the place.
    pub(super) fn new(
        body: &'a str,
        event_type: &'a str,
        place: &'a Place,
        (thing, text): (Thing, &str),
    ) -> Self {
        let is_missing = thing == Thing::Missing;
        let now = if is_missing { place.remove(body) } else { place.replace(body, text) };
        let was = body.get(place.value.clone()).unwrap();
        let is_number =
            matches!(role(event_type, &place.path), Some(Role::Timestamp | Role::Quantity));
        let same = was == text || (is_number && was.trim_matches('"') == text.trim_matches('"'));
        // Of a key that stands twice, the first counts again without the last.
        let is_uncovered = is_missing && count(body, &place.path) > 1;
        let is_element = place.path.ends_with("[]");
        let thing = if same || (is_uncovered && !is_element) { Thing::Exact } else { thing };
        Self { body, event_type, place, thing, now }
    }

    /// The body as if nothing were said in the place.
    fn without(&self) -> String {
        let is_element = self.place.path.ends_with("[]");
        if is_element {
            self.place.remove(self.body)
        } else {
            self.place.replace(self.body, "null")
        }
    }

    /// What the rules say of it.
    fn then(&self) -> Then {
        let path = &self.place.path;
        let role = role(self.event_type, path).unwrap_or_else(|| {
            panic!("rules_say.rs must say what {path} of {} is", self.event_type)
        });
        let then = then(role, self.thing);
        match then {
            Then::Nameless(_) if self.is_named_otherwise() => Then::AsWithout,
            Then::Nameless(code) => Then::Refused(code),
            Then::Refused(Code::SiteMismatch) if !self.names("data.siteAlias", self.whole()) => {
                Then::Counts
            }
            Then::Counts if self.is_of_nameless_refund() => Then::AsBefore,
            Then::Refused(_)
            | Then::AsWithout
            | Then::Counts
            | Then::AsBefore
            | Then::AsTheModelSays => then,
        }
    }

    /// Whether it is about a line of a refund that has no id, of which only their form is read.
    fn is_of_nameless_refund(&self) -> bool {
        let path = &self.place.path;
        let (refund, id) = if self.event_type == "ECOMM_REFUND_CREATED" {
            ("data", "data.id")
        } else {
            ("data.refunds[]", "data.refunds[].id")
        };
        if !path.starts_with(&format!("{refund}.items[]")) {
            return false;
        }
        let is_around =
            |it: &Place| it.path == refund && it.value.contains(&self.place.value.start);
        let refund = places(self.body).into_iter().find(is_around).unwrap();
        !self.names(id, refund.value)
    }

    fn whole(&self) -> Range<usize> {
        0..self.body.len()
    }

    /// Whether a field within a part of the body names something.
    fn names(&self, field: &str, part: Range<usize>) -> bool {
        places(self.body).iter().any(|it| {
            let is_nothing = matches!(self.body.get(it.value.clone()), Some("null" | "\"\""));
            it.path == field && part.contains(&it.value.start) && !it.shadowed && !is_nothing
        })
    }

    /// Whether another field names what the body is about.
    fn is_named_otherwise(&self) -> bool {
        let names: &[&str] = match self.place.path.as_str() {
            "data.entityId" if self.event_type.starts_with("STORE_ORDER_") => {
                &["data.data.orderId"]
            }
            "data.data" | "data.data.orderId" => &["data.entityId"],
            path if self.event_type.starts_with("ECOMM_ORDER_") => match path {
                "data.id" => &["data.external_id", "data.invoice_number"],
                "data.external_id" => &["data.id", "data.invoice_number"],
                _ => &["data.id", "data.external_id"],
            },
            _ => &[],
        };
        names.iter().any(|name| self.names(name, self.whole()))
    }
}

/// How often a path occurs in a body.
fn count(body: &str, path: &str) -> usize {
    places(body).iter().filter(|place| place.path == path).count()
}

/// What a body means to the model, which shares no code with the rules: its verdict, and how much
/// of each stock item is committed and fulfilled.
type Meaning = (Verdict, BTreeMap<String, (Decimal, Decimal)>);

fn meaning_to_the_model(body: &str) -> Meaning {
    let mut model = Model::new(ModelPolicy::default());
    let verdict = model.observe(&Bytes::copy_from_slice(body.as_bytes()), RECEIVED.millis());
    let counts = |(item, counts): (Item, Counts)| (item.key, (counts.committed, counts.fulfilled));
    (verdict, model.stock().into_iter().map(counts).collect())
}

/// The same by the rules.
fn meaning(outcome: &Result<Decoded, Box<Rejection>>) -> Meaning {
    let event = match outcome {
        Err(rejection) => return (Verdict::DeadLetter(rejection.code.as_str()), BTreeMap::new()),
        Ok(Decoded::Unknown { .. }) => return (Verdict::Ignored, BTreeMap::new()),
        Ok(Decoded::Event(event)) => event,
    };
    let verdict = match (event.content.entity(), &event.content) {
        (EntityName::Order(_), Content::Notice(_)) => Verdict::Notice,
        (EntityName::Order(order), _) => {
            Verdict::Counted { site: event.site.to_string(), order: order.to_string() }
        }
        (EntityName::Catalogue(entry), _) if entry.to_string().starts_with("store-") => {
            Verdict::Notice
        }
        (EntityName::Catalogue(_), _) => Verdict::Catalogue,
        (EntityName::Receipt(_), _) => panic!("a webhook is no receipt"),
    };
    let in_force = PolicyInForce { revision: 1, policy: Policy::default() };
    let holds = match decode::join(None, event, &in_force).state {
        EntityState::Order(order) => order.applied,
        EntityState::Catalogue(_) | EntityState::Receipt(_) => BTreeMap::new(),
    };
    let counts = |hold: Hold| (hold.committed.to_decimal(), hold.fulfilled.to_decimal());
    (verdict, holds.into_iter().map(|(key, hold)| (key.to_string(), counts(hold))).collect())
}

/// What is wrong with what became of a body with a wrong thing at a place that a rule reads.
pub(super) fn faults(
    wronged: &Wronged<'_>,
    unchanged: &Decoded,
    case: &dyn Fn() -> String,
) -> Vec<String> {
    let outcome = outcome(wronged.now.as_bytes(), case);
    let without = || decoded(wronged.without().as_bytes(), case);
    let then = wronged.then();
    let is_right = match then {
        Then::Refused(code) => outcome.as_ref().is_err_and(|refused| refused.code == code),
        Then::AsWithout => outcome.is_ok() && outcome == without(),
        Then::Counts => outcome.as_ref().is_ok_and(|now| now != unchanged) && outcome != without(),
        Then::AsBefore => outcome.as_ref().is_ok_and(|now| now == unchanged),
        Then::Nameless(_) | Then::AsTheModelSays => true,
    };
    let mut faults = Vec::new();
    if !is_right {
        faults.push(format!("{}: {then:?}, but it is {outcome:?}", case()));
    }
    let (by_rules, by_model) = (meaning(&outcome), meaning_to_the_model(&wronged.now));
    if by_rules != by_model {
        faults.push(format!("{}: {by_rules:?}, but the model says {by_model:?}", case()));
    }
    faults
}

/// Bodies with something wrong, for a server: what it is, the body, and the code of the dead
/// letter that it must become, if it must become one.
pub(crate) fn wrong_bodies(random: &mut impl Rng) -> Vec<(String, String, Option<&'static str>)> {
    let mut bodies = Vec::new();
    for (name, body) in webhooks() {
        let event_type = event_type(&body);
        for place in places(&body).iter().filter(|place| matters(place, &event_type)) {
            let (thing, text) = &WRONG[random.random_range(0..WRONG.len())];
            let wronged = Wronged::new(&body, &event_type, place, (*thing, text));
            let code = match wronged.then() {
                Then::Refused(code) => Some(code.as_str()),
                Then::AsWithout | Then::Counts | Then::AsBefore => None,
                Then::Nameless(_) | Then::AsTheModelSays => {
                    let verdict = meaning_to_the_model(&wronged.now).0;
                    if let Verdict::DeadLetter(code) = verdict { Some(code) } else { None }
                }
            };
            bodies.push((format!("{name}: {} = {thing:?}", place.path), wronged.now, code));
        }
        // Longer than a byte order mark, so that something is left.
        let length = random.random_range(4..body.trim_end().len());
        let length = body.floor_char_boundary(length);
        let cut = body.get(..length).unwrap().to_owned();
        bodies.push((format!("{name}: the first {length} bytes"), cut, Some("decode.not_json")));
    }
    bodies
}
