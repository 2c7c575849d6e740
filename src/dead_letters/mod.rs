//! What people do with dead letters: replay, edit and discard.
//!
//! [`crate::console`] and [`crate::cli`] both call this. Edits and discards are applied at once,
//! and published as envelopes through queue and journal, so that a rebuild repeats them. A replay
//! is a record in the Store: its list of dead letters is frozen when it is made, and the
//! [`Replayer`] of the leader sends them.
//!
//! # Why are some dead letters journalled when they are replayed?
//! The journal has only the first body of an edited dead letter, and has one that was rejected on
//! receipt as a dead letter, not as work. Without these a rebuild could not repeat what they did to
//! the stock. All others are replayed without the journal.
//!
//! # Invariants
//! - A dead letter stays parked until the outcome of its replay is durable: then its generation
//!   ends, or the next one takes its place. A replay by itself removes nothing.
//! - Sending a dead letter twice is harmless: its event is a join, and its generation ends once.

mod commands;
mod dry_run;
mod replayer;

pub use commands::{
    Commanded, EDIT_BYTES_MAX, Progress, Target, discard, edit, find, find_to_discard, why_gone,
};
pub use dry_run::{
    DRY_RUN_DEAD_LETTERS_MAX, DryRun, Effect, Forecast, WouldBe, dry_run, dry_run_edit,
};
pub use replayer::{ReplayError, Replayer};
