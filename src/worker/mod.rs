//! The worker pool: deliveries in, commits and dispositions out.
//!
//! One loop takes what is ready, as a batch, and hands it to one of a bounded number of tasks; a
//! batch goes decode > load > decide > commit > settle, see [`batch`]; batches of dead letters are
//! parked. While the Store is away, the pool keeps what it has, takes nothing new, and probes with
//! growing delays: an outage is no attempt of any message. After `worker.unacked_max_age` it hands
//! its deliveries back, once, and subscribes again when the Store answers: a queue takes away what
//! is unacknowledged for too long, and counts that as the death of a worker.
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
mod in_hand;
mod ladder;
mod parking;
mod unknown_sources;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::broker::{
    Broker, BrokerError, Delivery, Disposition, Envelope, Queue, SUSPECT_DELIVERIES,
};
use crate::clock;
use crate::config::{RetrySettings, WorkerSettings};
use crate::domain::{
    Code, EventOutcome, Outcome, PolicyInForce, Reason, Rejection, SourceRules, causes,
};
use crate::health::Health;
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};

pub use batch::understand;
use circuit_breaker::CircuitBreaker;
pub use dead_letters::outcome_of_command;
use in_hand::InHand;
use ladder::Ladder;
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
        let subscribed = async {
            let work = self.broker.subscribe(Queue::Work, prefetch).await?;
            // They are parked one batch at a time, and their bodies take memory too.
            let prefetch = prefetch.min(self.settings.batch_max);
            Ok((work, self.broker.subscribe(Queue::Dead, prefetch).await?))
        };
        let (mut work, mut dead) = match subscribed.await {
            Ok(subscriptions) => subscriptions,
            Err(error) => return Ended::Failed(PoolError::Subscribe(error)),
        };
        let slots = Arc::new(Semaphore::new(self.settings.concurrency));
        loop {
            while let Some(ended) = tasks.try_join_next() {
                log_end(ended);
            }
            let next = async {
                self.breaker.closed().await;
                let slot = Arc::clone(&slots).acquire_owned().await;
                let (queue, deliveries) = tokio::select! {
                    biased;
                    letters = dead.next_batch(self.settings.batch_max) => (Queue::Dead, letters),
                    events = work.next_batch(self.settings.batch_max) => (Queue::Work, events),
                };
                (queue, deliveries, slot)
            };
            let (queue, deliveries, slot) = tokio::select! {
                biased;
                () = stop.cancelled() => return Ended::Stopped,
                () = self.outdated.cancelled() => return Ended::Failed(PoolError::PolicyChanged),
                () = self.breaker.open_for(self.settings.unacked_max_age) => return Ended::StoreAway,
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

    /// Does one batch and settles it.
    async fn work(&self, deliveries: Vec<Delivery>) {
        let limit = u32::try_from(self.settings.delivery_limit).unwrap_or(u32::MAX);
        let (deliveries, poison): (Vec<_>, Vec<_>) =
            deliveries.into_iter().partition(|delivery| delivery.delivery_count <= limit);
        for delivery in poison {
            // Its body is not even read: that is what may kill.
            let detail = format!(
                "its worker died or gave it up {} times; worker.delivery_limit is {limit}",
                delivery.delivery_count
            );
            let rejection = Rejection::new(Code::DeliveryLimit, detail);
            self.settle(delivery, batch::Verdict::Rejected(Box::new(rejection)));
        }
        // One that was left unsettled before may be what kills workers: it is handled alone, so
        // that it takes no other with it.
        let (mut alone, together): (Vec<_>, Vec<_>) =
            deliveries.into_iter().partition(|delivery| {
                delivery.delivery_count >= SUSPECT_DELIVERIES
                    || dead_letters::is_command(&delivery.envelope)
            });
        // In another order each time: after what kills, the others would never have their turn, and
        // would reach the limit with it.
        alone.sort_by_cached_key(|delivery| {
            let count = delivery.delivery_count;
            let mut hasher = DefaultHasher::new();
            (delivery.envelope.message_id.0, count).hash(&mut hasher);
            (count >= SUSPECT_DELIVERIES).then(|| hasher.finish())
        });
        if !together.is_empty() {
            self.work_together(together).await;
        }
        for delivery in alone {
            self.work_alone(delivery).await;
        }
    }

    async fn work_together(&self, deliveries: Vec<Delivery>) {
        self.metrics.batch_events.observe(f64_of(deliveries.len()));
        let envelopes: Vec<Arc<Envelope>> =
            deliveries.iter().map(|delivery| Arc::clone(&delivery.envelope)).collect();
        let done = AssertUnwindSafe(batch::process(self, &envelopes)).catch_unwind().await;
        match done {
            Ok(Ok(mut verdicts)) => {
                self.end_replayed(&envelopes, &mut verdicts).await;
                for (delivery, verdict) in deliveries.into_iter().zip(verdicts) {
                    self.settle(delivery, verdict);
                }
            }
            // Something in it fails: each on its own, so that only that one is affected. What was
            // committed before is found to be a duplicate.
            Ok(Err(_)) | Err(_) => {
                for delivery in deliveries {
                    self.work_alone(delivery).await;
                }
            }
        }
    }

    async fn work_alone(&self, delivery: Delivery) {
        let envelopes = [Arc::clone(&delivery.envelope)];
        let process = async {
            let mut verdicts = if dead_letters::is_command(&delivery.envelope) {
                vec![dead_letters::process(self, &delivery.envelope).await?]
            } else {
                batch::process(self, &envelopes).await?
            };
            self.end_replayed(&envelopes, &mut verdicts).await;
            Ok(verdicts)
        };
        let done = AssertUnwindSafe(process).catch_unwind().await;
        let verdict = match done {
            Ok(Ok(verdicts)) => verdicts.into_iter().next(),
            Ok(Err(error @ StoreError::Newer { .. })) => {
                if let Some(entity) = batch::entity(self, &delivery.envelope) {
                    self.breaker.open_for_release(entity, &error);
                }
                // A worker of the newer release may take it.
                delivery.settle(Disposition::Later(self.ladder.rung(1)));
                return;
            }
            Ok(Err(error)) => {
                let (message_id, error) = (delivery.envelope.message_id, causes(&error));
                tracing::warn!(%message_id, error, "the store refused an event");
                Some(batch::Verdict::Failed)
            }
            Err(_) => {
                let detail = "the worker panicked on this body; the log says where";
                let rejection = Rejection::new(Code::WorkerPanic, detail);
                Some(batch::Verdict::Rejected(Box::new(rejection)))
            }
        };
        if let Some(verdict) = verdict {
            self.settle(delivery, verdict);
        }
    }

    /// Ends the dead letters of replays that went well. What the Store will not end is retried.
    async fn end_replayed(&self, envelopes: &[Arc<Envelope>], verdicts: &mut [batch::Verdict]) {
        let done = envelopes.iter().map(AsRef::as_ref).zip(&*verdicts);
        if dead_letters::end_replayed(self, done).await {
            return;
        }
        for (envelope, verdict) in envelopes.iter().zip(verdicts) {
            if envelope.replays > 0 {
                *verdict = batch::Verdict::Failed;
            }
        }
    }

    /// Counts what became of a delivery and settles it.
    fn settle(&self, delivery: Delivery, verdict: batch::Verdict) {
        let (rejection, delay) = match verdict {
            batch::Verdict::Settled(settled) => {
                self.metrics.count_settled(settled);
                delivery.settle(Disposition::Ack);
                return;
            }
            batch::Verdict::Unknown(event_type) => {
                let reason = Reason::UnknownEventType;
                self.metrics.count_settled(EventOutcome::because(Outcome::Ignored, reason));
                self.metrics.count_ignored(event_type.as_str());
                delivery.settle(Disposition::Ack);
                return;
            }
            batch::Verdict::Rejected(rejection) => (rejection, None),
            batch::Verdict::Outdated => {
                self.outdated.cancel();
                // For whoever works by the policy in force.
                delivery.settle(Disposition::Later(Duration::ZERO));
                return;
            }
            batch::Verdict::UnknownSource(rejection) => {
                self.metrics.sources_unknown.inc();
                self.unknown_sources.log(&delivery.envelope.source);
                (rejection, self.retry_delay(&delivery))
            }
            batch::Verdict::Failed => {
                let detail = format!("it failed {} times; the log says why", delivery.attempt);
                let rejection = Rejection::new(Code::RetryExhausted, detail);
                (Box::new(rejection), self.retry_delay(&delivery))
            }
        };
        if let Some(delay) = delay {
            self.metrics.deliveries_retried.inc();
            delivery.settle(Disposition::Retry(delay));
            return;
        }
        self.metrics.count_dead_letter(rejection.code);
        tracing::warn!(
            message_id = %delivery.envelope.message_id,
            code = %rejection.code,
            detail = rejection.detail,
            "dead letter"
        );
        delivery.settle(Disposition::DeadLetter(rejection));
    }

    /// The delay before the next attempt of a delivery; `None` after `retry.max_age`.
    fn retry_delay(&self, delivery: &Delivery) -> Option<Duration> {
        let failing_for =
            delivery.failing_since.map_or(0, |since| clock::now().micros() - since.micros());
        self.ladder.delay(delivery.attempt, failing_for)
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

/// A count as a histogram takes it.
#[expect(clippy::cast_precision_loss, reason = "batches have far fewer than 2^52 events")]
fn f64_of(count: usize) -> f64 {
    count as f64
}
