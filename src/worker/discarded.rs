//! Copies of dead letters that a replay sent and a person discarded afterwards: the discard wins.
//!
//! They are looked up before anything is applied, whatever became of the replay. A discard that
//! arrives while a copy is being applied is too late for its stock.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Pool;
use crate::broker::Envelope;
use crate::domain::MessageId;
use crate::store::StoreError;

/// Returns the places of such copies; waits while the Store is away.
pub(super) async fn places(
    pool: &Pool,
    envelopes: &[Arc<Envelope>],
) -> Result<Vec<usize>, StoreError> {
    let copies = envelopes.iter().filter(|envelope| envelope.replays > 0);
    let ids: Vec<MessageId> = copies.map(|envelope| envelope.message_id).collect();
    let discarded = loop {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        match pool.store.discarded(&ids).await {
            Ok(discarded) => break discarded,
            Err(error) if pool.breaker.waited_out(&error, BTreeSet::new()).await => {}
            Err(error) => return Err(error),
        }
    };
    let places = envelopes
        .iter()
        .enumerate()
        .filter(|(_, envelope)| envelope.replays > 0 && discarded.contains(&envelope.message_id));
    Ok(places.map(|(place, _)| place).collect())
}
