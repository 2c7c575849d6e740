//! Hostile bodies. Goal: no body makes the rules panic, nothing that no rule reads changes what a
//! body means, and a wrong thing where a rule reads is refused for the right code, or taken for
//! what the rules say it is: [`crate::rules_say`] and the model have to agree. Method: every place
//! of every webhook gets every wrong thing; bodies are cut off and bytes are changed at random.
//!
//! `STOREKEEPER_TEST_LONG=1` tries everything everywhere, and far more random bodies;
//! `STOREKEEPER_TEST_SEED` draws others.

mod wronged;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use storekeeper::domain::{Code, Decoded, Rejection, decode_webhook};

use crate::bodies::{Place, places, rejected, webhooks};
use crate::properties::decode::{self, RECEIVED};
use crate::rules_read::is_read;
use crate::rules_say::Thing;
use wronged::{PLANTED, WRONG, Wronged, faults};

pub(crate) use wronged::wrong_bodies;

/// Wrong things that make any body no JSON.
const BROKEN: [&str; 12] =
    ["NaN", "-", "01", "1.", "+1", "'x'", "tru", "\"\u{7}\"", "\"\\x\"", "\"\\u12\"", "[1,]", ""];

/// Of these, at least one changes what a body means at any place that a rule reads.
const PROBES: [&str; 9] = [
    "null",
    "[]",
    "false",
    "5",
    "\"TEST\"",
    "\"DONATION\"",
    "\"2024-01-31T12:00:00Z\"",
    "{\"id\":\"probe\",\"orderId\":\"probe\"}",
    "[{\"id\":\"probe\"}]",
];

fn is_long() -> bool {
    #[expect(clippy::disallowed_methods, reason = "a switch of the tests, not of the program")]
    std::env::var("STOREKEEPER_TEST_LONG").is_ok_and(|long| long == "1")
}

/// The random numbers of a test; the seed is shown when it fails.
fn random() -> ChaCha8Rng {
    #[expect(clippy::disallowed_methods, reason = "a switch of the tests, not of the program")]
    let seed = std::env::var("STOREKEEPER_TEST_SEED").map_or(20_250_101, |seed| {
        seed.parse().expect("STOREKEEPER_TEST_SEED must be a whole number")
    });
    #[expect(clippy::print_stderr, reason = "shown only when the test fails")]
    {
        eprintln!("STOREKEEPER_TEST_SEED={seed}");
    }
    ChaCha8Rng::seed_from_u64(seed)
}

/// Does with a body what the worker does. `case` says which body it is, should something not hold.
fn outcome(body: &[u8], case: &dyn Fn() -> String) -> Result<Decoded, Box<Rejection>> {
    let outcome = caught(|| decode::outcome(body), case);
    check_nothing_is_quoted(&outcome, case);
    outcome
}

/// As [`outcome`], for a body of which no more is asked than what it means.
fn decoded(body: &[u8], case: &dyn Fn() -> String) -> Result<Decoded, Box<Rejection>> {
    let decoded = caught(|| decode::decoded(body), case);
    check_nothing_is_quoted(&decoded, case);
    decoded
}

fn check_nothing_is_quoted(outcome: &Result<Decoded, Box<Rejection>>, case: &dyn Fn() -> String) {
    if let Err(rejection) = outcome {
        let detail = &rejection.detail;
        assert!(!detail.contains(PLANTED), "{detail:?} has a value: {}", case());
    }
}

/// A panic, with the case that led to it.
fn caught<T>(attempt: impl FnOnce() -> T, case: &dyn Fn() -> String) -> T {
    catch_unwind(AssertUnwindSafe(attempt)).unwrap_or_else(|_| panic!("panicked: {}", case()))
}

fn event_type(body: &str) -> String {
    match decode_webhook(body.as_bytes(), RECEIVED).unwrap() {
        Decoded::Event(event) => event.event_type.to_string(),
        Decoded::Unknown { event_type } => event_type.to_string(),
    }
}

/// Whether a rule reads this place.
fn matters(place: &Place, event_type: &str) -> bool {
    !place.shadowed && is_read(event_type, &place.path)
}

#[test]
fn a_wrong_thing_at_any_place_ends_as_the_rules_say() {
    let long = is_long();
    let mut tried = BTreeSet::new();
    let mut count = 0;
    let mut found = Vec::new();
    for (name, body) in webhooks() {
        let event_type = event_type(&body);
        let unchanged = outcome(body.as_bytes(), &|| name.clone()).unwrap();
        for place in places(&body) {
            let read = matters(&place, &event_type);
            let again = !tried.insert((event_type.clone(), place.path.clone(), place.shadowed));
            let mut try_it = |thing: Thing, text: &str| {
                let wronged = Wronged::new(&body, &event_type, &place, (thing, text));
                let text = text.get(..40).unwrap_or(text);
                let case = || format!("{name}: {} = {thing:?} {text}", place.path);
                if read {
                    found.extend(faults(&wronged, &unchanged, &case));
                } else {
                    let decoded = decoded(wronged.now.as_bytes(), &case);
                    assert_eq!(decoded.as_ref(), Ok(&unchanged), "{}", case());
                }
            };
            try_it(Thing::Missing, "");
            for (thing, text) in WRONG.iter() {
                // In the short form, places take turns, unless they are read and new.
                let turns = match (read, again) {
                    (true, false) => 1,
                    (true, true) => 16,
                    (false, _) => 8,
                };
                let one_in = if text.len() < 1000 || turns == 1 { turns } else { turns * 4 };
                count += 1;
                if long || count % one_in == 0 {
                    try_it(*thing, text);
                }
            }
        }
    }
    let first = found.get(..20).unwrap_or(&found).join("\n");
    assert!(found.is_empty(), "{} do not end as the rules say, such as\n{first}", found.len());
}

#[test]
fn an_unknown_key_in_any_object_changes_nothing() {
    let keys = [r"\ud83c", r"\u0000", "", "__proto__", "ID", r"i\u0064\ud83c", &"x".repeat(1000)];
    for (name, body) in webhooks() {
        let unchanged = decoded(body.as_bytes(), &|| name.clone()).unwrap();
        let starts = places(&body).into_iter().map(|place| place.value.start).chain(body.find('{'));
        let objects = starts.filter(|at| body.as_bytes().get(*at) == Some(&b'{'));
        for at in objects.map(|at| at + 1) {
            for key in keys {
                let (before, after) = body.split_at(at);
                let comma = if after.trim_start().starts_with('}') { "" } else { "," };
                let body = format!("{before}\"{key}\":[1]{comma}{after}");
                let case = || format!("{name}: {key:.40} at byte {at}");
                assert_eq!(decoded(body.as_bytes(), &case).as_ref(), Ok(&unchanged), "{}", case());
            }
        }
    }
}

#[test]
fn every_path_that_a_rule_reads_can_change_the_outcome() {
    let mut silent: Vec<(String, String)> = Vec::new();
    let mut telling: Vec<(String, String)> = Vec::new();
    for (name, body) in webhooks() {
        let event_type = event_type(&body);
        let unchanged = outcome(body.as_bytes(), &|| name.clone());
        for place in places(&body).into_iter().filter(|place| matters(place, &event_type)) {
            let changes = PROBES.iter().any(|wrong| {
                let case = || format!("{name}: {} = {wrong}", place.path);
                outcome(place.replace(&body, wrong).as_bytes(), &case) != unchanged
            });
            let list = if changes { &mut telling } else { &mut silent };
            list.push((event_type.clone(), place.path));
        }
    }
    silent.retain(|place| !telling.contains(place));
    assert!(silent.is_empty(), "the decoder does not read {silent:?}");
}

#[test]
fn a_break_at_any_place_is_no_json() {
    let long = is_long();
    for (name, body) in webhooks() {
        for (count, place) in places(&body).iter().enumerate() {
            let attempts = BROKEN.iter().enumerate();
            for (_, broken) in attempts.filter(|(turn, _)| long || (turn + count) % 4 == 0) {
                let case = || format!("{name}: {} = {broken:?}", place.path);
                let outcome = outcome(place.replace(&body, broken).as_bytes(), &case);
                // An empty list stays one when its only element becomes nothing.
                let alone =
                    broken.is_empty() && place.path.ends_with("[]") && place.cut == place.value;
                let code = outcome.map_err(|rejection| rejection.code);
                assert!(alone || code == Err(Code::NotJson), "{code:?}: {}", case());
            }
        }
    }
}

#[test]
fn a_body_that_is_cut_off_is_no_json() {
    let step = if is_long() { 1 } else { 50 };
    for (name, body) in webhooks() {
        for length in (0..body.trim_end().len()).step_by(step) {
            let start = body.as_bytes().get(..length).unwrap();
            let case = || format!("{name}: the first {length} bytes");
            assert_eq!(outcome(start, &case).unwrap_err().code, Code::NotJson, "{}", case());
        }
    }
}

#[test]
fn bytes_changed_at_random_are_no_panic() {
    let mut random = random();
    let rounds = if is_long() { 20_000 } else { 100 };
    let webhooks = webhooks().into_iter().map(|(name, body)| (name, body.into_bytes()));
    let rejected = rejected().into_iter().map(|(_, body)| (body.name, body.bytes));
    for (name, body) in webhooks.chain(rejected).filter(|(_, body)| !body.is_empty()) {
        for round in 0..rounds {
            let changed = change(&body, &mut random);
            let case = || format!("{name}, round {round}: {}", String::from_utf8_lossy(&changed));
            drop(outcome(&changed, &case));
        }
    }
}

/// A body with one to four changes: a bit turned, a byte replaced, put in, taken out or doubled.
fn change(body: &[u8], random: &mut impl Rng) -> Vec<u8> {
    const TELLING: &[u8] = b"\"\\{}[]:,0-9eE.+nutf \n\0\x7f\xc3\xff";
    let mut changed = body.to_vec();
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..changed.len().max(1));
        let telling = TELLING.get(random.random_range(0..TELLING.len())).copied();
        let Some(byte) = changed.get_mut(at) else { break };
        match random.random_range(0..5) {
            0 => *byte ^= 1 << random.random_range(0..8),
            1 => *byte = telling.unwrap_or_default(),
            2 => changed.insert(at, telling.unwrap_or_default()),
            3 => drop(changed.remove(at)),
            _ => {
                let end = changed.len().min(at + random.random_range(1..64));
                changed.extend_from_within(at..end);
            }
        }
    }
    changed
}
