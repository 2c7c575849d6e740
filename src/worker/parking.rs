//! Parking: dead letters from the broker's intake are filed in the Store, for people.
//!
//! What would go beyond `dead_letters.bytes_max` waits in the intake: it is handed back, and comes
//! again after a pause. Everything else goes on.
//!
//! Dies between filing and settling: the letter is filed again, which changes nothing.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Pool;
use crate::broker::{Delivery, Disposition};
use crate::domain::dead_letter::Room;
use crate::domain::{Code, MessageId, Rejection};
use crate::store::{DeadLetter, Store, StoreError};

/// The most that bodies take where nothing is set, and of a server's memory the part.
const BYTES_MAX: u64 = 1 << 30;
const MEMORY_PART: u64 = 4;
/// How often is said that letters wait.
const SAID_EVERY: Duration = Duration::from_mins(1);

/// How often is looked what the parked letters of all processes take: what each of them parks in
/// between may go beyond the bound.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How much may be parked.
#[derive(Debug, Default)]
pub(super) struct Intake {
    /// `dead_letters.bytes_max`
    bytes_max: Option<u64>,
    /// What all tasks of this process take of it since the last look.
    room: Mutex<Room>,
    looked_at: tokio::sync::Mutex<Option<Instant>>,
    said_at: Mutex<Option<Instant>>,
}

impl Intake {
    pub(super) fn new(bytes_max: Option<u64>) -> Self {
        Self { bytes_max, ..Self::default() }
    }

    /// Looks how much room there is, unless that was done a moment ago.
    async fn look(&self, store: &dyn Store) -> Result<(), StoreError> {
        let mut looked_at = self.looked_at.lock().await;
        if looked_at.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            let room = Room::new(self.bytes_max(store), store.dead_letter_totals().await?.bytes);
            *self.room.lock().unwrap_or_else(PoisonError::into_inner) = room;
            *looked_at = Some(Instant::now());
        }
        Ok(())
    }

    fn bytes_max(&self, store: &dyn Store) -> u64 {
        let part = || store.memory_max().map_or(BYTES_MAX, |bytes| bytes / MEMORY_PART);
        self.bytes_max.unwrap_or_else(|| part().min(BYTES_MAX))
    }

    /// Says why letters wait, not for each of them.
    fn say(&self, waiting: usize, bytes_max: u64) {
        if waiting == 0 {
            return;
        }
        let mut said_at = self.said_at.lock().unwrap_or_else(PoisonError::into_inner);
        if said_at.is_none_or(|at| at.elapsed() >= SAID_EVERY) {
            *said_at = Some(Instant::now());
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

/// Files dead letters and settles them. Where the Store refuses them together, it is asked for each
/// alone, so that one it will not have holds no other back.
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
                %error,
                "the store refused a dead letter; it comes again"
            );
            let delay = pool.ladder.rung(delivery.attempt);
            delivery.settle(Disposition::Retry(delay));
        }
    }
}

fn settle(pool: &Pool, delivery: Delivery, waiting: &BTreeSet<MessageId>) {
    if waiting.contains(&delivery.envelope.message_id) {
        // Nobody has failed: it waits for room. Not too short: many may wait, and each comes round.
        delivery.settle(Disposition::Later(pool.ladder.rung(3)));
    } else {
        delivery.settle(Disposition::Ack);
    }
}

/// Files letters, and waits while the Store is away; answers with those that there is no room for.
async fn file(pool: &Pool, deliveries: &[Delivery]) -> Result<BTreeSet<MessageId>, StoreError> {
    let letters: Vec<_> = deliveries.iter().map(letter).collect();
    loop {
        let filed = async {
            pool.intake.look(&*pool.store).await?;
            pool.store.park_within(letters.clone(), &pool.intake.room).await
        };
        match filed.await {
            Ok(waiting) => {
                pool.breaker.succeeded();
                pool.intake.say(waiting.len(), pool.intake.bytes_max(&*pool.store));
                return Ok(waiting.into_iter().collect());
            }
            Err(error) if error.is_transient() => pool.breaker.wait_out(&error).await,
            Err(error) => return Err(error),
        }
    }
}

fn letter(delivery: &Delivery) -> DeadLetter {
    let envelope = (*delivery.envelope).clone();
    match &delivery.dead {
        Some(dead) => DeadLetter {
            envelope,
            rejection: dead.rejection.clone(),
            failed_at: dead.failed_at,
            attempts: dead.attempts,
            original: None,
        },
        // The intake gives every letter its reason; one without was put there by somebody else.
        None => DeadLetter {
            failed_at: envelope.received_at,
            envelope,
            rejection: Rejection::new(Code::Unrouted, "it came to the intake without a reason"),
            attempts: delivery.attempt,
            original: None,
        },
    }
}
