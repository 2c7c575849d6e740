//! A user of Redis that may not do all: what is missing is named before anything is written.

use std::sync::Arc;

use storekeeper::domain::{Identifier, MessageId, Policy};
use storekeeper::store::redis::{RedisOptions, RedisStore};
use storekeeper::store::{Committed, Store, StoreError};
use storekeeper::upkeep::audit::{Difference, Kind, Repair, repair};
use uuid::Uuid;

use super::{commit, committed_everywhere, first, origin, site};
use crate::harness::eventually;
use crate::servers::RedisServer;
use crate::servers::redis_user::{documented_commands, documented_rights};

/// The name of the prefix of documented keys.
const PREFIX: &str = "sk";

fn options(server: &RedisServer) -> RedisOptions {
    let single = RedisOptions::single(&server.url_of_user());
    RedisOptions { prefix: PREFIX.to_owned(), allow_volatile: true, ..single }
}

/// The whole chain of causes of why there is no Store.
async fn refusal(options: &RedisOptions) -> (bool, String) {
    let error = RedisStore::connect(options).await.expect_err("it lacks a right");
    let is_rejected = matches!(error, StoreError::Rejected { .. });
    (is_rejected, storekeeper::domain::causes(&error))
}

#[tokio::test]
async fn each_right_that_is_left_out_is_named_at_start() {
    let server = RedisServer::start(&[]);
    server.set_user(&documented_rights("~sk:*"));
    let options = options(&server);
    RedisStore::connect(&options).await.unwrap();
    for command in documented_commands() {
        server.set_user(&[format!("-{command}")]);
        if command == "info" {
            RedisStore::connect(&options).await.expect("it may be left out");
        } else {
            // A server that knows no script has to be told it.
            server.tell(&["SCRIPT", "FLUSH"]);
            let (is_rejected, why) = refusal(&options).await;
            assert!(is_rejected, "{command}: {why}");
            let name = command.replace("script|load", "script").to_uppercase();
            assert!(why.to_uppercase().contains(&name), "{command}: {why}");
            assert!(why.contains(&server.address()) && why.contains("deploy/README.md"), "{why}");
            assert!(!why.contains("secret"), "{why}");
        }
        server.set_user(&[format!("+{command}")]);
    }
    RedisStore::connect(&options).await.unwrap();
}

#[tokio::test]
async fn keys_that_a_user_may_not_use_are_named() {
    let server = RedisServer::start(&[]);
    let options = options(&server);
    for (keys, named, not_named) in [
        ("~sk:{*", "HSET on sk:sites sk:policy", "HSET on sk:sites sk:policy sk:{"),
        ("~sk:[a-z]*", "HSET on sk:{<site>}:* sk:{*dead}:*", "sk:sites"),
        ("~other:*", "HSET on sk:*", "sk:policy"),
        ("%R~sk:*", "HSET on sk:*", "HGET"),
    ] {
        server.set_user(&["reset"]);
        server.set_user(&documented_rights(keys));
        let (is_rejected, why) = refusal(&options).await;
        // Even the layout cannot be looked at where nothing can be read.
        let is_named = why.contains(named) || why.contains("NOPERM");
        assert!(is_named && !why.contains(not_named), "{keys}: {why}");
        assert_eq!(is_rejected, why.contains(named), "{keys}: {why}");
    }
}

#[tokio::test]
async fn a_command_that_was_renamed_is_named() {
    for command in ["HSET", "EVALSHA", "SCRIPT"] {
        let server = RedisServer::start(&["--rename-command", command, "hidden"]);
        let options = RedisOptions::single(&server.url());
        let (is_rejected, why) = refusal(&options).await;
        assert!(is_rejected && why.contains(command), "{why}");
    }
}

/// In the middle of a commit, half of it is written. It is never taken for whole, nothing goes on while
/// the right is missing, and a person gets the numbers right.
#[tokio::test]
async fn a_right_that_is_revoked_later_is_named_and_what_it_broke_is_repaired() {
    let server = RedisServer::start(&[]);
    server.set_user(&documented_rights("~sk:*"));
    let store: Arc<dyn Store> = Arc::new(RedisStore::connect(&options(&server)).await.unwrap());
    store.adopt_policy(&Policy::default(), &origin()).await.unwrap();
    assert_eq!(commit(&store, first("alpha", 1)).await.unwrap(), Committed::Written);
    for command in ["evalsha", "hset", "xadd", "hmget"] {
        server.set_user(&[format!("-{command}")]);
        let error = commit(&store, first("alpha", 2)).await.unwrap_err();
        assert!(!error.is_of_data(), "{command}: {error:?}");
        let error = store.check().await.unwrap_err();
        let why = storekeeper::domain::causes(&error);
        assert!(why.to_lowercase().contains(command), "{command}: {why}");
        server.set_user(&[format!("+{command}")]);
        eventually("the store is used again", async || store.check().await.ok()).await;
        commit(&store, first("alpha", 3)).await.unwrap();
        // What is half written shows, until a person has it repaired.
        let by = Repair {
            actor: Identifier::parse("anna").unwrap(),
            message_id: MessageId(Uuid::now_v7()),
            at: storekeeper::clock::now(),
        };
        let repaired = repair(&*store, &site("alpha"), &by, |_| {}).await.unwrap();
        let is_in_feed = |difference: &Difference| difference.kind == Kind::After;
        let is_half = repaired.before.differences.iter().any(is_in_feed);
        assert_eq!(is_half, command == "hset", "{command}: {:?}", repaired.before);
        // The numbers are right; the change that was broken off stays in the feed.
        let is_right = repaired.after.differences.iter().all(is_in_feed);
        assert!(is_right, "{command}: {:?}", repaired.after);
        server.tell(&["FLUSHDB"]);
        store.adopt_policy(&Policy::default(), &origin()).await.unwrap();
        commit(&store, first("alpha", 1)).await.unwrap();
    }
    assert_eq!(committed_everywhere(&store, "alpha").await, 1);
}
