//! Catching up: when Redis turns out to have data of another history, what it may have lost is put
//! through the workers again, from the journal.
//!
//! A replica that was promoted, a backup that was restored and a server that lost its last writes
//! look right and are not. Beside the data stands a time before which everything that was received
//! is in it; it went back with the data, so the journal from that time on has what is missing. A
//! server that only was started again has another history too: then nothing is missing, and what is
//! applied again changes nothing.
//!
//! Every worker's process looks; the one with the lease acts. It may die anywhere: the new history
//! is noted last, so the next holder begins again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::lease::Lease;
use crate::broker::rabbitmq::RabbitBroker;
use crate::broker::{Broker, BrokerError};
use crate::domain::Timestamp;
use crate::rebuild::{self, RebuildError, Selection};
use crate::store::StoreError;
use crate::store::redis::{KnownHistory, RedisStore};

/// How often it is looked, and how long a lease lasts.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
const LEASE: Duration = Duration::from_secs(20);
/// How long nothing is tried after a failure.
const PAUSE: Duration = Duration::from_secs(10);

/// How often it is told again that only a person can go on.
const TELL_AGAIN: Duration = Duration::from_hours(1);

/// Sees to it that Redis has what the journal has.
#[derive(Debug)]
pub(super) struct CatchUp {
    broker: Arc<RabbitBroker>,
    store: Arc<RedisStore>,
    lease: Lease,
    /// `journal.overlap`
    overlap: Duration,
}

#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    #[error("the broker failed: {0}")]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
}

impl CatchUp {
    pub(super) fn new(
        broker: Arc<RabbitBroker>,
        store: Arc<RedisStore>,
        overlap: Duration,
    ) -> Self {
        let lease = Lease::new(Some(Arc::clone(&store)), "catch-up", LEASE);
        Self { broker, store, lease, overlap }
    }

    /// Looks until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut told = Told::default();
        let turns = async {
            // What is missing in RabbitMQ is declared meanwhile.
            sleep(LOOK_AGAIN).await;
            loop {
                let rest = match self.turn().await {
                    Ok(()) => {
                        told = Told::default();
                        LOOK_AGAIN
                    }
                    Err(error) => {
                        // Once an outage; one that only a person can end is told as what it is.
                        let in_part = matches!(error, StepError::Rebuild(RebuildError::InPart(_)));
                        match told.is_due(in_part, Instant::now()) {
                            true if in_part => {
                                tracing::error!(%error, "redis begins anew, and nothing is put back");
                            }
                            true => {
                                tracing::warn!(%error, "cannot look after redis's history; trying again");
                            }
                            false => {}
                        }
                        self.lease.doubt();
                        PAUSE
                    }
                };
                sleep(rest).await;
            }
        };
        stop.run_until_cancelled(turns).await;
    }

    async fn turn(&mut self) -> Result<(), StepError> {
        if self.lease.hold().await?.is_none() {
            return Ok(());
        }
        let present = self.store.histories().await?;
        if present.is_empty() {
            return Ok(());
        }
        // Asked before: what is committed later is not what this is about.
        let settled_before = self.broker.settled_before().await?;
        match self.store.known_history().await? {
            Some(known) if present.is_subset(&known.names) => {
                self.renew(known, settled_before).await
            }
            known => self.catch_up(present, known).await,
        }
    }

    /// Notes that all is well, if there is news of that.
    async fn renew(
        &self,
        mut known: KnownHistory,
        settled_before: Option<Timestamp>,
    ) -> Result<(), StepError> {
        if let Some(settled_before) = settled_before
            && settled_before > known.settled_before
        {
            known.settled_before = settled_before;
            self.store.note_history(&known).await?;
        }
        Ok(())
    }

    /// Puts back what may be missing. Feeds begin a new epoch before: numbers of changes that were
    /// lost are given out again.
    async fn catch_up(
        &mut self,
        present: BTreeSet<String>,
        known: Option<KnownHistory>,
    ) -> Result<(), StepError> {
        let settled_before =
            known.as_ref().map_or(Timestamp::from_micros(0), |known| known.settled_before);
        let now_known = KnownHistory { names: present, settled_before };
        let since = match known {
            // Nothing at all is there: what the journal has is missing.
            None => None,
            // All is there, as a rebuild has noted.
            Some(known) if known.names.is_empty() => {
                return Ok(self.store.note_history(&now_known).await?);
            }
            Some(_) => {
                self.store.begin_epoch().await?;
                let overlap = i64::try_from(self.overlap.as_micros()).unwrap_or(i64::MAX);
                Some(settled_before.plus_micros(-overlap))
            }
        };
        let put_back = {
            let selection = Selection { since, partial: false };
            let replay = rebuild::replay(&*self.broker, &*self.store, selection, |_| {});
            let mut replay = std::pin::pin!(replay);
            // The lease must not run out meanwhile.
            loop {
                tokio::select! {
                    done = &mut replay => break done?,
                    () = sleep(LEASE / 4) => {
                        if self.lease.hold().await?.is_none() {
                            return Ok(());
                        }
                    }
                }
            }
        };
        if put_back > 0 {
            tracing::warn!(
                put_back,
                since = since.map(tracing::field::display),
                "redis has data of another history; webhooks that it may have lost are in the \
                 work queue again"
            );
        }
        Ok(self.store.note_history(&now_known).await?)
    }
}

/// What was logged of failures since something worked.
#[derive(Default)]
struct Told {
    failed: bool,
    /// That the journal has only a part.
    in_part_at: Option<Instant>,
}

impl Told {
    /// Whether a failure is to be logged: each kind once, and what a person must see now and then.
    fn is_due(&mut self, in_part: bool, now: Instant) -> bool {
        if !in_part {
            return !std::mem::replace(&mut self.failed, true);
        }
        let is_due = self.in_part_at.is_none_or(|at| now.duration_since(at) >= TELL_AGAIN);
        if is_due {
            self.in_part_at = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_lasts_is_logged_once_and_one_for_a_person_every_hour() {
        let (mut told, start) = (Told::default(), Instant::now());
        assert!(told.is_due(false, start) && !told.is_due(false, start + TELL_AGAIN));
        let looks = (0..720).map(|look| told.is_due(true, start + PAUSE * look));
        assert_eq!(looks.filter(|is_due| *is_due).count(), 2, "in two hours");
    }
}
