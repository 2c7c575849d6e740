//! Replays of which dead letters end while they are sent: each is counted once, however the steps
//! meet.

use std::sync::Arc;

use futures_util::future::join_all;
use storekeeper::domain::Code;
use storekeeper::store::{
    DeadLetter, DeadLetterFilter, DeadLetterName, Ending, Fence, NewReplay, Pace, ReplayId,
    ReplayState, Store, Unsent,
};
use uuid::Uuid;

use super::{Prefix, letter, message, time};

const LETTERS: u128 = 300;
const REPLAY: ReplayId = ReplayId(Uuid::from_u128(1));

/// Ends every third dead letter, in one of three ways.
async fn end(store: Arc<dyn Store>, way: u128) {
    for number in (0..LETTERS).filter(|number| number % 3 == way) {
        let name = DeadLetterName { message_id: message(number), generation: 1 };
        if way == 0 {
            let mut again = letter(number, Code::NotJson, 1);
            again.envelope.replays = 1;
            store.park(vec![again]).await.unwrap();
        } else {
            let ending = if way == 1 { Ending::Settled } else { Ending::Discarded };
            store.end_dead_letters(vec![name], ending, time(9)).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_outcome_is_counted_once_however_the_steps_meet() {
    let store = Prefix::new().open();
    store.park((0..LETTERS).map(|n| letter(n, Code::NotJson, 1)).collect()).await.unwrap();
    let filter = DeadLetterFilter::default();
    let new = NewReplay { id: REPLAY, filter, pace: Pace::default(), made_at: time(2) };
    store.make_replay(new).await.unwrap();
    let fence = store.run_replays(Fence(7)).await.unwrap().unwrap();
    let sending = async {
        loop {
            let Unsent { letters, after, .. } =
                store.unsent_dead_letters(REPLAY, 16).await.unwrap();
            if letters.is_empty() {
                break;
            }
            let names = letters.iter().map(DeadLetter::name).collect();
            assert!(store.record_sent(REPLAY, fence, names, Some(after)).await.unwrap());
        }
    };
    tokio::join!(sending, join_all((0..3).map(|way| end(Arc::clone(&store), way))));
    let replay = store.record_outcomes(REPLAY, fence).await.unwrap().unwrap();
    assert_eq!((replay.state, replay.sent, replay.open()), (ReplayState::Done, 300, 0));
    assert_eq!((replay.settled, replay.failed, replay.gone), (100, 100, 100));
}
