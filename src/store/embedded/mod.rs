//! The Store in one SQLite file, `store.db`.
//!
//! Every call is one job on the file: reads see one snapshot of what is committed, writes share
//! the writer's next group and answer when it is durable. Several processes may have the file
//! open; the writer's lock makes them take turns, so a revision that was compared is still there
//! when its commit is written.
//!
//! # Invariants
//! - Everything that can refuse a commit is checked before its first write.
//! - Names are bound as values, each in a column of its own; no SQL is made of them.
//! - No rule is applied here.

mod column;
mod commit;
mod dead_letters;
mod entity;
mod feed;
mod file;
mod heartbeats;
mod item;
mod leader_clock;
mod lists;
mod names;
mod note;
mod pause;
mod policy;
mod read;
mod replays;
mod schema;
mod state;
mod stock;
#[cfg(test)]
mod tests;
mod upkeep;

pub use self::note::Gap;
use std::sync::atomic::AtomicU64;

use crate::sqlite::Database;

/// A Store in a directory.
#[derive(Debug)]
pub struct EmbeddedStore {
    database: Database,
    /// How often a file turned out to be another than the other file belongs to.
    replaced: AtomicU64,
}
