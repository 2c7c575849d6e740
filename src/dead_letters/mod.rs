//! What people do with dead letters: replay, edit, discard.
//!
//! A person asks through [`crate::console`] or [`crate::cli`]; both end here. Edits and discards
//! become envelopes that go through queue and journal, so that a rebuild repeats them, and are done
//! at once. A replay is a record in the Store: its letters are frozen when it is made, and the
//! [`Replayer`] of the process that leads sends them.
//!
//! # Why are some letters journalled when they are replayed?
//! Of an edited letter the journal has the first body only, and one that was put aside on receipt
//! it has as a dead letter, not as work. A rebuild that did not see them arrive could not repeat
//! what they did to the stock. All other letters are put back without the journal.
//!
//! # Invariants
//! - A letter is parked until an outcome of its replay is durable: then its generation ends, or
//!   the next one stands in its place. A replay by itself removes nothing.
//! - Sending a letter twice is harmless: its event is a join, and its generation ends once.

mod commands;
mod dry_run;
mod replayer;

pub use commands::{
    Commanded, EDIT_BYTES_MAX, Progress, Target, discard, edit, find, find_to_discard,
};
pub use dry_run::{DRY_RUN_DEAD_LETTERS_MAX, DryRun, Effect, Forecast, WouldBe, dry_run};
pub use replayer::{ReplayError, Replayer};
