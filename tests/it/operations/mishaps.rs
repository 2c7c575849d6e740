//! What goes wrong at random while workers and operators use the Store.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use storekeeper::store::EntityId;

use crate::generators::Dice;
use crate::tampered::{Call, Fault, Faults};

/// Throws dice for every call, while it is on.
#[derive(Debug)]
pub(super) struct Mishaps {
    dice: Mutex<Dice>,
    is_on: AtomicBool,
}

impl Mishaps {
    pub(super) fn new(seed: u64) -> Self {
        Self { dice: Mutex::new(Dice(seed)), is_on: AtomicBool::new(true) }
    }

    pub(super) fn turn(&self, on: bool) {
        self.is_on.store(on, Ordering::SeqCst);
    }

    fn throw(&self) -> Option<usize> {
        let is_on = self.is_on.load(Ordering::SeqCst);
        is_on.then(|| self.dice.lock().unwrap().below(100))
    }
}

/// The mishaps of those whose panics are caught.
#[derive(Debug)]
pub(super) struct OfWorkers(pub(super) Arc<Mishaps>);

/// The mishaps of those who try again themselves.
#[derive(Debug)]
pub(super) struct OfOperators(pub(super) Arc<Mishaps>);

impl Faults for OfWorkers {
    fn strike(&self, call: Call, _: &[EntityId]) -> Option<Fault> {
        Some(match (call, self.0.throw()?) {
            (_, 0..3) => Fault::Away,
            (Call::Load, 3..6) => Fault::Refusal,
            (Call::Load, 6..9) => Fault::Panic,
            (Call::Commit | Call::Write, 3..8) => Fault::LostAnswer,
            (Call::Commit, 8..16) => Fault::Race,
            (Call::Load | Call::Commit | Call::Write, _) => return None,
        })
    }
}

impl Faults for OfOperators {
    fn strike(&self, call: Call, _: &[EntityId]) -> Option<Fault> {
        Some(match (call, self.0.throw()?) {
            (_, 0..4) => Fault::Away,
            (Call::Commit | Call::Write, 4..12) => Fault::LostAnswer,
            (Call::Commit, 12..24) => Fault::Race,
            (Call::Load | Call::Commit | Call::Write, _) => return None,
        })
    }
}
