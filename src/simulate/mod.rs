//! The acceptance tool: a history of invented webhooks, and a model that knows its correct result.
//!
//! [`history`] writes the orders of whole shops as Duda would send them: late, repeated, shuffled,
//! some broken. [`model`] computes the stock from the set of those bodies by the domain rules
//! alone. It shares no code with `crate::domain`, so it exposes any misreading there. [`runner`]
//! posts a history to a running ingress, waits until the queues are empty and compares the two.
//!
//! # Invariants
//! - A seed and a number of orders identify one history, byte for byte, on every platform.
//! - The model's result does not depend on the order or repetition of what it observes.
//! - Neither the model nor the history uses anything else of this crate.

pub mod check;
pub mod console;
pub mod history;
pub mod model;
pub mod poster;
pub mod report;
pub mod runner;

pub use history::{History, HistoryOptions};
pub use model::{Model, ModelPolicy};
pub use poster::Poster;
pub use report::Report;
pub use runner::{Afterwards, Options, SimulateError, run};
