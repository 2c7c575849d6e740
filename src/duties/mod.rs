//! The leader's duties: periodic work that only one process at a time may do.
//!
//! Every process with the role `leader` may lead; the one that holds the lease does. It runs each
//! duty as a task of its own, so a duty that fails, panics or is postponed does not stop the
//! others.
//!
//! # Invariants
//! - The lease is timed by the server (embedded: it is a file lock), so a wrong clock cannot take
//!   it from a living holder.
//! - A holder that could not renew its lease in time cancels every duty before the lease runs out.
//! - A holder that was frozen and wakes up after another took over does no harm: writes that could
//!   carry the number of the lease and are refused; all others are repeatable.
//! - A new holder starts without any state of an earlier one.

mod audits;
mod catching_up;
mod closing;
mod failure;
mod leader;
mod lease;
mod means;
mod recovery;
mod relay;
mod replays;
mod retention;
mod supervise;
mod sweep;

use std::time::Duration;

use async_trait::async_trait;

pub use self::catching_up::pair_new;
pub use self::closing::close_final;
pub use self::failure::DutyError;
pub use self::leader::Leader;
pub use self::lease::LeaderLease;
pub use self::means::Means;
use crate::store::Fence;

/// The interval of the sweeps and of the audit.
const HOURLY: Duration = Duration::from_hours(1);

/// Work that the leader repeats.
#[async_trait]
trait Duty: Send {
    /// Does what is due, or a part of it. Cancel safe: a later turn does the rest, perhaps in
    /// another process.
    async fn turn(&mut self, fence: Fence) -> Result<Next, DutyError>;
}

/// When a duty is due again.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    /// Everything due is done.
    After(Duration),
    /// What is due has to wait, for this reason.
    Postponed(Duration, &'static str),
}
