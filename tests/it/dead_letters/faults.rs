//! Servers that forget, fill up, are started again or hold what this program does not write.

use storekeeper::domain::Code;
use storekeeper::store::{
    DeadLetter, DeadLetterFilter, DeadLetterName, Ending, Fence, NewReplay, Pace, ReplayId,
    StoreError,
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
    assert!(store.note_sent(id, fence, vec![name(1), name(2)], None).await.unwrap());
    store.end_dead_letters(vec![name(1)], Ending::Settled, time(11)).await.unwrap();

    server.kill();
    server.start_again();
    let renewed = crate::harness::eventually("the server answers", async || lead().await.ok());
    let before = fence;
    let fence = renewed.await.unwrap();
    assert_ne!(fence, before, "the same leader begins anew");
    assert_eq!(store.note_outcomes(id, before).await.unwrap(), None);
    let unsent = store.unsent_dead_letters(id, 10).await.unwrap().letters;
    let unsent: Vec<_> = unsent.iter().map(DeadLetter::name).collect();
    assert_eq!(unsent, [name(2), name(3)]);
    let replay = store.note_outcomes(id, fence).await.unwrap().unwrap();
    assert_eq!((replay.sent, replay.settled), (1, 1));
    assert_eq!(lead().await.unwrap(), Some(fence));
    assert!(store.note_sent(id, fence, vec![name(2)], None).await.unwrap());
    assert_eq!(lead().await.unwrap(), Some(fence));
    assert_eq!(store.replay(id).await.unwrap().unwrap().sent, 2, "once is enough");
}

#[tokio::test]
async fn a_server_without_memory_refuses_letters_and_lets_them_go() {
    let server = RedisServer::start(&["--maxmemory-policy", "noeviction"]);
    let prefix = Prefix::on(&server);
    let store = prefix.open();
    store.park((1..4).map(|n| letter(n, Code::NotJson, 1)).collect()).await.unwrap();
    let mut limit = redis::cmd("CONFIG");
    limit.arg("SET").arg("maxmemory");
    limit.clone().arg(1).query::<()>(&mut server.connection()).unwrap();
    let refused = store.park(vec![letter(9, Code::NotJson, 1)]).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable { .. }), "{refused:?}");
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
