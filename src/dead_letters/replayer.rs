//! Sends the letters of replays, in the one process that leads.
//!
//! A letter goes this way. Where it may die:
//! 1. before it is put back: it is still unsent; the next leader sends it;
//! 2. put back, not noted as sent: it is sent again, in effect once, unless it has ended by then;
//! 3. noted as sent: while it has no outcome, the next leader sends it again: if the Store was
//!    restored, the queue may not have it.
//!
//! One that leads no longer notes nothing any more; what it put back is sent twice at worst.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::broker::{Broker, BrokerError, Envelope};
use crate::domain::Code;
use crate::domain::dead_letter::pace;
use crate::store::{
    DeadLetter, Fence, LetterName, Replay, ReplayId, ReplayState, Store, StoreError, Unsent,
};

/// How often the Store is asked whether this leader still runs replays, and on the same server.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How often is looked for a replay while there is none, and for outcomes while nothing is due.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How often is looked for outcomes while letters are sent.
const STEP: Duration = Duration::from_millis(20);

/// Sends the letters of replays.
#[derive(Debug)]
pub struct Replayer {
    broker: Arc<dyn Broker>,
    store: Arc<dyn Store>,
    /// When this process first saw a replay, and how much it has sent of it since: a ramp begins
    /// again with a new leader.
    begun: BTreeMap<ReplayId, (Instant, u64)>,
    /// The number under which this leader writes, and when it was given.
    fence: Option<(Fence, Instant)>,
}

/// Why a turn was not made.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The Store did not do what was asked.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The queue did not do what was asked.
    #[error("the broker failed")]
    Broker(#[from] BrokerError),
}

impl Replayer {
    /// One that has nothing yet.
    pub const fn new(broker: Arc<dyn Broker>, store: Arc<dyn Store>) -> Self {
        Self { broker, store, begun: BTreeMap::new(), fence: None }
    }

    /// Takes every open replay a step further, for the leader of this number; answers how long to
    /// rest, or with nothing if another leads. Cancel safe: what is not noted is done again.
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
        let mut rest = LOOK_AGAIN;
        for replay in open {
            let Some(fence) = self.fence(leader).await? else { return Ok(None) };
            // Outcomes first: what came back may forbid to send more.
            let noted = self.store.note_outcomes(replay.id, fence).await?;
            let Some(replay) = noted else { return Ok(None) };
            if replay.state != ReplayState::Running {
                // One that has stopped is looked at until its last letter has an outcome.
                if self.begun.remove(&replay.id).is_some() || replay.open() == 0 {
                    let Replay { id, settled, failed, .. } = replay;
                    let state = replay.state.as_str();
                    tracing::info!(replay = %id, state, settled, failed, "replay");
                }
                continue;
            }
            match self.send(&replay, fence).await? {
                Some(true) => rest = STEP,
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
            && now < asked_at + ASK_AGAIN
        {
            return Ok(Some(fence));
        }
        let fence = self.store.run_replays(leader).await?;
        self.fence = fence.map(|fence| (fence, now));
        Ok(fence)
    }

    /// Sends what is due of a replay; answers whether something was, or with nothing if another
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
        let Unsent { letters, after } = self.store.unsent_letters(replay.id, count).await?;
        let names: Vec<LetterName> = letters.iter().map(DeadLetter::name).collect();
        if names.is_empty() {
            // What has ended meanwhile need not be looked at again.
            let is_noted = self.store.note_sent(replay.id, fence, names, Some(after)).await?;
            return Ok(is_noted.then_some(false));
        }
        self.put_back(letters).await?;
        begun_add(&mut self.begun, replay.id, names.len());
        let is_noted = self.store.note_sent(replay.id, fence, names, Some(after)).await?;
        Ok(is_noted.then_some(true))
    }

    /// Sends letters in their order: of two events of one order, which comes first may decide what
    /// each is named, and a dry run has said so.
    async fn put_back(&self, letters: Vec<DeadLetter>) -> Result<(), ReplayError> {
        let mut together = Vec::new();
        for letter in letters {
            let (is_news, replays) = (is_news(&letter), letter.generation());
            let envelope = Envelope { replays, ..letter.envelope };
            if is_news {
                self.put_back_together(std::mem::take(&mut together)).await?;
                self.broker.publish(envelope).await?;
            } else {
                together.push(envelope);
            }
        }
        self.put_back_together(together).await
    }

    async fn put_back_together(&self, envelopes: Vec<Envelope>) -> Result<(), ReplayError> {
        if !envelopes.is_empty() {
            self.broker.replay(envelopes).await?;
        }
        Ok(())
    }
}

/// Whether the journal does not have a letter's body as work yet, so that a rebuild could not repeat
/// what the replay does.
fn is_news(letter: &DeadLetter) -> bool {
    letter.original.is_some() || letter.rejection.code == Code::SignatureExpired
}

fn begun_add(begun: &mut BTreeMap<ReplayId, (Instant, u64)>, id: ReplayId, count: usize) {
    if let Some((_, sent)) = begun.get_mut(&id) {
        *sent = sent.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
}
