//! Replays of dead letters in Redis: a server that is killed in the middle, and two processes of
//! which one is.

use std::sync::Arc;

use storekeeper::domain::{Code, Policy};
use storekeeper::store::redis::{RedisOptions, RedisStore};
use storekeeper::store::{Pace, Replay, ReplayState, Store};

use super::{AtWork, committed, letter, make, parked};
use crate::harness::{eventually, origin};
use crate::servers::RedisServer;

const LETTERS: usize = 240;

fn is_broken(order: usize) -> bool {
    order.is_multiple_of(7)
}

fn open(server: &RedisServer) -> Arc<dyn Store> {
    Arc::new(RedisStore::start(&RedisOptions::single(&server.url())).unwrap())
}

/// A server that has on disk whatever it has answered, with dead letters, and a replay of them.
async fn given() -> (RedisServer, Arc<dyn Store>, Replay) {
    let server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let store = open(&server);
    store.adopt_policy(&Policy::default(), &origin()).await.unwrap();
    let letters = (0..LETTERS).map(|order| letter(order, is_broken(order)));
    store.park(letters.collect()).await.unwrap();
    let replay = make(&*store, Pace { rate: Some(400), ..Pace::default() }).await;
    (server, store, replay)
}

async fn sent(store: &dyn Store, replay: &Replay, enough: u64) {
    eventually("the replay goes on", async || {
        // The server may be away.
        let now = store.replay(replay.id).await.ok()??;
        (now.sent >= enough).then_some(())
    })
    .await;
}

async fn is_done_once(store: &dyn Store, replay: &Replay) {
    let now = eventually("the replay has ended", async || {
        let now = store.replay(replay.id).await.ok()??;
        (now.state != ReplayState::Running && now.open() == 0).then_some(now)
    });
    let now = now.await;
    let broken = (0..LETTERS).filter(|order| is_broken(*order)).count();
    let good = LETTERS - broken;
    assert_eq!((now.state, now.gone), (ReplayState::Done, 0));
    assert_eq!((now.settled, now.failed), (good as u64, broken as u64));
    assert_eq!(committed(store).await, (good.to_string(), good));
    let mut left = parked(store).await;
    left.dedup();
    assert_eq!(left, [(2, Code::InvalidQuantity)]);
    assert_eq!(store.open_replays().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_goes_on_after_its_server_was_killed() {
    let (server, store, replay) = given().await;
    let work = AtWork::start_on(Arc::clone(&store)).await;
    for enough in [20, 100, 180] {
        sent(&*store, &replay, enough).await;
        server.kill();
        server.start_again();
    }
    is_done_once(&*store, &replay).await;
    work.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_goes_on_with_a_replay() {
    let (server, store, replay) = given().await;
    let first = AtWork::start_on(open(&server)).await;
    sent(&*store, &replay, 50).await;
    // Its queue goes with it: what was sent and has no outcome is nowhere.
    first.end().await;
    let second = AtWork::start_on(open(&server)).await;
    is_done_once(&*store, &replay).await;
    second.end().await;
}
