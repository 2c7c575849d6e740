//! What holds for every body, and for every history of a few bodies.
//!
//! A body comes in as bytes, and is done with as the worker does: decoded, checked, decided on,
//! and its state written. An input of the fuzzer is up to three bodies; those that act on the
//! same thing are a history.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use storekeeper::domain::{
    Arrival, Cancelled, Code, Content, Counts, Decision, Decoded, Deleted, EntityName, EntityState,
    Event, Hold, MessageId, Policy, PolicyInForce, QUANTITY_MAX, Quantity, Rejection, Restock,
    Site, StockKey, TIMELINE_LENGTH_MAX, TestMode, Timestamp, check, decide, decode_receipt,
    decode_webhook, desired,
};
use storekeeper::store::EntityId;
use storekeeper::store::state::{decode_entity, encode_entity};
use uuid::Uuid;

/// When every body of these tests was received: 2025-01-01.
pub(crate) const RECEIVED: Timestamp = Timestamp::from_millis(1_735_689_600_000);

/// Stands between two bodies of one input.
const BETWEEN: &str = "\n---\n";
/// Bodies of one input; of more, every order of arrival would be too many.
const BODIES_MAX: usize = 3;

/// What a body may be refused for, whatever is in it.
const CODES: [Code; 17] = [
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
];

/// The default policy, and one that differs in everything but the names of items.
static POLICIES: LazyLock<[PolicyInForce; 2]> = LazyLock::new(|| {
    let other = Policy {
        test_mode: TestMode::Count,
        cancelled: Cancelled::Keep,
        deleted: Deleted::ReleaseUnlessShipped,
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
    let mut histories: BTreeMap<(Site, EntityName), Vec<Event>> = BTreeMap::new();
    for body in bodies(input) {
        let event = match outcome(body) {
            Ok(Decoded::Event(event)) => Some(*event),
            Ok(Decoded::Unknown { .. }) | Err(_) => receipt(body),
        };
        if let Some(event) = event {
            let entity = (event.site.clone(), event.content.entity());
            histories.entry(entity).or_default().push(event);
        }
    }
    for history in histories.values().filter(|history| history.len() > 1) {
        POLICIES.iter().for_each(|in_force| arrive_in_every_order(history, in_force));
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

/// Decodes and checks a body, and checks what it is refused for.
pub(crate) fn decoded(body: &[u8]) -> Result<Decoded, Box<Rejection>> {
    let decoded = decode_webhook(body, RECEIVED).and_then(|decoded| {
        if let Decoded::Event(event) = &decoded {
            POLICIES.iter().try_for_each(|in_force| check(event, &in_force.policy))?;
        }
        Ok(decoded)
    });
    if let Err(rejection) = &decoded {
        check_rejection(rejection);
    }
    decoded
}

/// A body that one of our own publishers might have sent.
fn receipt(body: &[u8]) -> Option<Event> {
    let event = decode_receipt(body).map_err(|rejection| check_rejection(&rejection)).ok()?;
    POLICIES.iter().for_each(|in_force| follow(&event, in_force));
    Some(event)
}

fn check_rejection(rejection: &Rejection) {
    let Rejection { code, detail, .. } = rejection;
    assert!(CODES.contains(code), "{code} is no code of decoding");
    assert!(detail.len() < 120 && !detail.is_empty(), "{detail:?}");
}

/// Joins one event into a state, as the worker does.
pub(crate) fn join(
    before: Option<EntityState>,
    event: &Event,
    in_force: &PolicyInForce,
) -> Decision<EntityState> {
    join_as(1, before, event, in_force)
}

/// Joins the event of the message with this number.
fn join_as(
    number: u128,
    before: Option<EntityState>,
    event: &Event,
    in_force: &PolicyInForce,
) -> Decision<EntityState> {
    decide(before, &[(&event.content, &arrival(number, event))], in_force)
        .expect("there is an event")
}

fn arrival(number: u128, event: &Event) -> Arrival {
    let message_id = MessageId(Uuid::from_u128(number));
    Arrival { message_id, received_at: RECEIVED, replays: 0, event_type: event.event_type.clone() }
}

/// Decides on an event twice: the laws that hold for every event.
fn follow(event: &Event, in_force: &PolicyInForce) {
    let first = join(None, event, in_force);
    for change in &first.changes {
        let held = Quantity::ZERO..=QUANTITY_MAX;
        let counts = [change.delta.committed, change.delta.fulfilled];
        assert!(counts.iter().all(|count| held.contains(count)), "{change:?}");
    }
    check_state(event, &first.state, in_force);
    let second = join(Some(first.state.clone()), event, in_force);
    assert!(second.changes.is_empty(), "a repetition moves stock");
    assert!(!second.changed, "a repetition changes the state");
}

/// A state holds what the policy says, and is read back as it was written.
fn check_state(event: &Event, state: &EntityState, in_force: &PolicyInForce) {
    if let EntityState::Order(state) = state {
        assert_eq!(state.applied, desired(state, &in_force.policy));
        let versions: Vec<_> = state.timeline.iter().map(|entry| entry.version).collect();
        assert!(versions.is_sorted_by(|before, after| before >= after), "{versions:?}");
        assert!(versions.len() <= TIMELINE_LENGTH_MAX);
    }
    let entity = EntityId { site: event.site.clone(), name: event.content.entity() };
    let text = encode_entity(state).expect("a state can be written");
    let read = decode_entity(&entity, &text).expect("what was written can be read");
    assert_eq!(read, *state, "{text} is read back as another state");
}

/// Whatever the order of arrival, one by one or folded, once or again: the state is the same, and
/// the changes of stock sum to what it holds.
fn arrive_in_every_order(history: &[Event], in_force: &PolicyInForce) {
    let numbered: Vec<(u128, &Event)> = (1..).zip(history).collect();
    let mut expected = None;
    for arrivals in permutations(&numbered) {
        let mut moved = BTreeMap::new();
        let mut state = None;
        for (number, event) in arrivals.iter().chain(&arrivals) {
            let joined = join_as(*number, state.take(), event, in_force);
            add(&mut moved, &joined);
            check_state(event, &joined.state, in_force);
            state = Some(joined.state);
        }
        let arrived: Vec<_> = arrivals.iter().map(|(n, event)| arrival(*n, event)).collect();
        let contents = arrivals.iter().map(|(_, event)| &event.content);
        let contents: Vec<(&Content, &Arrival)> = contents.zip(&arrived).collect();
        let folded = decide(None, &contents, in_force).expect("there are events");
        let mut moved_at_once = BTreeMap::new();
        add(&mut moved_at_once, &folded);
        let one_by_one = without_trace(state.expect("there are events"));
        assert_eq!(without_trace(folded.state), one_by_one, "folded and one by one: {arrivals:?}");
        assert_eq!(moved_at_once, moved, "folded and one by one: {arrivals:?}");
        if let EntityState::Order(order) = &one_by_one {
            assert_eq!(held(&moved), order.applied, "{arrivals:?}");
        }
        let end = (one_by_one, moved);
        assert_eq!(expected.get_or_insert_with(|| end.clone()), &end, "{arrivals:?}");
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

fn add(moved: &mut BTreeMap<StockKey, Counts>, decision: &Decision<EntityState>) {
    for change in &decision.changes {
        let sums = moved.entry(change.key.clone()).or_default();
        let sum = |a: Quantity, b| a.checked_add(b).expect("a few events are within 64 bits");
        sums.received = sum(sums.received, change.delta.received);
        sums.committed = sum(sums.committed, change.delta.committed);
        sums.fulfilled = sum(sums.fulfilled, change.delta.fulfilled);
    }
    moved.retain(|_, sums| *sums != Counts::default());
}

fn held(moved: &BTreeMap<StockKey, Counts>) -> BTreeMap<StockKey, Hold> {
    let hold = |sums: &Counts| Hold { committed: sums.committed, fulfilled: sums.fulfilled };
    moved.iter().map(|(key, sums)| (key.clone(), hold(sums))).collect()
}

/// A state without what is only for people and says in which order the events came.
fn without_trace(mut state: EntityState) -> EntityState {
    if let EntityState::Order(state) = &mut state {
        state.timeline.clear();
    }
    state
}
