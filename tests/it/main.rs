//! The integration tests: one binary, so that they are linked once.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed unwrap or index is a failed test"
)]

mod access;
mod bodies;
mod broker_faults;
mod changes;
mod conformance;
mod console;
mod costs;
mod crash;
mod dead_letter_commands;
mod dead_letters;
mod demo;
mod distributed;
mod drain;
mod fixtures;
mod fuzz;
mod generators;
mod harness;
mod histories;
mod ingress;
mod load;
mod operations;
mod pipeline;
mod processes;
mod properties;
mod receipt_commands;
mod receipts;
mod replays;
mod rules_read;
mod rules_say;
mod scaling;
mod servers;
mod shutdown;
mod simulate;
mod sources;
mod states;
mod store_faults;
mod tampered;
mod terminal;
mod tidy;
mod tutorial;
mod upgrade;
mod upkeep;
mod worker;
