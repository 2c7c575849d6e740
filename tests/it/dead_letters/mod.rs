//! Dead letters and replays in Redis, where they differ from those in a file: many steps for what
//! is one there.

mod alike;
mod faults;
mod leases;
mod making;
mod many;
mod racing;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use storekeeper::broker::{Envelope, EnvelopeKind};
use storekeeper::domain::dead_letter::ReplayRecord;
use storekeeper::domain::{Code, MessageId, Rejection, Timestamp};
use storekeeper::store::redis::{RedisOptions, RedisStore};
use storekeeper::store::{DeadLetter, DeadLetterCommit, ReplayList, ReplayWrite, Store};
use uuid::Uuid;

use crate::servers::{RedisServer, shared_redis};

/// Keys of a test's own.
struct Prefix<'server> {
    server: &'server RedisServer,
    name: String,
}

impl Prefix<'static> {
    /// In the server that all tests share.
    fn new() -> Self {
        Self::on(shared_redis())
    }
}

impl<'server> Prefix<'server> {
    fn on(server: &'server RedisServer) -> Self {
        Self { server, name: format!("sk-{}", Uuid::now_v7().simple()) }
    }

    fn open(&self) -> Arc<dyn Store> {
        let options = RedisOptions {
            prefix: self.name.clone(),
            allow_volatile: true,
            ..RedisOptions::single(&self.server.url())
        };
        Arc::new(RedisStore::start(&options).unwrap())
    }

    fn key(&self, name: &str) -> String {
        format!("{}:{{*dead}}:{name}", self.name)
    }

    /// How much a key has, by the command for its type.
    fn count(&self, command: &str, name: &str) -> usize {
        redis::cmd(command).arg(self.key(name)).query(&mut self.server.connection()).unwrap()
    }

    /// A field of a hash; empty if it is not there.
    fn field(&self, name: &str, field: &str) -> String {
        let mut get = redis::cmd("HGET");
        let get = get.arg(self.key(name)).arg(field);
        get.query::<Option<String>>(&mut self.server.connection()).unwrap().unwrap_or_default()
    }

    /// The keys that are there.
    fn left(&self) -> Vec<String> {
        let mut keys = redis::cmd("KEYS");
        let keys = keys.arg(format!("{}:*", self.name)).query(&mut self.server.connection());
        let keys: Vec<String> = keys.unwrap();
        let start = self.key("");
        keys.iter().map(|key| key.strip_prefix(&start).unwrap().to_owned()).collect()
    }
}

const fn message(number: u128) -> MessageId {
    MessageId(Uuid::from_u128(number))
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

/// A dead letter of which the body is not small.
fn letter(number: u128, code: Code, failed_at: i64) -> DeadLetter {
    let envelope = Envelope {
        message_id: message(number),
        kind: EnvelopeKind::Webhook,
        received_at: time(failed_at),
        source: "duda".to_owned(),
        replays: 0,
        traceparent: None,
        tracestate: None,
        body: Bytes::from(format!("{{\"number\": {number}}}").repeat(20)),
    };
    let rejection = Rejection::new(code, "$.data: expected an object");
    DeadLetter { envelope, rejection, failed_at: time(failed_at), attempts: 1, original: None }
}

/// Runs something until it has been polled so often; `None` if it was not done by then.
async fn polled<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// Gives up replays whose makers died: those of which nothing was heard for long.
async fn give_up_what_was_never_made(store: &dyn Store) {
    for replay in store.list_replays(ReplayList::Making, None, 100).await.unwrap() {
        let record = ReplayRecord { touched_at: time(0), ..replay.record };
        let before = Some((replay.revision, record.made_at));
        let (id, after) = (replay.id, Some(record));
        let write = ReplayWrite { id, before, after, is_open: false, chunk: None };
        let commit = DeadLetterCommit { replay: Some(write), ..DeadLetterCommit::default() };
        store.commit_dead_letters(vec![commit]).await.unwrap();
    }
    store.expire_dead_letters(time(0), time(9)).await.unwrap();
}
