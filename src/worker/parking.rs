//! Parks dead letters: files those of the broker's intake in the Store, for people.
//!
//! What would exceed `dead_letters.bytes_max` waits in the intake: it is handed back and
//! redelivered after a pause. Everything else goes on.
//!
//! If the process dies between filing and settling, the dead letter is filed again, which changes
//! nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Pool;
use crate::broker::{Delivery, Disposition};
use crate::domain::dead_letter::Room;
use crate::domain::{Code, MessageId, Rejection, causes};
use crate::store::{DeadLetter, DeadLetterName, Store, StoreError};

/// The default limit of `dead_letters.bytes_max`, and its share of a server's memory.
const BYTES_MAX: u64 = 1 << 30;
const MEMORY_PART: u64 = 4;
/// How often waiting dead letters are logged.
const LOG_EVERY: Duration = Duration::from_mins(1);

/// How often the space that all parked dead letters take is read, and how soon again once it is
/// tight. The limit may be exceeded by what other processes park in between.
const READ_EVERY: Duration = Duration::from_secs(10);
const READ_AGAIN: Duration = Duration::from_secs(1);
/// How many sizes of waiting dead letters are remembered.
const SIZES_MAX: usize = 100_000;

/// How much may be parked.
#[derive(Debug, Default)]
pub(super) struct Intake {
    /// `dead_letters.bytes_max`
    bytes_max: Option<u64>,
    /// What is left of it, as far as this process knows.
    room: Mutex<Room>,
    read_at: tokio::sync::Mutex<Option<Instant>>,
    /// The compressed sizes of dead letters that found no room: each is compressed once.
    sizes: Mutex<BTreeMap<DeadLetterName, u64>>,
    logged_at: Mutex<Option<Instant>>,
}

impl Intake {
    pub(super) fn new(bytes_max: Option<u64>) -> Self {
        Self { bytes_max, ..Self::default() }
    }

    /// Parks as many as there is room for, and returns the messages that must wait.
    async fn park(
        &self,
        store: &dyn Store,
        letters: Vec<DeadLetter>,
    ) -> Result<BTreeSet<MessageId>, StoreError> {
        self.read_room(store).await?;
        let (waiting, tried): (Vec<_>, Vec<_>) =
            letters.into_iter().partition(|letter| self.is_too_large(letter));
        let mut waiting: BTreeSet<MessageId> =
            waiting.iter().map(|letter| letter.envelope.message_id).collect();
        let names: Vec<DeadLetterName> = tried.iter().map(DeadLetter::name).collect();
        let refused: BTreeMap<_, _> =
            store.park_within(tried, &self.room).await?.into_iter().collect();
        let mut sizes = locked(&self.sizes);
        if sizes.len() + refused.len() > SIZES_MAX {
            sizes.clear();
        }
        for name in names {
            match refused.get(&name.message_id) {
                Some(size) => drop(sizes.insert(name, *size)),
                None => drop(sizes.remove(&name)),
            }
        }
        waiting.extend(refused.into_keys());
        Ok(waiting)
    }

    /// Whether a dead letter that had to wait before must wait again.
    fn is_too_large(&self, letter: &DeadLetter) -> bool {
        let size = locked(&self.sizes).get(&letter.name()).copied();
        size.is_some_and(|size| !locked(&self.room).fits(&letter.envelope.source, size))
    }

    async fn read_room(&self, store: &dyn Store) -> Result<(), StoreError> {
        let mut read_at = self.read_at.lock().await;
        let is_due = read_at.is_none_or(|at| {
            let age = at.elapsed();
            age >= READ_EVERY || (age >= READ_AGAIN && locked(&self.room).is_tight())
        });
        if is_due {
            if self.bytes_max.is_none() && store.memory_max().is_some() {
                // An operator may have given the server more memory, or less. If it does not
                // answer, what follows says so.
                store.check().await.ok();
            }
            let used = store.dead_letter_totals().await?.bytes;
            *locked(&self.room) = Room::new(self.bytes_max(store), used);
            *read_at = Some(Instant::now());
        }
        Ok(())
    }

    fn bytes_max(&self, store: &dyn Store) -> u64 {
        let part = || store.memory_max().map_or(BYTES_MAX, |bytes| bytes / MEMORY_PART);
        self.bytes_max.unwrap_or_else(|| part().min(BYTES_MAX))
    }

    /// Logs why dead letters wait, not once for each.
    fn log(&self, waiting: usize, bytes_max: u64) {
        if waiting == 0 {
            return;
        }
        let mut logged_at = locked(&self.logged_at);
        if logged_at.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            *logged_at = Some(Instant::now());
            tracing::warn!(
                waiting,
                bytes_max,
                "dead letters wait in the intake: those that are parked take all that \
                 dead_letters.bytes_max allows, or their source takes half of it; replay or discard \
                 some, or raise it"
            );
        }
    }
}

/// Files dead letters and settles their deliveries. If the Store refuses them together, each is
/// filed alone, so that one bad dead letter blocks only itself.
pub(super) async fn park(pool: &Pool, deliveries: Vec<Delivery>) {
    match file(pool, &deliveries).await {
        Ok(waiting) => {
            for delivery in deliveries {
                settle(pool, delivery, &waiting);
            }
        }
        Err(_) => {
            for delivery in deliveries {
                park_alone(pool, delivery).await;
            }
        }
    }
}

async fn park_alone(pool: &Pool, delivery: Delivery) {
    match file(pool, std::slice::from_ref(&delivery)).await {
        Ok(waiting) => settle(pool, delivery, &waiting),
        Err(error) => {
            tracing::error!(
                message_id = %delivery.envelope.message_id,
                error = causes(&error),
                "the store refused a dead letter; it comes again"
            );
            let delay = pool.ladder.rung(delivery.attempt);
            delivery.settle(Disposition::Retry(delay));
        }
    }
}

fn settle(pool: &Pool, delivery: Delivery, waiting: &BTreeSet<MessageId>) {
    if waiting.contains(&delivery.envelope.message_id) {
        // Nothing failed: it waits for room. The pause is not short, as many may wait and be
        // redelivered.
        delivery.settle(Disposition::Later(pool.ladder.rung(3)));
    } else {
        delivery.settle(Disposition::Ack);
    }
}

/// Files dead letters, waiting while the Store is away; returns those that there is no room for.
async fn file(pool: &Pool, deliveries: &[Delivery]) -> Result<BTreeSet<MessageId>, StoreError> {
    let store = &*pool.store;
    loop {
        match pool.intake.park(store, deliveries.iter().map(dead_letter).collect()).await {
            Ok(waiting) => {
                pool.breaker.succeeded();
                pool.intake.log(waiting.len(), pool.intake.bytes_max(store));
                return Ok(waiting);
            }
            Err(error) if pool.breaker.waited_out(&error, BTreeSet::new()).await => {}
            Err(error) => return Err(error),
        }
    }
}

fn dead_letter(delivery: &Delivery) -> DeadLetter {
    let envelope = (*delivery.envelope).clone();
    match &delivery.dead {
        Some(dead) => DeadLetter {
            envelope,
            rejection: dead.rejection.clone(),
            failed_at: dead.failed_at,
            attempts: dead.attempts,
            original: None,
        },
        // The intake records a reason for every dead letter; one without was published by somebody
        // else.
        None => DeadLetter {
            failed_at: envelope.received_at,
            envelope,
            rejection: Rejection::new(Code::Unrouted, "it came to the intake without a reason"),
            attempts: delivery.attempt,
            original: None,
        },
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::broker::{Envelope, EnvelopeKind};
    use crate::clock;
    use crate::store::StateStore as _;
    use crate::store::embedded::EmbeddedStore;

    #[tokio::test]
    async fn what_found_no_room_waits_again_without_the_store_being_asked() {
        let directory = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(directory.path()).unwrap();
        let envelope = Envelope {
            message_id: MessageId(Uuid::now_v7()),
            kind: EnvelopeKind::Webhook,
            received_at: clock::now(),
            source: "duda".to_owned(),
            replays: 0,
            traceparent: None,
            tracestate: None,
            body: "{}".into(),
        };
        let rejection = Rejection::new(Code::NotJson, "expected a value");
        let failed_at = clock::now();
        let letter = DeadLetter { envelope, rejection, failed_at, attempts: 1, original: None };
        let intake = Intake::new(Some(4));
        let all = BTreeSet::from([letter.envelope.message_id]);
        assert_eq!(intake.park(&store, vec![letter.clone()]).await.unwrap(), all);
        store.close().await;
        assert_eq!(intake.park(&store, vec![letter]).await.unwrap(), all);
    }
}
