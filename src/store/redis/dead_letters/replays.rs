//! Replays: their records, counters and lists, and who runs them.

use super::super::client::{Call, Client};
use super::super::script::Script;
use super::super::value;
use super::{Writing, revision_and, revision_of, shared};
use crate::domain::dead_letter::{
    Counter, DeadLetterName, Fence, ReplayCounts, ReplayId, ReplayRecord, ReplayState,
};
use crate::store::dead_letters::port::{parse_replay, replay_text};
use crate::store::{
    LoadedReplay, ReplayList, ReplayPlace, ReplayWrite, Revision, StoreError, state,
};

static LEAD: Script =
    Script::new("lead.lua", &["#!lua flags=allow-oom\n", include_str!("lead.lua")]);

const fn list_name(list: ReplayList) -> &'static str {
    match list {
        ReplayList::Making => "making",
        ReplayList::Open => "open",
        ReplayList::Made => "replays",
    }
}

fn replay_key(client: &Client, id: ReplayId) -> String {
    shared(client, &["replay", &id.to_string()])
}

fn chunks_key(client: &Client, id: ReplayId) -> String {
    shared(client, &["replay", &id.to_string(), "letters"])
}

/// Reads a replay and its counters.
pub(in crate::store::redis) async fn load_replay(
    client: &Client,
    id: ReplayId,
) -> Result<Option<LoadedReplay>, StoreError> {
    let key = replay_key(client, id);
    let mut all = redis::cmd("HGETALL");
    all.arg(&key);
    let fields: Vec<(String, Vec<u8>)> = client.query(&all).await?;
    let (mut revision, mut record, mut counts): (Option<Revision>, Option<ReplayRecord>, _) =
        (None, None, ReplayCounts::new());
    for (field, found) in fields {
        match field.as_str() {
            "rev" => revision = Some(revision_of(&key, &found)?),
            "state" => record = Some(state::decode_bytes(&key, &found)?),
            name => {
                let counter = Counter::parse(name).ok_or_else(|| value::unreadable(&key))?;
                let count = String::from_utf8(found).map_err(|_| value::unreadable(&key))?;
                counts.insert(counter, value::number(&key, &count)?);
            }
        }
    }
    let found = revision.zip(record);
    Ok(found.map(|(revision, record)| LoadedReplay { id, revision, record, counts }))
}

/// A part of the list of a replay.
pub(in crate::store::redis) async fn replay_chunk(
    client: &Client,
    id: ReplayId,
    chunk: u32,
) -> Result<Vec<DeadLetterName>, StoreError> {
    let key = chunks_key(client, id);
    let mut get = redis::cmd("HGET");
    get.arg(&key).arg(chunk);
    let found: Option<Vec<u8>> = client.query(&get).await?;
    Ok(found.map(|names| state::decode_bytes(&key, &names)).transpose()?.unwrap_or_default())
}

/// The replays of a list after a place, oldest first.
pub(in crate::store::redis) async fn list_replays(
    client: &Client,
    list: ReplayList,
    after: Option<ReplayPlace>,
    limit: usize,
) -> Result<Vec<LoadedReplay>, StoreError> {
    let key = shared(client, &[list_name(list)]);
    let from = after.map_or_else(|| "-".to_owned(), |place| format!("({}", replay_text(place)));
    let mut range = redis::cmd("ZRANGEBYLEX");
    range.arg(&key).arg(from).arg("+").arg("LIMIT").arg(0).arg(limit);
    let mut found = Vec::new();
    for member in client.query::<Vec<String>>(&range).await? {
        let (_, id) = parse_replay(&member).ok_or_else(|| value::unreadable(&key))?;
        found.extend(load_replay(client, id).await?);
    }
    Ok(found)
}

/// Records that the leader of this number runs replays.
pub(in crate::store::redis) async fn lead_replays(
    client: &Client,
    leader: Fence,
) -> Result<Option<Fence>, StoreError> {
    let lead = Call::of(&LEAD).key(shared(client, &["leader"])).arg(leader.0.to_string());
    let lead = lead.arg(client.servers().data_lost_at().to_string());
    Ok(client.run::<Option<u64>>(&lead).await?.map(Fence))
}

impl Writing<'_> {
    pub(super) fn replay(&mut self, write: &ReplayWrite) -> Result<(), StoreError> {
        let ReplayWrite { id, before, after, is_open, chunk } = write;
        let (key, letters) = (replay_key(self.client, *id), chunks_key(self.client, *id));
        self.compare_revision(key.clone(), before.map(|(revision, _)| revision));
        if let Some(after) = after {
            self.write(key, "HSET", revision_and(state::encode_bytes(after)?));
        } else {
            self.write(key, "UNLINK", [""; 0]);
            self.write(letters.clone(), "UNLINK", [""; 0]);
        }
        if let Some((number, names)) = chunk {
            let words = [number.to_string().into_bytes(), state::encode_bytes(names)?];
            self.write(letters, "HSET", words);
        }
        let made_at = after.as_ref().map(|after| after.made_at);
        let made_at = made_at.or_else(|| before.map(|(_, made_at)| made_at));
        let member = replay_text((made_at.unwrap_or_default(), *id));
        let is_making = after.as_ref().is_some_and(|it| it.state == ReplayState::Making);
        let lists = [
            (ReplayList::Making, is_making),
            (ReplayList::Open, *is_open),
            (ReplayList::Made, after.is_some() && !is_making),
        ];
        for (list, is_in) in lists {
            let key = shared(self.client, &[list_name(list)]);
            if is_in {
                self.write(key, "ZADD", ["0", member.as_str()]);
            } else {
                self.write(key, "ZREM", [member.as_str()]);
            }
        }
        Ok(())
    }
}
