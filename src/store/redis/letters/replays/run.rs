//! The running of replays, by whoever holds the lease.
//!
//! Dies between two steps of a call: what was noted stays, and is not noted twice; the next holder
//! goes on from there.

use uuid::Uuid;

use super::super::super::client::{Call, Client};
use super::super::list::letters;
use super::super::scripts::{AGAIN, CLEAN, LEASE, OUTCOMES, SENT, UNSENT, of_replay, shared};
use super::{STEP, Shown, name_of, open, parse_name, read};
use crate::domain::Timestamp;
use crate::store::{DeadLetter, Fence, LetterName, Replay, ReplayId, StoreError};

/// Takes the lease if it is free, over or the owner's own. A new holder has sent nothing yet, and
/// on a server that was started anew the old one has not either. It has the lease from the first
/// step on, but is told so only when what was sent counts as not sent; if it dies in between, or
/// gets no answer, asking again does the rest.
pub(in crate::store::redis) async fn lease_replays(
    client: &Client,
    owner: Uuid,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<Fence>, StoreError> {
    let lease = || shared(client, &["lease"]);
    let take = Call::of(&LEASE)
        .key(lease())
        .arg(owner.to_string())
        .arg(now.micros().to_string())
        .arg(until.micros().to_string());
    let taken: Option<(u64, bool, String)> = client.run(&take).await?;
    let Some((fence, is_clean, clean)) = taken else { return Ok(None) };
    let fence = Fence(fence);
    if is_clean {
        return Ok(Some(fence));
    }
    for replay in open(client).await? {
        if !forget_sent(client, replay, fence).await? {
            return Ok(None);
        }
    }
    let note = Call::of(&CLEAN).key(lease()).arg(fence.0.to_string()).arg(clean);
    let is_held: bool = client.run(&note).await?;
    Ok(is_held.then_some(fence))
}

/// Counts letters of a replay as not sent that were sent in vain, for all that is known: each is
/// parked still. `false` if the lease is another's.
async fn forget_sent(client: &Client, id: ReplayId, fence: Fence) -> Result<bool, StoreError> {
    let mut left = 0;
    loop {
        let call = of_replay(client, &AGAIN, id)
            .arg(fence.0.to_string())
            .arg(left.to_string())
            .arg(STEP.to_string());
        let Some((looked_at, left_now)) = client.run::<Option<(usize, usize)>>(&call).await? else {
            return Ok(false);
        };
        if looked_at < STEP {
            return Ok(true);
        }
        left += left_now;
    }
}

/// The next letters of a running replay that were not sent yet.
pub(in crate::store::redis) async fn unsent_letters(
    client: &Client,
    id: ReplayId,
    limit: usize,
) -> Result<Vec<(LetterName, Option<DeadLetter>)>, StoreError> {
    let call = of_replay(client, &UNSENT, id).arg(limit.min(STEP).to_string());
    let names: Vec<String> = client.run(&call).await?;
    let names: Vec<LetterName> =
        names.iter().map(|name| parse_name(name)).collect::<Result<_, _>>()?;
    let found = letters(client, names.iter().map(|name| name.message_id).collect()).await?;
    let same = names.into_iter().zip(found).map(|(name, letter)| {
        (name, letter.filter(|letter| letter.generation() == name.generation))
    });
    Ok(same.collect())
}

/// Notes that letters were sent, unless the lease is another's.
pub(in crate::store::redis) async fn note_sent(
    client: &Client,
    id: ReplayId,
    fence: Fence,
    letters: Vec<LetterName>,
) -> Result<bool, StoreError> {
    let of_nothing: &[LetterName] = &[];
    let steps = letters.chunks(STEP).chain(letters.is_empty().then_some(of_nothing));
    for step in steps {
        let call = of_replay(client, &SENT, id).arg(fence.0.to_string());
        let call = step.iter().fold(call, |call, letter| call.arg(name_of(*letter)));
        if !client.run::<bool>(&call).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Notes what became of letters that were sent, and ends the replay when it is due.
pub(in crate::store::redis) async fn note_outcomes(
    client: &Client,
    id: ReplayId,
    fence: Fence,
) -> Result<Option<Replay>, StoreError> {
    let mut left = 0;
    loop {
        let call = of_replay(client, &OUTCOMES, id)
            .arg(fence.0.to_string())
            .arg(left.to_string())
            .arg(STEP.to_string());
        let answer: Option<(bool, usize, Shown)> = client.run(&call).await?;
        let Some((has_more, left_now, shown)) = answer else { return Ok(None) };
        if !has_more {
            return shown.map(|shown| read(id, shown)).transpose();
        }
        left += left_now;
    }
}
