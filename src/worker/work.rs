//! One batch at work: what is done together and what alone, and the settlement of each delivery.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use super::{Pool, batch, dead_letters, heartbeats};
use crate::broker::{Delivery, Disposition, Envelope, SUSPECT_DELIVERIES};
use crate::clock;
use crate::domain::{Code, EventOutcome, Outcome, Reason, Rejection, causes};
use crate::store::StoreError;

impl Pool {
    /// Does one batch and settles it.
    pub(super) async fn work(&self, deliveries: Vec<Delivery>) {
        let limit = u32::try_from(self.settings.delivery_limit).unwrap_or(u32::MAX);
        let (beats, deliveries): (Vec<_>, Vec<_>) =
            deliveries.into_iter().partition(heartbeats::is_heartbeat);
        heartbeats::record(self, beats).await;
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

/// A count as a histogram takes it.
#[expect(clippy::cast_precision_loss, reason = "batches have far fewer than 2^52 events")]
fn f64_of(count: usize) -> f64 {
    count as f64
}
