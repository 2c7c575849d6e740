//! The worker pool: deliveries in, commits and dispositions out.
//!
//! One loop takes what is ready, as a batch, and hands it to one of a bounded number of tasks; a
//! batch goes decode > load > decide > commit > settle, see [`batch`]; batches of dead letters are
//! parked. While the Store is away, the pool keeps what it has, takes nothing new, and probes with
//! growing delays: an outage is no attempt of any message. After `worker.unacked_max_age` it hands
//! its deliveries back, once, and subscribes again when the Store answers: a queue takes away what
//! is unacknowledged for too long, and counts that as the death of a worker.
//!
//! While a person has [paused](pausing) the work queue, the pool finishes what it has and takes
//! nothing from it; dead letters are still parked.
//!
//! # Invariants
//! - A delivery is settled only after what it decided is durable in the Store.
//! - A batch whose task fails is done again delivery by delivery, and a delivery whose own task
//!   panics becomes a dead letter: a bad body costs itself and nothing else.
//! - What is not settled when the process ends is delivered again, and changes nothing twice.

mod batch;
mod chunks;
mod circuit_breaker;
mod dead_letters;
mod decided;
mod discarded;
mod fault;
mod heartbeats;
mod in_hand;
mod ladder;
mod parking;
mod pausing;
mod unknown_sources;
mod work;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::broker::{Broker, BrokerError, Delivery, Queue, Subscription};
use crate::config::{RetrySettings, WorkerSettings};
use crate::domain::{PolicyInForce, SourceRules, causes};
use crate::health::Health;
use crate::metrics::Metrics;
use crate::store::Store;

pub use batch::understand;
use circuit_breaker::CircuitBreaker;
pub use dead_letters::outcome_of_command;
use in_hand::InHand;
use ladder::Ladder;
use pausing::Pausing;
use unknown_sources::UnknownSources;

/// How often the pool checks whether another policy was put in force.
const POLICY_POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Everything that the pool works with.
#[derive(Debug)]
pub struct Pool {
    broker: Arc<dyn Broker>,
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    breaker: CircuitBreaker,
    ladder: Ladder,
    policy: PolicyInForce,
    sources: SourceRules,
    unknown_sources: UnknownSources,
    intake: parking::Intake,
    pausing: Pausing,
    settings: WorkerSettings,
    /// Cancelled once the Store says that another policy is in force.
    outdated: CancellationToken,
}

/// How the pool ended after it was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Everything that was in flight is settled.
    Whole,
    /// Some deliveries were left unsettled when the deadline passed.
    InPart,
}

/// Why the pool ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The queue cannot be consumed.
    #[error("cannot consume the queue")]
    Subscribe(#[from] BrokerError),
    /// The queue's backend has ended.
    #[error("the queue ended by itself")]
    QueueEnded,
    /// Another policy is in force than the one that the pool decides by.
    #[error("another policy was put in force")]
    PolicyChanged,
}

impl Pool {
    /// A pool that decides by the given policy, which must be the one in force.
    pub fn new(
        broker: Arc<dyn Broker>,
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
        policy: PolicyInForce,
        worker: &WorkerSettings,
        retry: &RetrySettings,
    ) -> Self {
        Self {
            breaker: CircuitBreaker::new(
                Arc::clone(&store),
                Arc::clone(&metrics),
                Arc::clone(&health),
            ),
            broker,
            store,
            metrics,
            health,
            ladder: Ladder(retry.clone()),
            policy,
            sources: SourceRules::default(),
            unknown_sources: UnknownSources::default(),
            intake: parking::Intake::default(),
            pausing: Pausing::default(),
            settings: worker.clone(),
            outdated: CancellationToken::new(),
        }
    }

    /// The same pool, which parks so many bytes of dead letters at most; without a number, as many
    /// as the Store's memory allows.
    #[must_use]
    pub fn with_dead_letters_max(self, bytes_max: Option<u64>) -> Self {
        Self { intake: parking::Intake::new(bytes_max), ..self }
    }

    /// The same pool, in which these sources of webhooks are known and write their sites only.
    #[must_use]
    pub fn with_sources(self, sources: SourceRules) -> Self {
        Self { sources, ..self }
    }

    /// Works until `stop`, then settles what is in flight until `abandoned`; what is left then
    /// comes again. Ends by itself when another policy is put in force.
    pub async fn run(
        self,
        stop: CancellationToken,
        abandoned: CancellationToken,
    ) -> Result<Drained, PoolError> {
        let pool = Arc::new(self);
        let (mut prober, mut tasks) = (JoinSet::new(), JoinSet::new());
        let probing = Arc::clone(&pool);
        prober.spawn(async move { probing.breaker.probe().await });
        let watching = Arc::clone(&pool);
        prober.spawn(async move { watching.watch_policy().await });
        // Before the first delivery: a worker that is restarted during a pause takes nothing.
        stop.run_until_cancelled(pool.pausing.look(&*pool.store, &pool.health)).await;
        let looking = Arc::clone(&pool);
        prober.spawn(async move { looking.pausing.watch(&*looking.store, &looking.health).await });
        let ended = loop {
            match pool.consume(&stop, &mut tasks).await {
                Ended::Stopped => break Ok(()),
                Ended::Failed(error) => break Err(error),
                Ended::StoreAway => {}
            }
            tracing::warn!(
                batches = tasks.len(),
                "unsettled deliveries are handed back until the store answers"
            );
            // Their deliveries come again and are not counted as failures: the pool has
            // unsubscribed.
            tasks.shutdown().await;
            pool.breaker.nothing_unacked();
            tokio::select! {
                () = stop.cancelled() => break Ok(()),
                () = pool.outdated.cancelled() => break Err(PoolError::PolicyChanged),
                () = pool.breaker.closed() => {}
            }
        };
        if let Err(PoolError::Subscribe(_) | PoolError::QueueEnded) = ended {
            return ended.map(|()| Drained::InPart);
        }
        let drained = async {
            while let Some(ended) = tasks.join_next().await {
                log_end(ended);
            }
        };
        if abandoned.run_until_cancelled(drained).await.is_some() {
            return ended.map(|()| Drained::Whole);
        }
        tracing::warn!(batches = tasks.len(), "drain deadline passed; what is left comes again");
        tasks.shutdown().await;
        Ok(Drained::InPart)
    }

    /// Checks now and then whether the policy is still in force: without webhooks, no commit is
    /// refused.
    async fn watch_policy(&self) {
        loop {
            tokio::time::sleep(POLICY_POLL_INTERVAL).await;
            // A Store that is away is the circuit breaker's business.
            if let Ok(Some(in_force)) = self.store.policy().await
                && in_force.revision != self.policy.revision
            {
                return self.outdated.cancel();
            }
        }
    }

    /// Subscribes, and hands batches to tasks until something ends that.
    async fn consume(self: &Arc<Self>, stop: &CancellationToken, tasks: &mut JoinSet<()>) -> Ended {
        let prefetch = self.settings.prefetch;
        // They are parked one batch at a time, and their bodies take memory too.
        let dead_prefetch = prefetch.min(self.settings.batch_max);
        let mut dead = match self.broker.subscribe(Queue::Dead, dead_prefetch).await {
            Ok(subscription) => subscription,
            Err(error) => return Ended::Failed(PoolError::Subscribe(error)),
        };
        let mut work = None;
        let slots = Arc::new(Semaphore::new(self.settings.concurrency));
        loop {
            while let Some(ended) = tasks.try_join_next() {
                log_end(ended);
            }
            let is_paused = self.pausing.is_paused();
            if is_paused {
                // What was handed over and not taken is handed back, without counting against it.
                work = None;
            } else if work.is_none() {
                work = match self.broker.subscribe(Queue::Work, prefetch).await {
                    Ok(subscription) => Some(subscription),
                    Err(error) => return Ended::Failed(PoolError::Subscribe(error)),
                };
            }
            let next = async {
                self.breaker.closed().await;
                let slot = Arc::clone(&slots).acquire_owned().await;
                let (queue, deliveries) = tokio::select! {
                    biased;
                    letters = dead.next_batch(self.settings.batch_max) => (Queue::Dead, letters),
                    events = next_of(work.as_mut(), self.settings.batch_max) => (Queue::Work, events),
                };
                (queue, deliveries, slot)
            };
            let (queue, deliveries, slot) = tokio::select! {
                biased;
                () = stop.cancelled() => return Ended::Stopped,
                () = self.outdated.cancelled() => return Ended::Failed(PoolError::PolicyChanged),
                () = self.breaker.open_for(self.settings.unacked_max_age) => return Ended::StoreAway,
                () = self.pausing.becomes(!is_paused) => continue,
                next = next => next,
            };
            if deliveries.is_empty() {
                return Ended::Failed(PoolError::QueueEnded);
            }
            let pool = Arc::clone(self);
            tasks.spawn(async move {
                let in_hand = InHand::new(&pool.health, deliveries.len());
                for chunk in chunks::chunks(deliveries) {
                    match queue {
                        Queue::Work => pool.work(chunk).await,
                        Queue::Dead => parking::park(&pool, chunk).await,
                    }
                }
                drop((in_hand, slot));
            });
        }
    }
}

/// The next batch of a subscription; waits for ever if there is none. Cancel safe.
async fn next_of(subscription: Option<&mut Subscription>, max: usize) -> Vec<Delivery> {
    match subscription {
        Some(subscription) => subscription.next_batch(max).await,
        None => std::future::pending().await,
    }
}

/// Batches catch what their deliveries do, so a task that fails is a fault of the pool itself; its
/// deliveries come again.
fn log_end(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(
            error = causes(&error),
            "a task of the worker failed; its deliveries come again"
        );
    }
}

/// Why the pool consumes no longer.
enum Ended {
    /// It was stopped.
    Stopped,
    /// The Store was away for so long that what is unsettled is handed back.
    StoreAway,
    Failed(PoolError),
}
