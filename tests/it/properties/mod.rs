//! What holds for every input, whoever makes it up. Each file has one function `hold` that takes
//! bytes, and panics if something does not hold.
//!
//! The targets in `tests/fuzz` include the same files: a fuzzer looks for inputs for which
//! something does not hold, guided by the code that they reach. `fixtures/fuzz` has a small choice
//! of inputs that together reach most of what it ever reached, and each for which something once
//! did not hold; all are played here each time.

mod api;
pub(crate) mod decode;
mod records;
mod state;
mod texts;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::bodies::{Body, bodies};

#[track_caller]
fn play(inputs: Vec<Body>, check: fn(&[u8])) {
    for input in inputs {
        let held = catch_unwind(AssertUnwindSafe(|| check(&input.bytes)));
        assert!(held.is_ok(), "it does not hold for {}", input.name);
    }
}

#[test]
fn kept_bodies_and_histories_hold() {
    play(bodies("fixtures/fuzz/decode"), decode::hold);
}

#[test]
fn kept_states_hold() {
    play(bodies("fixtures/fuzz/state"), state::hold);
}

#[test]
fn kept_texts_hold() {
    play(bodies("fixtures/fuzz/texts"), texts::hold);
}

#[test]
fn kept_requests_hold() {
    play(bodies("fixtures/fuzz/api"), api::hold);
    api::finish();
}
