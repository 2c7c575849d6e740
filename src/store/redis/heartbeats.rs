//! The last heartbeat of each process.

use redis::Cmd;

use super::client::{Call, Client};
use super::script::Script;
use crate::domain::Timestamp;
use crate::domain::heartbeat::Heartbeat;
use crate::store::{PROCESSES_MAX, StoreError};

static RECORD: Script = Script::new("heartbeats.lua", &[include_str!("heartbeats.lua")]);

/// Records a heartbeat, unless a later one of the process is there, and forgets old ones.
pub(super) async fn record(
    client: &Client,
    beat: &Heartbeat,
    forget_before: Timestamp,
) -> Result<(), StoreError> {
    let call = Call::of(&RECORD)
        .key(beats(client))
        .key(client.keys().of_processes("times"))
        .arg(&beat.process)
        .arg(beat.at.micros().to_string())
        .arg(beat.body())
        .arg(forget_before.micros().to_string())
        .arg(PROCESSES_MAX.to_string());
    client.run::<i64>(&call).await.map(drop)
}

/// The heartbeats that can be read, the newest first.
pub(super) async fn all(client: &Client) -> Result<Vec<Heartbeat>, StoreError> {
    let found: Vec<String> = client.query(&Cmd::hvals(beats(client))).await?;
    let mut beats: Vec<_> =
        found.iter().filter_map(|text| Heartbeat::parse(text.as_bytes())).collect();
    beats.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.process.cmp(&b.process)));
    Ok(beats)
}

fn beats(client: &Client) -> String {
    client.keys().of_processes("beats")
}
