//! Parking: dead letters from the broker's intake are filed in the Store, for people.
//!
//! Dies between filing and settling: the letter is filed again, which changes nothing.

use super::Pool;
use crate::broker::{Delivery, Disposition};
use crate::domain::{Code, Rejection};
use crate::store::{DeadLetter, StoreError};

/// Files dead letters and settles them. Where the Store refuses them together, it is asked for each
/// alone, so that one it will not have holds no other back.
pub(super) async fn park(pool: &Pool, deliveries: Vec<Delivery>) {
    let filed = file(pool, &deliveries).await;
    for delivery in deliveries {
        match filed {
            Ok(()) => delivery.settle(Disposition::Ack),
            Err(_) => park_alone(pool, delivery).await,
        }
    }
}

async fn park_alone(pool: &Pool, delivery: Delivery) {
    if let Err(error) = file(pool, std::slice::from_ref(&delivery)).await {
        tracing::error!(
            message_id = %delivery.envelope.message_id,
            %error,
            "the store refused a dead letter; it comes again"
        );
        let delay = pool.ladder.rung(delivery.attempt);
        delivery.settle(Disposition::Retry(delay));
        return;
    }
    delivery.settle(Disposition::Ack);
}

/// Files letters, and waits while the Store is away.
async fn file(pool: &Pool, deliveries: &[Delivery]) -> Result<(), StoreError> {
    let letters: Vec<_> = deliveries.iter().map(letter).collect();
    loop {
        match pool.store.park(letters.clone()).await {
            Ok(()) => {
                pool.gate.succeeded();
                return Ok(());
            }
            Err(error) if error.is_transient() => pool.gate.wait_out(&error).await,
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
