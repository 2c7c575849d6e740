//! Servers that forget, fill up, are started again or hold what this program does not write.

use std::sync::Arc;

use bytes::Bytes;
use storekeeper::broker::Broker;
use storekeeper::broker::embedded::EmbeddedBroker;
use storekeeper::clock;
use storekeeper::dead_letters::{self, Progress, Replayer, Target};
use storekeeper::domain::Code;
use storekeeper::store::{
    DeadLetter, DeadLetterEdit, DeadLetterFilter, DeadLetterName, Ending, Fence, NewReplay, Pace,
    PageRequest, ReplayId, ReplayState, Store, StoreError,
};
use uuid::Uuid;

use super::{Prefix, letter, message, time};
use crate::servers::RedisServer;

const fn name(number: u128) -> DeadLetterName {
    DeadLetterName { message_id: message(number), generation: 1 }
}

/// Outcomes of the last moments before may be lost, and nobody will bring them again.
#[tokio::test]
async fn a_server_that_was_started_again_has_sent_nothing() {
    let server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let store = Prefix::on(&server).open();
    store.park((1..4).map(|n| letter(n, Code::NotJson, 1)).collect()).await.unwrap();
    let id = ReplayId(Uuid::from_u128(1));
    let filter = DeadLetterFilter::default();
    let new = NewReplay { id, filter, pace: Pace::default(), made_at: time(2) };
    store.make_replay(new).await.unwrap();
    let lead = async || store.run_replays(Fence(7)).await;
    let fence = lead().await.unwrap().unwrap();
    assert!(store.record_sent(id, fence, vec![name(1), name(2)], None).await.unwrap());
    store.end_dead_letters(vec![name(1)], Ending::Settled, time(11)).await.unwrap();

    server.kill();
    server.start_again();
    let renewed = crate::harness::eventually("the server answers", async || lead().await.ok());
    let before = fence;
    let fence = renewed.await.unwrap();
    assert_ne!(fence, before, "the same leader begins anew");
    assert_eq!(store.record_outcomes(id, before).await.unwrap(), None);
    let unsent = store.unsent_dead_letters(id, 10).await.unwrap().letters;
    let unsent: Vec<_> = unsent.iter().map(DeadLetter::name).collect();
    assert_eq!(unsent, [name(2), name(3)]);
    let replay = store.record_outcomes(id, fence).await.unwrap().unwrap();
    assert_eq!((replay.sent, replay.settled), (1, 1));
    assert_eq!(lead().await.unwrap(), Some(fence));
    assert!(store.record_sent(id, fence, vec![name(2)], None).await.unwrap());
    assert_eq!(lead().await.unwrap(), Some(fence));
    assert_eq!(store.replay(id).await.unwrap().unwrap().sent, 2, "once is enough");
}

#[tokio::test]
async fn a_server_without_memory_refuses_letters_and_takes_what_people_decide() {
    let server = RedisServer::start(&["--maxmemory-policy", "noeviction"]);
    let prefix = Prefix::on(&server);
    let store = prefix.open();
    store.park((1..4).map(|n| letter(n, Code::NotJson, 1)).collect()).await.unwrap();
    let mut limit = redis::cmd("CONFIG");
    limit.arg("SET").arg("maxmemory");
    limit.clone().arg(1).query::<()>(&mut server.connection()).unwrap();
    let refused = store.park(vec![letter(9, Code::NotJson, 1)]).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable { .. }), "{refused:?}");
    let body = Bytes::from_static(b"{}");
    let edit = DeadLetterEdit { letter: name(2), edit: message(50), at: time(9), body };
    assert!(store.edit_dead_letter(edit).await.unwrap());
    store.end_dead_letters(vec![name(1)], Ending::Settled, time(9)).await.unwrap();
    assert_eq!(store.expire_dead_letters(time(9), time(9)).await.unwrap(), [(Code::NotJson, 2)]);
    assert_eq!(store.dead_letter(message(9)).await.unwrap(), None);
    limit.arg(0).query::<()>(&mut server.connection()).unwrap();
    store.park(vec![letter(9, Code::NotJson, 1)]).await.unwrap();
    assert!(store.dead_letter(message(9)).await.unwrap().is_some());
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_told_again() {
    let server = RedisServer::start(&[]);
    let store = Prefix::on(&server).open();
    for number in 1..4 {
        redis::cmd("SCRIPT").arg("FLUSH").query::<()>(&mut server.connection()).unwrap();
        store.park(vec![letter(number, Code::NotJson, 1)]).await.unwrap();
        assert!(store.dead_letter(message(number)).await.unwrap().is_some());
    }
}

/// Sets a field of a dead letter's hash.
fn damage(prefix: &Prefix<'_>, number: u128, field: &str, value: &[u8]) {
    let mut set = redis::cmd("HSET");
    set.arg(prefix.key(&format!("letter:{}", message(number)))).arg(field).arg(value);
    set.query::<()>(&mut prefix.server.connection()).unwrap();
}

/// A replay of three dead letters, of which the second was damaged before the others were sent.
async fn sent_but_one(
    broker: &Arc<dyn Broker>,
    field: &str,
    value: &[u8],
) -> (Arc<dyn Store>, Replayer, ReplayId) {
    let prefix = Prefix::new();
    let store = prefix.open();
    store.park((1..4).map(|n| letter(n, Code::NotJson, 1)).collect()).await.unwrap();
    let id = ReplayId(Uuid::from_u128(1));
    let filter = DeadLetterFilter::default();
    let new = NewReplay { id, filter, pace: Pace::default(), made_at: time(2) };
    store.make_replay(new).await.unwrap();
    damage(&prefix, 2, field, value);
    let mut replayer = Replayer::new(Arc::clone(broker), Arc::clone(&store));
    for _ in 0..2 {
        assert!(replayer.turn(Fence(7)).await.unwrap().is_some());
    }
    assert_eq!(broker.depth().await.unwrap().work_ready, 2);
    (store, replayer, id)
}

#[tokio::test]
async fn a_body_that_cannot_be_read_fails_and_its_replay_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let broker: Arc<dyn Broker> = Arc::new(EmbeddedBroker::open(directory.path()).unwrap());
    let (store, mut replayer, id) = sent_but_one(&broker, "received", b"\xff").await;
    store.end_dead_letters(vec![name(1), name(3)], Ending::Settled, time(9)).await.unwrap();
    assert!(replayer.turn(Fence(7)).await.unwrap().is_some());
    let replay = store.replay(id).await.unwrap().unwrap();
    assert_eq!((replay.state, replay.settled, replay.failed), (ReplayState::Done, 2, 1));
    let parked = store.dead_letters(&DeadLetterFilter::default(), &PageRequest::first(9)).await;
    let parked = parked.unwrap().items;
    let parked: Vec<_> = parked.iter().map(|letter| (letter.id, letter.rejection.code)).collect();
    assert_eq!(parked, [(message(2), Code::NotJson)]);
    assert_eq!(store.replay_of(message(2)).await.unwrap(), None);
    broker.close().await;
}

#[tokio::test]
async fn a_state_that_cannot_be_read_holds_up_no_replay() {
    let directory = tempfile::tempdir().unwrap();
    let broker: Arc<dyn Broker> = Arc::new(EmbeddedBroker::open(directory.path()).unwrap());
    let (store, mut replayer, id) = sent_but_one(&broker, "state", b"\x02\xff").await;
    dead_letters::discard(&broker, &*store, name(2)).await.unwrap();
    store.end_dead_letters(vec![name(1), name(3)], Ending::Settled, time(9)).await.unwrap();
    for _ in 0..2 {
        assert!(replayer.turn(Fence(7)).await.unwrap().is_some());
    }
    let replay = store.replay(id).await.unwrap().unwrap();
    assert_eq!((replay.state, replay.settled, replay.failed), (ReplayState::Done, 2, 1));
    assert_eq!(store.open_replays().await.unwrap(), []);
    broker.close().await;
}

#[tokio::test]
async fn a_key_of_another_type_leaves_no_half_of_a_commit() {
    let prefix = Prefix::new();
    let store = prefix.open();
    let mut set = redis::cmd("SET");
    set.arg(prefix.key("bytes")).arg("1").query::<()>(&mut prefix.server.connection()).unwrap();
    let error = store.park(vec![letter(1, Code::NotJson, 1)]).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert_eq!(prefix.left(), ["bytes"]);
}

#[tokio::test]
async fn a_dead_letter_that_cannot_be_read_can_be_discarded() {
    let prefix = Prefix::new();
    let store = prefix.open();
    let directory = tempfile::tempdir().unwrap();
    let broker: Arc<dyn Broker> = Arc::new(EmbeddedBroker::open(directory.path()).unwrap());
    let damages = [("state", &b"\x02\xff"[..]), ("rev", b"one"), ("received", b"\xff")];
    for (number, (field, value)) in (1..).zip(damages) {
        store.park(vec![letter(number, Code::NotJson, 1)]).await.unwrap();
        damage(&prefix, number, field, value);
        let found = dead_letters::find_to_discard(&*store, message(number)).await.unwrap();
        assert_eq!(found, Target::Free(name(number)), "{field}");
        let done = dead_letters::discard(&broker, &*store, name(number)).await.unwrap();
        assert_eq!(done.progress, Progress::Applied, "{field}");
        assert_eq!(store.dead_letter(message(number)).await.unwrap(), None);
        // A discard is for good.
        store.park(vec![letter(number, Code::NotJson, 1)]).await.unwrap();
        assert_eq!(store.dead_letter_groups().await.unwrap(), []);
        let found = dead_letters::find_to_discard(&*store, message(number)).await.unwrap();
        assert!(matches!(found, Target::Ended(_)), "{found:?}");
    }
    // A key of another type.
    let key = prefix.key(&format!("letter:{}", message(9)));
    redis::cmd("SET").arg(&key).arg(1).query::<()>(&mut prefix.server.connection()).unwrap();
    assert_eq!(
        dead_letters::find_to_discard(&*store, message(9)).await.unwrap(),
        Target::Free(name(9))
    );
    let done = dead_letters::discard(&broker, &*store, name(9)).await.unwrap();
    assert_eq!(done.progress, Progress::Applied);
    while !store.expire_dead_letters(clock::now(), clock::now()).await.unwrap().is_empty() {}
    assert_eq!(prefix.left(), ["bytes"], "nothing else is known of them");
    broker.close().await;
}

#[tokio::test]
async fn a_damaged_letter_is_named_and_holds_no_other_back() {
    let prefix = Prefix::new();
    let store = prefix.open();
    let letters = vec![letter(1, Code::NotJson, 1), letter(2, Code::WorkerPanic, 1)];
    store.park(letters.clone()).await.unwrap();
    let key = prefix.key(&format!("letter:{}", message(1)));
    for (field, value) in [("state", &b"\x02\xff"[..]), ("rev", b"one"), ("received", b"\xff")] {
        let mut break_it = redis::cmd("HSET");
        break_it.arg(&key).arg(field).arg(value);
        break_it.query::<()>(&mut prefix.server.connection()).unwrap();
        let error = store.dead_letter(message(1)).await.unwrap_err();
        let StoreError::Corrupt { detail } = error else { panic!("{error:?}") };
        assert!(detail.contains(&message(1).to_string()), "{detail}");
        assert_eq!(store.dead_letter(message(2)).await.unwrap().as_ref(), Some(&letters[1]));
        redis::cmd("DEL").arg(&key).query::<()>(&mut prefix.server.connection()).unwrap();
        assert_eq!(store.dead_letter(message(1)).await.unwrap(), None);
        store.park(vec![letters[0].clone()]).await.unwrap();
    }
}
