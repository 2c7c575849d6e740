//! The end of what is old: letters, and what is remembered of messages and replays.
//!
//! Dies in between: some is gone, and the next call goes on. Nothing of it is needed for the rest.

use std::collections::BTreeMap;

use super::super::client::{Call, Client};
use super::index::{Place, Range};
use super::replays;
use super::scripts::{EXPIRE, FORGET, OLD, of_letter, shared};
use crate::domain::{Code, Timestamp};
use crate::store::StoreError;

/// Letters that one call ends, and endings and edits that one step forgets.
const EXPIRED_MAX: usize = 256;
/// Letters that one step looks at.
const LOOKED_AT: usize = 1_000;

/// Ends letters that failed first before a time and are in no replay, and forgets what is as old.
pub(in crate::store::redis) async fn expire_letters(
    client: &Client,
    before: Timestamp,
    now: Timestamp,
) -> Result<Vec<(Code, u64)>, StoreError> {
    // Letters of a replay whose maker died are in none.
    replays::give_up_abandoned(client).await?;
    let expired = expire(client, before, now).await?;
    forget(client, before).await?;
    replays::forget(client, before).await?;
    Ok(expired.into_iter().collect())
}

async fn expire(
    client: &Client,
    before: Timestamp,
    now: Timestamp,
) -> Result<BTreeMap<Code, u64>, StoreError> {
    let range = Range::all().before(before);
    let mut expired = BTreeMap::new();
    let mut from = Some(range.from(None));
    // What somebody else ends first is not counted here; then there may be more to find.
    while let Some(start) = from
        && expired.is_empty()
    {
        let call = Call::of(&OLD)
            .key(shared(client, &["index"]))
            .key(shared(client, &["marks"]))
            .key(shared(client, &["busy"]))
            .arg(start)
            .arg(range.to())
            .arg(LOOKED_AT.to_string())
            .arg(EXPIRED_MAX.to_string());
        let (last, members): (Option<String>, Vec<String>) = client.run(&call).await?;
        let places: Vec<Place> = members
            .iter()
            .map(|member| range.place(member).map(|(place, _)| place))
            .collect::<Result<_, _>>()?;
        for code in end(client, &places, now).await? {
            *expired.entry(code).or_default() += 1;
        }
        from = last.map(|member| format!("({member}"));
    }
    Ok(expired)
}

/// Ends those that are still there and free; answers with their reasons.
async fn end(client: &Client, places: &[Place], now: Timestamp) -> Result<Vec<Code>, StoreError> {
    let now = now.micros().to_string();
    let end = |place: &Place| {
        of_letter(client, &EXPIRE, place.id)
            .key(shared(client, &["busy"]))
            .arg(place.generation.to_string())
            .arg(now.as_str())
    };
    let ended = client.run_all(&places.iter().map(end).collect::<Vec<_>>()).await?;
    let codes = ended.into_iter().filter_map(|reason| {
        let reason: Option<String> = redis::from_redis_value(reason).ok()?;
        Code::parse(&reason?)
    });
    Ok(codes.collect())
}

/// Forgets endings, and edits of letters that are not parked.
async fn forget(client: &Client, before: Timestamp) -> Result<(), StoreError> {
    let mut kept = 0;
    loop {
        let call = Call::of(&FORGET)
            .key(shared(client, &["endings"]))
            .key(shared(client, &["endings", "age"]))
            .key(shared(client, &["edits"]))
            .key(shared(client, &["edits", "age"]))
            .key(shared(client, &["generations"]))
            .arg(before.micros().to_string())
            .arg(EXPIRED_MAX.to_string())
            .arg(kept.to_string());
        let (looked_at, kept_now): (usize, usize) = client.run(&call).await?;
        // Behind a step in which all were kept there may be some to forget.
        if looked_at < EXPIRED_MAX || kept_now < looked_at {
            return Ok(());
        }
        kept += kept_now;
    }
}
