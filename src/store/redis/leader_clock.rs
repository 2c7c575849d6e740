//! The times of the leader, by which retention knows a clock that is wrong.

use redis::Cmd;

use super::client::{Call, Client};
use super::script::Script;
use super::value;
use crate::domain::{LeaderClock, Timestamp};
use crate::store::{Fence, StoreError};

static NOTE: Script = Script::new("leader clock", &[include_str!("fenced.lua")]);

pub(super) async fn find(client: &Client) -> Result<Option<LeaderClock>, StoreError> {
    let key = client.keys().global("clock");
    let (trusted, doubted): (Option<String>, Option<String>) =
        client.query(&Cmd::hmget(&key, &["trusted", "doubted"])).await?;
    let Some(trusted) = trusted else { return Ok(None) };
    let doubted = doubted.filter(|doubted| !doubted.is_empty());
    Ok(Some(LeaderClock {
        trusted: value::time(&key, &trusted)?,
        doubted: doubted.map(|doubted| value::time(&key, &doubted)).transpose()?,
    }))
}

/// Records times; a person does so without a fence. `false`, and nothing is written, if a later
/// leader has written something.
pub(super) async fn record(
    client: &Client,
    clock: LeaderClock,
    fence: Option<Fence>,
) -> Result<bool, StoreError> {
    let key = client.keys().global("clock");
    let trusted = clock.trusted.micros().to_string();
    let doubted = clock.doubted.map(Timestamp::micros);
    let doubted = doubted.map_or_else(String::new, |doubted| doubted.to_string());
    let fields = [("trusted", trusted), ("doubted", doubted)];
    let Some(fence) = fence else {
        client.query::<()>(&Cmd::hset_multiple(&key, &fields)).await?;
        return Ok(true);
    };
    let mut call = Call::of(&NOTE).key(key).arg(fence.0.to_string());
    for (field, value) in fields {
        call = call.arg(field).arg(value);
    }
    client.run(&call).await
}
