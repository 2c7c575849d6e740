//! Who runs replays, where beginning to needs several steps.

use storekeeper::domain::Code;
use storekeeper::store::{
    DeadLetter, DeadLetterFilter, Fence, NewReplay, Pace, ReplayId, Store, StoreError, Unsent,
};
use uuid::Uuid;

use super::{Prefix, letter, polled, time};

/// More than are looked at in one step.
const LETTERS: u128 = 700;
const REPLAY: ReplayId = ReplayId(Uuid::from_u128(1));

async fn lead(store: &dyn Store, nth: u64) -> Result<Option<Fence>, StoreError> {
    store.run_replays(Fence(nth)).await
}

async fn send_all(store: &dyn Store, fence: Fence) {
    loop {
        let Unsent { letters, after, .. } = store.unsent_dead_letters(REPLAY, 500).await.unwrap();
        if letters.is_empty() {
            break;
        }
        let names = letters.iter().map(DeadLetter::name).collect();
        assert!(store.record_sent(REPLAY, fence, names, Some(after)).await.unwrap());
    }
    assert_eq!(u128::from(store.replay(REPLAY).await.unwrap().unwrap().sent), LETTERS);
}

/// A leader whose first call ends somewhere, and who asks again, sends what the one before sent;
/// that one notes nothing more from the first step on.
#[tokio::test]
async fn a_leader_who_begins_again_has_sent_nothing_either() {
    let prefix = Prefix::new();
    let store = prefix.open();
    store.park((0..LETTERS).map(|n| letter(n, Code::NotJson, 1)).collect()).await.unwrap();
    let filter = DeadLetterFilter::default();
    let new = NewReplay { id: REPLAY, filter, pace: Pace::default(), made_at: time(2) };
    store.make_replay(new).await.unwrap();
    let mut before = lead(&*store, 0).await.unwrap().unwrap();
    let mut left_in_between = 0;
    for polls in 1.. {
        send_all(&*store, before).await;
        let leader = u64::try_from(polls).unwrap();
        let first = polled(polls, lead(&*store, leader)).await;
        let sent = store.replay(REPLAY).await.unwrap().unwrap().sent;
        let is_taken = prefix.field("leader", "leader") == leader.to_string();
        left_in_between += u32::from(is_taken && u128::from(sent) == LETTERS);
        if first.is_some() || u128::from(sent) < LETTERS {
            let noted = store.record_outcomes(REPLAY, before).await.unwrap();
            assert_eq!(noted, None, "two lead");
        }
        let now = lead(&*store, leader).await.unwrap().unwrap();
        assert_eq!(store.replay(REPLAY).await.unwrap().unwrap().sent, 0, "after {polls} polls");
        if let Some(first) = first {
            assert_eq!(first.unwrap(), Some(now));
            break;
        }
        before = now;
    }
    assert!(left_in_between > 0, "it never ended in the middle");
}
