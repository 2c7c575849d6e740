//! Webhooks that were put aside on receipt, and what a rebuild makes of them.

use std::sync::Arc;

use bytes::Bytes;
use storekeeper::broker::{Broker, Envelope};
use storekeeper::clock;
use storekeeper::dead_letters;
use storekeeper::domain::{Code, MessageId, Policy, Rejection};
use storekeeper::store::{
    DeadLetterFilter, DeadLetterName, NewReplay, Pace, ReplayId, ReplayState, Store,
};
use storekeeper::upkeep::rebuild::{Selection, replay};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::rebuild::everything;
use super::{Shop, order};
use crate::harness::eventually;
use crate::replays::run_replays;

/// Envelopes that came too late; the worker could not apply those that are broken.
async fn put_aside(shop: &Shop, id: &str, is_broken: bool) -> Envelope {
    let mut envelope = order(id, "PROCESSED", 2);
    if is_broken {
        envelope.body = Bytes::from_static(b"{\"half\": ");
    }
    let rejection = Rejection::new(Code::SignatureExpired, "signed an hour ago");
    shop.broker.publish_dead(envelope.clone(), rejection).await.unwrap();
    envelope
}

/// Replays letters to their end.
async fn replay_letters(shop: &Shop, letters: &[&Envelope]) {
    let ids = letters.iter().map(|letter| letter.message_id).collect();
    let id = ReplayId(uuid::Uuid::now_v7());
    let filter = DeadLetterFilter { ids, ..DeadLetterFilter::default() };
    let new = NewReplay { id, filter, pace: Pace::default(), made_at: clock::now() };
    assert_eq!(shop.port().make_replay(new).await.unwrap().selected, letters.len() as u64);
    eventually("the replay is done", async || {
        let now = shop.port().replay(id).await.unwrap().unwrap();
        (now.state == ReplayState::Done).then_some(())
    })
    .await;
}

async fn is_parked(shop: &Shop, id: MessageId) -> bool {
    shop.port().dead_letter(id).await.unwrap().is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_repeats_what_replays_did_with_expired_webhooks() {
    let shop = Shop::new();
    let untouched = put_aside(&shop, "untouched", false).await;
    let good = put_aside(&shop, "good", false).await;
    let broken = put_aside(&shop, "broken", true).await;
    let discarded = put_aside(&shop, "discarded", false).await;
    let edited = put_aside(&shop, "edited", true).await;
    shop.publish(&[order("in time", "PROCESSED", 1)]).await;
    let worker = shop.worker(&Policy::default()).await;
    let ending = CancellationToken::new();
    let queue = Arc::clone(&shop.broker) as Arc<dyn Broker>;
    let store = Arc::clone(&shop.store) as Arc<dyn Store>;
    let replayer = TaskTracker::new().spawn(run_replays(Arc::clone(&queue), store, ending.clone()));
    eventually("all are parked", async || {
        let counts = shop.port().dead_letter_counts().await.unwrap();
        (counts == [(Code::SignatureExpired, 5)]).then_some(())
    })
    .await;
    let name = |letter: &Envelope| DeadLetterName { message_id: letter.message_id, generation: 1 };
    dead_letters::discard(&queue, &*shop.store, name(&discarded)).await.unwrap();
    let body = order("edited", "PROCESSED", 4).body;
    dead_letters::edit(&queue, &*shop.store, name(&edited), &body).await.unwrap();
    shop.settled().await;
    replay_letters(&shop, &[&good, &broken, &edited]).await;
    shop.settled().await;
    ending.cancel();
    replayer.await.unwrap();
    worker.stop().await;
    let known = everything(&*shop.store).await;
    assert_eq!(shop.stock().await.values().next().unwrap().committed, 7.into());

    let shop = shop.lose_the_store().await;
    // Run once more in the middle of its work, as after a crash, and once more at the end.
    for _ in 0..2 {
        replay(&*shop.broker, &*shop.store, Selection::default(), |_| {}).await.unwrap();
    }
    shop.work_off(&Policy::default()).await;
    assert_eq!(everything(&*shop.store).await, known);
    replay(&*shop.broker, &*shop.store, Selection::default(), |_| {}).await.unwrap();
    shop.work_off(&Policy::default()).await;
    assert_eq!(everything(&*shop.store).await, known);
    for (letter, expected) in [(untouched, true), (good, false), (broken, true), (edited, false)] {
        assert_eq!(is_parked(&shop, letter.message_id).await, expected);
    }
    shop.assert_audit_is_clean().await;
}
