//! Replays of dead letters, for as long as this process leads.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Duty, DutyError, Next};
use crate::broker::Broker;
use crate::dead_letters::Replayer;
use crate::store::{Fence, Store};

/// Sends the dead letters of open replays.
#[derive(Debug)]
pub(super) struct Replays(Replayer);

impl Replays {
    pub(super) fn new(broker: Arc<dyn Broker>, store: Arc<dyn Store>) -> Self {
        Self(Replayer::new(broker, store))
    }
}

#[async_trait]
impl Duty for Replays {
    async fn turn(&mut self, fence: Fence) -> Result<Next, DutyError> {
        Ok(Next::After(self.0.turn(fence).await?.ok_or(DutyError::Superseded)?))
    }
}
