//! What holds for every body, and for every history of a few bodies.
//!
//! A body comes in as bytes, and is done with as the worker does: decoded, decided on, and what it
//! changes written. An input of the fuzzer is up to three bodies; those of one site are a history.

mod shop;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use storekeeper::domain::{
    Cancelled, Code, Decoded, Deleted, Event, Policy, PolicyInForce, QUANTITY_MAX, Rejection,
    Restock, Site, TestMode, Timestamp, decode_correction, decode_receipt, decode_webhook,
};

pub(crate) use shop::Shop;

/// When every body of these tests was received: 2025-01-01.
pub(crate) const RECEIVED: Timestamp = Timestamp::from_millis(1_735_689_600_000);

/// Stands between two bodies of one input.
const BETWEEN: &str = "\n---\n";
/// Lines of one order.
const LINES_MAX: i64 = 1000;
/// Bodies of one input; of more, every order of arrival would be too many.
const BODIES_MAX: usize = 3;

/// What a body may be refused for, whatever is in it.
const CODES: [Code; 18] = [
    Code::NotJson,
    Code::NotAnObject,
    Code::MissingSite,
    Code::InvalidEventType,
    Code::InvalidTimestamp,
    Code::MissingData,
    Code::InvalidItems,
    Code::InvalidLine,
    Code::InvalidQuantity,
    Code::InvalidIdentifier,
    Code::TooManyLines,
    Code::NoIdentity,
    Code::RefundNoOrder,
    Code::CatalogueNoIdentity,
    Code::NoticeNoIdentity,
    Code::SiteMismatch,
    Code::ReceiptInvalid,
    Code::CorrectionInvalid,
];

/// The default policy, and one that differs in everything but the names of items.
static POLICIES: LazyLock<[PolicyInForce; 2]> = LazyLock::new(|| {
    let other = Policy {
        test_mode: TestMode::Count,
        cancelled: Cancelled::Keep,
        deleted: Deleted::Release,
        restock: Restock::Lines,
        ..Policy::default()
    };
    [
        PolicyInForce { revision: 1, policy: Policy::default() },
        PolicyInForce { revision: 2, policy: other },
    ]
});

/// Checks everything that holds for an input of the fuzzer.
pub(crate) fn hold(input: &[u8]) {
    let mut histories: BTreeMap<Site, Vec<Event>> = BTreeMap::new();
    for body in bodies(input) {
        let event = match outcome(body) {
            Ok(Decoded::Event(event)) => Some(*event),
            Ok(Decoded::Unknown { .. }) | Err(_) => of_ours(body),
        };
        if let Some(event) = event {
            histories.entry(event.site.clone()).or_default().push(event);
        }
    }
    for (site, history) in histories.iter().filter(|(_, history)| history.len() > 1) {
        POLICIES.iter().for_each(|in_force| arrive_in_every_order(site, history, in_force));
    }
}

fn bodies(input: &[u8]) -> Vec<&[u8]> {
    let mut bodies = Vec::new();
    let mut rest = input;
    while bodies.len() + 1 < BODIES_MAX
        && let Some(place) =
            rest.windows(BETWEEN.len()).position(|window| window == BETWEEN.as_bytes())
    {
        let (body, after) = rest.split_at(place);
        bodies.push(body);
        rest = after.split_at(BETWEEN.len()).1;
    }
    bodies.push(rest);
    bodies
}

/// Does with a body what the worker does, and checks what holds for every body.
pub(crate) fn outcome(body: &[u8]) -> Result<Decoded, Box<Rejection>> {
    let outcome = decoded(body);
    if let Ok(Decoded::Event(event)) = &outcome {
        POLICIES.iter().for_each(|in_force| follow(event, in_force));
    }
    outcome
}

/// Decodes a body, and checks what it is refused for.
pub(crate) fn decoded(body: &[u8]) -> Result<Decoded, Box<Rejection>> {
    let decoded = decode_webhook(body, RECEIVED);
    if let Err(rejection) = &decoded {
        check_rejection(rejection);
    }
    decoded
}

/// A body that one of our own publishers might have sent.
fn of_ours(body: &[u8]) -> Option<Event> {
    let event = [decode_receipt(body), decode_correction(body)]
        .into_iter()
        .find_map(|decoded| decoded.map_err(|rejection| check_rejection(&rejection)).ok())?;
    POLICIES.iter().for_each(|in_force| follow(&event, in_force));
    Some(event)
}

fn check_rejection(rejection: &Rejection) {
    let Rejection { code, detail, .. } = rejection;
    assert!(CODES.contains(code), "{code} is no code of decoding");
    assert!(detail.len() < 120 && !detail.is_empty(), "{detail:?}");
}

/// Decides on an event twice: the laws that hold for every event.
fn follow(event: &Event, in_force: &PolicyInForce) {
    let mut shop = Shop::new(&event.site, in_force);
    shop.take(&[(1, event)]);
    assert!(!shop.has_refused, "there is room for a single event");
    let stock = shop.stock.clone();
    for counts in stock.values() {
        let held = 0..=LINES_MAX * QUANTITY_MAX.millionths();
        let counts = [counts.committed, counts.fulfilled];
        assert!(counts.iter().all(|count| held.contains(&count.millionths())), "{counts:?}");
    }
    assert!(!shop.take(&[(1, event)]), "a repetition writes something");
    shop.take(&[(2, event), (1, event)]);
    assert_eq!(shop.stock, stock, "a repetition moves stock");
}

/// Whatever the order of arrival, one by one or folded, once or again: what is known is the same,
/// and the changes of stock sum to what is held.
fn arrive_in_every_order(site: &Site, history: &[Event], in_force: &PolicyInForce) {
    let numbered: Vec<(u128, &Event)> = (1..).zip(history).collect();
    let mut expected = None;
    for arrivals in permutations(&numbered) {
        let mut one_by_one = Shop::new(site, in_force);
        for arrived in arrivals.iter().chain(&arrivals) {
            one_by_one.take(&[*arrived]);
        }
        let mut folded = Shop::new(site, in_force);
        folded.take(&arrivals);
        // Which event has no room depends on the order, as it must.
        if one_by_one.has_refused || folded.has_refused {
            return;
        }
        let one_by_one = one_by_one.without_trace();
        assert_eq!(folded.without_trace(), one_by_one, "folded and one by one: {arrivals:?}");
        assert_eq!(expected.get_or_insert_with(|| one_by_one.clone()), &one_by_one, "{arrivals:?}");
    }
}

/// Every order of a few things.
fn permutations<T: Copy>(things: &[T]) -> Vec<Vec<T>> {
    let Some((first, rest)) = things.split_first() else { return vec![Vec::new()] };
    let mut all = Vec::new();
    for shorter in permutations(rest) {
        for place in 0..=shorter.len() {
            let mut longer = shorter.clone();
            longer.insert(place, *first);
            all.push(longer);
        }
    }
    all
}
