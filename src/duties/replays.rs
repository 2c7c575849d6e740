//! Replays of dead letters, for as long as this process leads.

use async_trait::async_trait;

use super::{Duty, DutyError, Next};
use crate::dead_letters::Replayer;
use crate::store::Fence;

/// Sends the dead letters of open replays.
#[async_trait]
impl Duty for Replayer {
    async fn turn(&mut self, fence: Fence) -> Result<Next, DutyError> {
        Ok(Next::After(Self::turn(self, fence).await?.ok_or(DutyError::Superseded)?))
    }
}
