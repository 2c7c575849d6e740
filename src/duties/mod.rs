//! The leader's duties: what is due now and then, and must be done by one process at a time.
//!
//! Every process of the role `leader` may lead; the one with the lease does. It runs each duty as a
//! task of its own: a duty that fails, panics or is postponed stops no other.
//!
//! # Invariants
//! - The lease's time is the server's (embedded: the lock of a file), so no clock of a process can
//!   take it from a living holder.
//! - A holder that could not renew its lease in time cancels every duty before the lease runs out.
//! - A holder that was frozen, and wakes up after another took over, writes nothing that counts:
//!   what would do harm carries the number of the lease and is refused; all else is repeatable.
//! - A new holder begins with nothing of what an earlier one knew.

mod audits;
mod closing;
mod failure;
mod leader;
mod lease;
mod means;
mod recovery;
mod relay;
mod replays;
mod supervise;
mod sweep;

use std::time::Duration;

use async_trait::async_trait;

pub use self::closing::close_settled;
pub use self::failure::DutyError;
pub use self::leader::Leader;
pub use self::lease::LeaderLease;
pub use self::means::Means;
use crate::store::Fence;

/// How often what has outlived its retention is removed, and how often all is audited.
const HOURLY: Duration = Duration::from_hours(1);

/// Something that the leader does again and again.
#[async_trait]
trait Duty: Send {
    /// Does what is due, or a part of it. Cancel safe: what was not done is done by a later turn,
    /// perhaps in another process.
    async fn turn(&mut self, fence: Fence) -> Result<Next, DutyError>;
}

/// When a duty is due again.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    /// All that was due is done.
    After(Duration),
    /// What was due could not be done yet, for this reason.
    Postponed(Duration, &'static str),
}
