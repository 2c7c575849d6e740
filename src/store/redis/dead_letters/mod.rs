//! Dead letters and replays: states, bodies, an index, and one script that writes.
//!
//! | key, after `sk:{*dead}:` | type | holds |
//! |---|---|---|
//! | `letter:<message>` | hash | `rev` and `state` of a message that was put aside; beside them its bodies, compressed: `received`, `own`, `edited` |
//! | `index` | sorted set | where lists and counts find dead letters, see [`index`] |
//! | `bytes` | hash | by source, what the bodies of its parked dead letters take |
//! | `replay:<id>` | hash | `rev` and `state` of a replay, and its counters |
//! | `replay:<id>:letters` | hash | the parts of its frozen list |
//! | `making`, `open`, `replays` | sorted sets | replays by age: being made, with something to do, all that were made |
//! | `leader` | hash | who runs replays: the leader's number, and the one under which it writes |
//!
//! # Invariants
//! - All keys are in one hash slot, so one script may touch all of them; it declares all that it
//!   touches.
//! - There are no rules here: the script compares what was read and writes what was decided.
//! - No call of a script is about more than a few hundred dead letters.

mod index;
mod list;
mod replays;

use std::collections::BTreeMap;

use bytes::Bytes;

pub(super) use self::list::{ended, groups, list, parked_of, totals};
pub(super) use self::replays::{lead_replays, list_replays, load_replay, replay_chunk};
use super::client::{Call, Client};
use super::failure;
use super::script::Script;
use super::value;
use crate::domain::dead_letter::{DeadLetterState, Slot};
use crate::domain::{MessageId, Timestamp};
use crate::store::{
    DeadLetterCommit, DeadLetterWrite, DeadLettersCommitted, LoadedDeadLetter, Revision,
    StoreError, state,
};

static COMMIT: Script = Script::new("commit.lua", &["#!lua\n", include_str!("commit.lua")]);
/// The same for commits that are written even on a server that is out of memory.
static COMMIT_WHEN_FULL: Script =
    Script::new("commit.lua", &["#!lua flags=allow-oom\n", include_str!("commit.lua")]);

static NOW: Script = Script::new("now.lua", &["#!lua flags=no-writes\n", include_str!("now.lua")]);

/// Bodies are sent to the server in parts of about this many bytes.
const PART_BYTES: usize = 4 * 1024 * 1024;
/// Dead letters read at once without their bodies, and with them.
const STATES: usize = 500;
const WHOLE: usize = 8;

/// A key that all dead letters share.
fn shared(client: &Client, parts: &[&str]) -> String {
    client.keys().of_dead_letters(parts)
}

fn dead_letter_key(client: &Client, id: MessageId) -> String {
    shared(client, &["letter", &id.to_string()])
}

/// Reads states in the given order, each atomically with its bodies.
pub(super) async fn load(
    client: &Client,
    ids: &[MessageId],
    with_bodies: bool,
) -> Result<Vec<Option<LoadedDeadLetter>>, StoreError> {
    let slots = if with_bodies { &Slot::ALL[..] } else { &[] };
    let mut all = Vec::with_capacity(ids.len());
    for part in ids.chunks(if with_bodies { WHOLE } else { STATES }) {
        let commands = part.iter().map(|id| {
            let key = dead_letter_key(client, *id);
            let mut command = redis::cmd("HMGET");
            command.arg(&key).arg("rev").arg("state");
            for slot in slots {
                command.arg(slot.as_str());
            }
            (key, command)
        });
        let answers = client.query_all(commands.collect()).await?;
        for (id, answer) in part.iter().zip(answers) {
            let key = dead_letter_key(client, *id);
            let mut fields: Vec<Option<Vec<u8>>> = value::read(&key, answer)?;
            let bodies = fields.split_off(2.min(fields.len()));
            let [Some(revision), Some(state)] = &fields[..] else {
                all.push(None);
                continue;
            };
            let bodies = slots.iter().zip(bodies);
            all.push(Some(LoadedDeadLetter {
                id: *id,
                revision: revision_of(&key, revision)?,
                state: state::decode_bytes(&key, state)?,
                bodies: bodies.filter_map(|(slot, it)| Some((*slot, Bytes::from(it?)))).collect(),
            }));
        }
    }
    Ok(all)
}

fn revision_of(key: &str, bytes: &[u8]) -> Result<Revision, StoreError> {
    let text = std::str::from_utf8(bytes).map_err(|_| value::unreadable(key))?;
    value::revision(key, text)
}

/// Writes commits, each atomically.
pub(super) async fn commit(
    client: &Client,
    commits: Vec<DeadLetterCommit>,
) -> Result<Vec<DeadLettersCommitted>, StoreError> {
    let (mut committed, mut part, mut bytes) = (Vec::with_capacity(commits.len()), Vec::new(), 0);
    let mut commits = commits.into_iter().peekable();
    while let Some(commit) = commits.next() {
        let sizes = commit.letters.iter().flat_map(|write| &write.bodies);
        bytes += sizes.filter_map(|(_, body)| body.as_ref()).map(Bytes::len).sum::<usize>();
        part.push((commit.fence.is_some(), Writing::call(client, &commit)?));
        if bytes >= PART_BYTES || commits.peek().is_none() {
            let answers = client.run_all(part.iter().map(|(_, call)| call)).await?;
            for ((is_fenced, call), answer) in std::mem::take(&mut part).iter().zip(answers) {
                let failed: u64 = redis::from_redis_value(answer)
                    .map_err(|_| failure::odd_value(&call.to_string()))?;
                committed.push(match failed {
                    0 => DeadLettersCommitted::Written,
                    1 if *is_fenced => DeadLettersCommitted::Fenced,
                    _ => DeadLettersCommitted::Conflict,
                });
            }
            bytes = 0;
        }
    }
    Ok(committed)
}

/// Overwrites a state that cannot be read. Its source is unknown, so what its bodies took stays in
/// `bytes`.
pub(super) async fn overwrite(
    client: &Client,
    id: MessageId,
    state: &DeadLetterState,
) -> Result<(), StoreError> {
    let mut writing = Writing::new(client);
    let (key, index) = (dead_letter_key(client, id), shared(client, &["index"]));
    let old_members = list::members_of(client, id).await?;
    writing.write(key.clone(), "DEL", [""; 0]);
    writing.write(key, "HSET", revision_and(state::encode_bytes(state)?));
    if !old_members.is_empty() {
        writing.write(index.clone(), "ZREM", old_members);
    }
    let members = index::members(id, state);
    writing.write(index, "ZADD", members.iter().flat_map(|member| ["0", member.as_str()]));
    client.run::<u64>(&writing.finish(true)).await.map(drop)
}

/// The time by the server's clock.
pub(super) async fn now(client: &Client) -> Result<Timestamp, StoreError> {
    let micros = client.run(&Call::of(&NOW).key(shared(client, &["leader"]))).await?;
    Ok(Timestamp::from_micros(micros))
}

/// Builds a call of the script: what is compared, then what is written.
struct Writing<'a> {
    client: &'a Client,
    keys: BTreeMap<String, usize>,
    compared: Vec<(usize, Vec<u8>, String)>,
    written: Vec<(usize, &'static str, Vec<Vec<u8>>)>,
}

impl<'a> Writing<'a> {
    const fn new(client: &'a Client) -> Self {
        Self { client, keys: BTreeMap::new(), compared: Vec::new(), written: Vec::new() }
    }

    fn call(client: &'a Client, commit: &DeadLetterCommit) -> Result<Call, StoreError> {
        let mut writing = Self::new(client);
        // The first comparison: if it fails, another process leads.
        if let Some(fence) = commit.fence {
            let leader = shared(client, &["leader"]);
            writing.compare(leader, "fence", fence.0.to_string());
        }
        for write in &commit.letters {
            writing.letter(write)?;
        }
        if let Some(write) = &commit.replay {
            writing.replay(write)?;
        }
        for (id, counter, count) in &commit.counts {
            let key = shared(client, &["replay", &id.to_string()]);
            writing.write(key, "COUNT", [counter.to_string(), count.to_string()]);
        }
        Ok(writing.finish(commit.is_written_when_full()))
    }

    fn finish(self, when_full: bool) -> Call {
        let mut call = Call::of(if when_full { &COMMIT_WHEN_FULL } else { &COMMIT });
        let mut keys: Vec<(String, usize)> = self.keys.into_iter().collect();
        keys.sort_unstable_by_key(|(_, number)| *number);
        for (key, _) in keys {
            call.push_key(key);
        }
        call.push_shown(&self.compared.len());
        for (key, field, value) in self.compared {
            call.push_shown(&key);
            call.push_arg(field);
            call.push_arg(value);
        }
        for (key, command, words) in self.written {
            call.push_shown(&key);
            call.push_arg(command);
            call.push_shown(&words.len());
            for word in words {
                call.push_arg(word);
            }
        }
        call
    }

    fn key(&mut self, key: String) -> usize {
        let next = self.keys.len() + 1;
        *self.keys.entry(key).or_insert(next)
    }

    fn compare(&mut self, key: String, field: &str, value: String) {
        let key = self.key(key);
        self.compared.push((key, field.as_bytes().to_vec(), value));
    }

    fn write<W: Into<Vec<u8>>>(
        &mut self,
        key: String,
        command: &'static str,
        words: impl IntoIterator<Item = W>,
    ) {
        let key = self.key(key);
        self.written.push((key, command, words.into_iter().map(Into::into).collect()));
    }

    fn compare_revision(&mut self, key: String, before: Option<Revision>) {
        let before = before.map(|Revision(revision)| revision.to_string());
        self.compare(key, "rev", before.unwrap_or_default());
    }

    fn letter(&mut self, write: &DeadLetterWrite) -> Result<(), StoreError> {
        let DeadLetterWrite { id, before, after, bodies } = write;
        let key = dead_letter_key(self.client, *id);
        let (revision, before) = before.as_ref().map(|(it, state)| (*it, state)).unzip();
        self.compare_revision(key.clone(), revision);
        match after {
            Some(after) => {
                let state = state::encode_bytes(after)?;
                let mut words = revision_and(state);
                let put = bodies.iter().filter_map(|(slot, body)| Some((slot, body.as_ref()?)));
                words.extend(put.flat_map(|(slot, body)| [slot.as_str().into(), body.to_vec()]));
                self.write(key.clone(), "HSET", words);
                let removed = bodies.iter().filter(|(_, body)| body.is_none());
                let removed: Vec<_> = removed.map(|(slot, _)| slot.as_str()).collect();
                if !removed.is_empty() {
                    self.write(key, "HDEL", removed);
                }
            }
            None => self.write(key, "DEL", [""; 0]),
        }
        self.index(*id, before, after.as_ref());
        Ok(())
    }

    /// Updates the index and the bytes that the dead letter takes.
    fn index(
        &mut self,
        id: MessageId,
        before: Option<&DeadLetterState>,
        after: Option<&DeadLetterState>,
    ) {
        let members = |state: Option<&DeadLetterState>| {
            state.map(|state| index::members(id, state)).unwrap_or_default()
        };
        let (was, is) = (members(before), members(after));
        let index = shared(self.client, &["index"]);
        let gone: Vec<&str> =
            was.iter().filter(|it| !is.contains(it)).map(String::as_str).collect();
        if !gone.is_empty() {
            self.write(index.clone(), "ZREM", gone);
        }
        let new = is.iter().filter(|it| !was.contains(it));
        let new: Vec<&str> = new.flat_map(|member| ["0", member.as_str()]).collect();
        if !new.is_empty() {
            self.write(index, "ZADD", new);
        }
        let mut bytes: BTreeMap<&str, i64> = BTreeMap::new();
        for (state, sign) in [(before, -1), (after, 1)] {
            if let Some((source, stored)) = state.and_then(DeadLetterState::stored) {
                *bytes.entry(source).or_default() += sign * i64::try_from(stored).unwrap_or(0);
            }
        }
        for (source, added) in bytes.into_iter().filter(|(_, added)| *added != 0) {
            let key = shared(self.client, &["bytes"]);
            self.write(key, "ADD", [source.to_owned(), added.to_string()]);
        }
    }
}

/// The fields of a new state.
fn revision_and(state: Vec<u8>) -> Vec<Vec<u8>> {
    let revision = rand::random::<u64>().to_string();
    vec![b"rev".to_vec(), revision.into_bytes(), b"state".to_vec(), state]
}
