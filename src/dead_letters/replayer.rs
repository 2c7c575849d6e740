//! The task that sends the letters of replays, in the one process that holds the lease.
//!
//! A letter goes this way. Where it may die:
//! 1. before it is put back: it is still unsent; the next holder sends it;
//! 2. put back, not noted as sent: it is sent again, in effect once, unless it has ended by then;
//! 3. noted as sent: while it has no outcome, the next holder sends it again: if the Store was
//!    restored, the queue may not have it.
//!
//! A holder that was too slow and lost the lease notes nothing any more; what it put back is sent
//! twice at worst.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::broker::{Broker, BrokerError, Envelope};
use crate::clock;
use crate::domain::Code;
use crate::domain::dead_letter::pace;
use crate::store::{
    DeadLetter, Fence, LetterName, Replay, ReplayId, ReplayState, Store, StoreError, Unsent,
};

/// How long a lease lasts, and so how long a replay rests after its holder died.
const LEASE: Duration = Duration::from_secs(5);
/// A lease that is older is renewed.
const RENEW_AFTER: Duration = Duration::from_secs(1);
/// How often is looked for a replay while there is none, and for outcomes while nothing is due.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How often is looked for outcomes while letters are sent.
const STEP: Duration = Duration::from_millis(20);
/// How long nothing is tried after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// Sends the letters of replays.
#[derive(Debug)]
pub struct Replayer {
    broker: Arc<dyn Broker>,
    store: Arc<dyn Store>,
    /// When this process first saw a replay, and how much it has sent of it since: a ramp begins
    /// again with a new holder.
    begun: BTreeMap<ReplayId, (Instant, u64)>,
}

/// Why a turn was not made.
#[derive(Debug, thiserror::Error)]
pub enum ReplayerError {
    /// The Store has failed.
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    /// The queue has failed.
    #[error("the broker failed: {0}")]
    Broker(#[from] BrokerError),
}

impl Replayer {
    /// One that has nothing yet.
    pub const fn new(broker: Arc<dyn Broker>, store: Arc<dyn Store>) -> Self {
        Self { broker, store, begun: BTreeMap::new() }
    }

    /// Sends what there is until `stop`, while it has the lease. Cancel safe: what is not noted is
    /// done again.
    pub async fn run(mut self, stop: CancellationToken) {
        let (owner, mut lease, mut failing) = (Uuid::now_v7(), None, false);
        let turns = async {
            loop {
                let rest = match self.turn_with(owner, &mut lease).await {
                    Ok(rest) => {
                        failing = false;
                        rest
                    }
                    Err(error) => {
                        // Once an outage: the Store's own probes say how long it lasts.
                        if !failing {
                            tracing::warn!(%error, "cannot go on with a replay; trying again");
                        }
                        (failing, lease) = (true, None);
                        PAUSE
                    }
                };
                sleep(rest).await;
            }
        };
        stop.run_until_cancelled(turns).await;
    }

    /// One turn with a lease that is renewed in time.
    async fn turn_with(
        &mut self,
        owner: Uuid,
        lease: &mut Option<(Fence, Instant)>,
    ) -> Result<Duration, ReplayerError> {
        if self.store.open_replays().await?.is_empty() {
            self.begun.clear();
            return Ok(LOOK_AGAIN);
        }
        let now = Instant::now();
        if lease.is_none_or(|(_, renewed_at)| now >= renewed_at + RENEW_AFTER) {
            let wall = clock::now();
            let until = wall.plus_micros(i64::try_from(LEASE.as_micros()).unwrap_or(i64::MAX));
            let fence = self.store.lease_replays(owner, wall, until).await?;
            *lease = fence.map(|fence| (fence, now));
        }
        let Some((fence, _)) = *lease else { return Ok(LOOK_AGAIN) };
        let rest = self.turn(fence).await?;
        if rest.is_none() {
            *lease = None;
        }
        Ok(rest.unwrap_or(LOOK_AGAIN))
    }

    /// Takes every open replay a step further, for the holder of a lease; answers how long to rest,
    /// or with nothing if the lease is another's.
    pub async fn turn(&mut self, fence: Fence) -> Result<Option<Duration>, ReplayerError> {
        let open = self.store.open_replays().await?;
        self.begun.retain(|id, _| open.iter().any(|replay| replay.id == *id));
        let mut rest = LOOK_AGAIN;
        for replay in open {
            // Outcomes first: what came back may forbid to send more.
            let noted = self.store.note_outcomes(replay.id, fence).await?;
            let Some(replay) = noted else { return Ok(None) };
            if replay.state != ReplayState::Running {
                let Replay { id, settled, failed, .. } = replay;
                tracing::info!(replay = %id, state = replay.state.as_str(), settled, failed, "replay");
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

    /// Sends what is due of a replay; answers whether something was, or with nothing if the lease is
    /// another's.
    async fn send(&mut self, replay: &Replay, fence: Fence) -> Result<Option<bool>, ReplayerError> {
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
            return Ok(Some(replay.open() > 0));
        }
        self.put_back(letters).await?;
        begun_add(&mut self.begun, replay.id, names.len());
        let is_noted = self.store.note_sent(replay.id, fence, names, Some(after)).await?;
        Ok(is_noted.then_some(true))
    }

    /// Sends letters in their order: of two events of one order, which comes first may decide what
    /// each is named, and a dry run has said so.
    async fn put_back(&self, letters: Vec<DeadLetter>) -> Result<(), ReplayerError> {
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

    async fn put_back_together(&self, envelopes: Vec<Envelope>) -> Result<(), ReplayerError> {
        if !envelopes.is_empty() {
            self.broker.put_back(envelopes).await?;
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
