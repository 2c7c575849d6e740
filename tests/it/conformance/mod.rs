//! What the ports promise, one small case a promise, run against every backend.
//!
//! A case that is not listed in its file's list of promises is dead code, so the build fails.

mod broker;
mod store;

pub(crate) use store::deciding;
