//! Sends the dead letters of replays, in the process that leads.
//!
//! The steps of a dead letter, and what happens if the process dies:
//! 1. before it is published: it is still unsent, and the next leader sends it;
//! 2. published, not recorded as sent: it is sent again, which has no effect, unless it has ended;
//! 3. recorded as sent: while it has no outcome, the next leader sends it again, as after a restore
//!    of the Store the queue may not have it.
//!
//! A process that no longer leads records nothing; what it published is sent twice at worst.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::broker::{Broker, BrokerError, Envelope};
use crate::domain::Code;
use crate::domain::dead_letter::pace;
use crate::store::{
    DeadLetter, DeadLetterName, Fence, Replay, ReplayId, ReplayState, Store, StoreError, Unsent,
};

/// How often the Store is asked whether this process still leads, on the same server.
const ASK_INTERVAL: Duration = Duration::from_secs(1);
/// The poll interval while there is no replay, or nothing is due.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// The poll interval for outcomes while dead letters are being sent.
const SENDING_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Sends the dead letters of replays.
#[derive(Debug)]
pub struct Replayer {
    broker: Arc<dyn Broker>,
    store: Arc<dyn Store>,
    /// When this process first saw a replay, and how much of it was sent since: a new leader
    /// restarts the ramp.
    begun: BTreeMap<ReplayId, (Instant, u64)>,
    /// The number under which this leader writes, and when it was assigned.
    fence: Option<(Fence, Instant)>,
}

/// Why a turn failed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The Store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The broker failed.
    #[error("the broker failed")]
    Broker(#[from] BrokerError),
}

impl Replayer {
    /// Creates a replayer without any state.
    pub const fn new(broker: Arc<dyn Broker>, store: Arc<dyn Store>) -> Self {
        Self { broker, store, begun: BTreeMap::new(), fence: None }
    }

    /// Advances every open replay for the leader of this number. Returns how long to rest, or
    /// `None` if another process leads. Cancel safe: what is not recorded is repeated.
    pub async fn turn(&mut self, leader: Fence) -> Result<Option<Duration>, ReplayError> {
        let turned = self.step(leader).await;
        if !matches!(turned, Ok(Some(_))) {
            self.fence = None;
        }
        turned
    }

    async fn step(&mut self, leader: Fence) -> Result<Option<Duration>, ReplayError> {
        let open = self.store.open_replays().await?;
        self.begun.retain(|id, _| open.iter().any(|replay| replay.id == *id));
        let mut rest = POLL_INTERVAL;
        for replay in open {
            let Some(fence) = self.fence(leader).await? else { return Ok(None) };
            // Outcomes first: failures may forbid to send more.
            let noted = self.store.record_outcomes(replay.id, fence).await?;
            let Some(replay) = noted else { return Ok(None) };
            if replay.state != ReplayState::Running {
                // A stopped replay stays open until its last dead letter has an outcome.
                if self.begun.remove(&replay.id).is_some() || replay.open() == 0 {
                    let Replay { id, settled, failed, .. } = replay;
                    let state = replay.state.as_str();
                    tracing::info!(replay = %id, state, settled, failed, "replay");
                }
                continue;
            }
            match self.send(&replay, fence).await? {
                Some(true) => rest = SENDING_POLL_INTERVAL,
                Some(false) => {}
                None => return Ok(None),
            }
        }
        Ok(Some(rest))
    }

    /// The number under which this leader writes; `None` if another leads.
    async fn fence(&mut self, leader: Fence) -> Result<Option<Fence>, ReplayError> {
        let now = Instant::now();
        if let Some((fence, asked_at)) = self.fence
            && now < asked_at + ASK_INTERVAL
        {
            return Ok(Some(fence));
        }
        let fence = self.store.run_replays(leader).await?;
        self.fence = fence.map(|fence| (fence, now));
        Ok(fence)
    }

    /// Sends what is due of a replay. Returns whether anything was, or `None` if another process
    /// leads.
    async fn send(&mut self, replay: &Replay, fence: Fence) -> Result<Option<bool>, ReplayError> {
        let begun = self.begun.entry(replay.id).or_insert_with(|| (Instant::now(), 0));
        let (since, sent) = *begun;
        let elapsed = since.elapsed();
        let count = pace::allowed(&replay.pace, elapsed, sent, replay.open(), replay.failed);
        if count == 0 {
            // Something is open or due soon.
            return Ok(Some(replay.open() > 0 || replay.pace.rate.is_some()));
        }
        let Unsent { letters, unreadable, after } =
            self.store.unsent_dead_letters(replay.id, count).await?;
        for (DeadLetterName { message_id, .. }, error) in &unreadable {
            tracing::error!(replay = %replay.id, %message_id, error, "cannot send a dead letter");
        }
        let unreadable: Vec<_> = unreadable.into_iter().map(|(name, _)| name).collect();
        if !self.store.fail_unsent(replay.id, fence, &unreadable).await? {
            return Ok(None);
        }
        let names: Vec<DeadLetterName> = letters.iter().map(DeadLetter::name).collect();
        if names.is_empty() {
            // Those that have ended by now need not be read again.
            let is_recorded = self.store.record_sent(replay.id, fence, names, Some(after)).await?;
            return Ok(is_recorded.then_some(false));
        }
        self.replay(letters).await?;
        begun_add(&mut self.begun, replay.id, names.len());
        let is_recorded = self.store.record_sent(replay.id, fence, names, Some(after)).await?;
        Ok(is_recorded.then_some(true))
    }

    /// Sends dead letters in their order: of two events of one order, the sequence may decide their
    /// outcomes, and a dry run has shown them in this one.
    async fn replay(&self, letters: Vec<DeadLetter>) -> Result<(), ReplayError> {
        let mut together = Vec::new();
        for letter in letters {
            let (is_unjournalled, replays) = (is_unjournalled(&letter), letter.generation());
            let envelope = Envelope { replays, ..letter.envelope };
            if is_unjournalled {
                self.replay_together(std::mem::take(&mut together)).await?;
                self.broker.publish(envelope).await?;
            } else {
                together.push(envelope);
            }
        }
        self.replay_together(together).await
    }

    async fn replay_together(&self, envelopes: Vec<Envelope>) -> Result<(), ReplayError> {
        if !envelopes.is_empty() {
            self.broker.replay(envelopes).await?;
        }
        Ok(())
    }
}

/// Whether the journal lacks this body as work, so that a rebuild could not repeat the replay.
fn is_unjournalled(letter: &DeadLetter) -> bool {
    letter.original.is_some() || letter.rejection.code == Code::SignatureExpired
}

fn begun_add(begun: &mut BTreeMap<ReplayId, (Instant, u64)>, id: ReplayId, count: usize) {
    if let Some((_, sent)) = begun.get_mut(&id) {
        *sent = sent.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
}
