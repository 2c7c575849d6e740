//! Webhooks with a wrong thing at one place, and what must become of them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use bytes::Bytes;
use rand::{Rng, RngExt};
use rust_decimal::Decimal;
use storekeeper::domain::{
    Code, Content, Counts as RulesCounts, Decoded, Oddities, OrderId, Policy, PolicyInForce, Rank,
    Rejection, StockKey,
};
use storekeeper::simulate::model::{Counts, Item, Verdict};
use storekeeper::simulate::{Model, ModelPolicy};

use super::{decoded, event_type, matters, outcome};
use crate::bodies::{Place, places, webhooks};
use crate::properties::decode::{RECEIVED, Shop};
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
        (Thing::Blank, "\" \\t\\u2003\""),
        (Thing::Whole, "7"),
        (Thing::Zero, "0"),
        (Thing::Odd, "-0"),
        (Thing::Odd, "-1.5"),
        (Thing::Odd, "1e400"),
        (Thing::Odd, "-1e-400"),
        (Thing::Fine, "0.0000001"),
        (Thing::Fine, "7.00000050000000000000000000001"),
        (Thing::Odd, "1000000000.1"),
        (Thing::Huge, "1717500000000"),
        (Thing::HugeText, "\"1717500000000\""),
        (Thing::Yes, "true"),
        (Thing::No, "false"),
        (Thing::Object, "{}"),
        (Thing::EmptyList, "[]"),
        (Thing::ListOfObjects, "[{}]"),
        (Thing::ListOfLists, "[[],{}]"),
        (Thing::WordOfStatuses, "\"CANCELLED\""),
        (Thing::WordOfStatuses, "\"SHIPPED\""),
        (Thing::WordOfModes, "\"TEST\""),
        (Thing::WordOfEvents, "\"ECOMM_ORDER_DELETED\""),
        (Thing::WordOfGoods, "\"SERVICE\""),
        (Thing::Time, "\"2024-05-01T08:00:00Z\""),
        (Thing::BrokenText, "\"\\ud83c\""),
    ]
    .map(|(thing, text)| (thing, text.to_owned()))
    .to_vec();
    wrong.push((Thing::Text, quoted("")));
    wrong.push((Thing::Control, quoted(r"\u0000\u0007\n\u0085\u202e.")));
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
            Then::Nameless(code) => match self.other_names() {
                Other::Read => Then::AsWithout,
                Other::Unreadable => Then::Refused(Code::InvalidIdentifier),
                Other::Invoice if role != Role::Invoice => Then::AsWithout,
                Other::Invoice | Other::None => Then::Refused(code),
            },
            Then::Unreadable => match (self.other_names(), role) {
                (Other::Read, _) => Then::AsUnreadable,
                (Other::None, Role::Invoice) => Then::Refused(Code::NoIdentity),
                (Other::Unreadable | Other::Invoice | Other::None, _) => {
                    Then::Refused(Code::InvalidIdentifier)
                }
            },
            Then::Refused(Code::SiteMismatch)
                if self.read("data.siteAlias", self.whole()) != Some(Read::Name) =>
            {
                Then::Counts
            }
            Then::Counts if self.is_of_nameless_refund() || self.is_of_money() => Then::AsBefore,
            Then::Refused(_)
            | Then::AsWithout
            | Then::AsUnreadable
            | Then::AsLive
            | Then::Counts
            | Then::AsBefore
            | Then::AsTheModelSays => then,
        }
    }

    /// Whether it is about a part of an order's refund that has no id, of which only its form is
    /// read.
    fn is_of_nameless_refund(&self) -> bool {
        let path = &self.place.path;
        if !path.starts_with("data.refunds[].") || path == "data.refunds[].id" {
            return false;
        }
        let is_around =
            |it: &Place| it.path == "data.refunds[]" && it.value.contains(&self.place.value.start);
        let refund = places(self.body).into_iter().find(is_around).unwrap();
        self.read("data.refunds[].id", refund.value) != Some(Read::Name)
    }

    /// Whether it is the id of a refunded line that is about money.
    fn is_of_money(&self) -> bool {
        let (path, at) = (&self.place.path, self.place.value.start);
        let Some(line) = path.strip_suffix(".id").filter(|line| line.ends_with("items[]")) else {
            return false;
        };
        if line == "data.items[]" && self.event_type != "ECOMM_REFUND_CREATED" {
            return false;
        }
        let places = places(self.body);
        let line = places.iter().find(|it| it.path == line && it.value.contains(&at)).unwrap();
        let quantity = format!("{}.quantity", line.path);
        let is_quantity = |it: &&Place| it.path == quantity && line.value.contains(&it.value.start);
        let quantity = places.iter().find(is_quantity);
        quantity.is_none_or(|it| self.body.get(it.value.clone()) == Some("null"))
    }

    fn whole(&self) -> Range<usize> {
        0..self.body.len()
    }

    /// What a field within a part of the body says as a name; `None` if it is not there.
    fn read(&self, field: &str, part: Range<usize>) -> Option<Read> {
        let places = places(self.body);
        let place = places
            .iter()
            .find(|it| it.path == field && part.contains(&it.value.start) && !it.shadowed)?;
        Some(read(self.body.get(place.value.clone()).unwrap()))
    }

    /// What the other fields say that could name what the body is about.
    fn other_names(&self) -> Other {
        let path = self.place.path.as_str();
        let fields: &[&str] = if self.event_type.starts_with("STORE_ORDER_") {
            &["data.entityId", "data.data.orderId"]
        } else {
            &["data.id", "data.external_id"]
        };
        // The details of a notice hold its order's second name.
        let is_other = |field: &&&str| **field != path && !field.starts_with(&format!("{path}."));
        let reads: Vec<_> = fields
            .iter()
            .filter(is_other)
            .filter_map(|field| self.read(field, self.whole()))
            .collect();
        let invoice = self.read("data.invoice_number", self.whole());
        if reads.contains(&Read::Name) {
            Other::Read
        } else if reads.contains(&Read::Unreadable) {
            Other::Unreadable
        } else if path != "data.invoice_number" && invoice == Some(Read::Name) {
            Other::Invoice
        } else {
            Other::None
        }
    }
}

/// What the other names of an order are good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Other {
    /// One tells the order.
    Read,
    /// None tells it, and one cannot be read.
    Unreadable,
    /// There is an invoice number and no other.
    Invoice,
    None,
}

/// What a value says as a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    Nothing,
    Name,
    Unreadable,
}

fn read(value: &str) -> Read {
    let is_digits = !value.starts_with('0') && value.bytes().all(|byte| byte.is_ascii_digit());
    match serde_json::from_str::<Option<String>>(value) {
        Ok(None) => Read::Nothing,
        Ok(Some(text)) if text.trim().is_empty() => Read::Nothing,
        Ok(Some(text)) if text.trim().len() > 256 || text.trim().contains(char::is_control) => {
            Read::Unreadable
        }
        Ok(Some(_)) => Read::Name,
        Err(_) if is_digits => Read::Name,
        Err(_) => Read::Unreadable,
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
    let counted = |order: &OrderId| Verdict::Counted {
        site: event.site.to_string(),
        order: order.to_string(),
    };
    let verdict = match &event.content {
        // Of a notice only that an order is deleted says something of stock.
        Content::Notice(notice) if notice.version.rank == Rank::Deleted => {
            counted(notice.names.own())
        }
        Content::Notice(_) => Verdict::Notice,
        Content::Order(order) => counted(order.names.own()),
        Content::Refund(refund) => counted(&refund.order),
        Content::Catalogue(entry) if entry.entry.to_string().starts_with("store-") => {
            Verdict::Notice
        }
        Content::Catalogue(_) => Verdict::Catalogue,
        Content::Receipt(_) | Content::Correction(_) => panic!("no webhook says that"),
    };
    let in_force = PolicyInForce { revision: 1, policy: Policy::default() };
    let mut shop = Shop::new(&event.site, &in_force);
    shop.take(&[(1, event)]);
    let is_held =
        |counts: &&RulesCounts| !(counts.committed.is_zero() && counts.fulfilled.is_zero());
    let held = shop.stock.iter().filter(|(_, counts)| is_held(counts));
    let counts = |(key, counts): (&StockKey, &RulesCounts)| {
        (key.to_string(), (counts.committed.to_decimal(), counts.fulfilled.to_decimal()))
    };
    (verdict, held.map(counts).collect())
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
        Then::AsUnreadable => {
            let unreadable = |it: &Result<Decoded, _>| oddities(it).map(|it| it.names_unreadable);
            let without = without();
            unreadable(&outcome) > unreadable(&without) && even(&outcome) == even(&without)
        }
        Then::AsLive => {
            let live = wronged.place.replace(wronged.body, "\"LIVE\"");
            outcome.is_ok() && outcome == decoded(live.as_bytes(), case)
        }
        Then::Counts => outcome.as_ref().is_ok_and(|now| now != unchanged) && outcome != without(),
        Then::AsBefore => outcome.as_ref().is_ok_and(|now| now == unchanged),
        Then::Nameless(_) | Then::Unreadable | Then::AsTheModelSays => true,
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

/// What could not be taken as it stood.
fn oddities(outcome: &Result<Decoded, Box<Rejection>>) -> Option<Oddities> {
    match outcome {
        Ok(Decoded::Event(event)) => Some(event.oddities),
        Ok(Decoded::Unknown { .. }) | Err(_) => None,
    }
}

/// An outcome, whatever could not be taken as it stood.
fn even(outcome: &Result<Decoded, Box<Rejection>>) -> Result<Decoded, Box<Rejection>> {
    let mut outcome = outcome.clone();
    if let Ok(Decoded::Event(event)) = &mut outcome {
        event.oddities = Oddities::default();
    }
    outcome
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
                Then::AsWithout
                | Then::AsUnreadable
                | Then::AsLive
                | Then::Counts
                | Then::AsBefore => None,
                Then::Nameless(_) | Then::Unreadable | Then::AsTheModelSays => {
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
