//! The worker's condition: it consumes only under the policy that is in force.
//!
//! The first worker of an empty Store records a policy: the defaults, overridden by its
//! configuration. Later, a worker whose configuration differs does not consume: two workers with
//! two meanings of an order would undo each other's work. One that consumes when another policy is
//! put in force finds that out within seconds, or by the Store's next refusal, and waits again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::broker::Broker;
use crate::clock::{self, Delays};
use crate::config::Settings;
use crate::domain::{Policy, PolicyInForce, PolicyOrigin, causes};
use crate::health::Health;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::worker::{Drained, Pool, PoolError};

/// The shortest and longest delay between two looks at the policy.
const POLL_INTERVAL: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Who records the first policy of a Store.
const ACTOR: &str = "the first worker";

/// What a worker needs.
pub(super) struct WorkerRole {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) store: Arc<dyn Store>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: Arc<Health>,
    pub(super) settings: Settings,
}

impl WorkerRole {
    /// Waits for the policy, then works until `stop`. `decided` is answered once it is known
    /// whether the policy allows to consume.
    pub(super) async fn run(
        self,
        decided: oneshot::Sender<()>,
        stop: CancellationToken,
        abandoned: CancellationToken,
    ) -> Result<Drained, PoolError> {
        let mut decided = Some(decided);
        let settings = &self.settings;
        loop {
            let policy = stop.run_until_cancelled(self.policy_in_force(&mut decided)).await;
            let Some(policy) = policy else { return Ok(Drained::Whole) };
            let pool = Pool::new(
                Arc::clone(&self.broker),
                Arc::clone(&self.store),
                Arc::clone(&self.metrics),
                Arc::clone(&self.health),
                policy,
                &settings.worker,
                &settings.retry,
            );
            let pool = pool.with_sources(settings.source_rules());
            let pool =
                pool.with_dead_letters_max(settings.dead_letters.bytes_max.map(|size| size.0));
            match pool.run(stop.clone(), abandoned.clone()).await {
                Err(PoolError::PolicyChanged) if !stop.is_cancelled() => {}
                Err(PoolError::PolicyChanged) => return Ok(Drained::Whole),
                ended => return ended,
            }
        }
    }

    /// Waits until the policy in force is the configured one.
    async fn policy_in_force(&self, decided: &mut Option<oneshot::Sender<()>>) -> PolicyInForce {
        let mut delays = Delays::new(POLL_INTERVAL.0, POLL_INTERVAL.1);
        let mut logged = None;
        let configured = self.settings.policy();
        loop {
            let first = configured.over(&Policy::default());
            let origin = PolicyOrigin { actor: ACTOR.to_owned(), at: clock::now() };
            let why = match self.store.adopt_policy(&first, &origin).await {
                Ok(in_force) if in_force.policy == configured.over(&in_force.policy) => {
                    self.health.resume_worker();
                    tracing::info!(revision = in_force.revision, "the worker's policy is in force");
                    decided.take().map(|decided| decided.send(()));
                    return in_force;
                }
                Ok(in_force) => {
                    decided.take().map(|decided| decided.send(()));
                    format!(
                        "the configured policy differs from revision {} in force; \
                         `storekeeper policy show` prints that one: set {} as it says, \
                         or run `storekeeper policy apply`",
                        in_force.revision,
                        configured.over(&in_force.policy).differing(&in_force.policy).join(", "),
                    )
                }
                Err(error) => format!("cannot read the policy in force: {}", causes(&error)),
            };
            if logged.as_ref() != Some(&why) {
                tracing::error!(why, "the worker does not consume");
                self.health.pause_worker(&why);
                logged = Some(why);
            }
            self.health.count_turn();
            tokio::time::sleep(delays.next()).await;
        }
    }
}
