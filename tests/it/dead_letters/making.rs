//! The making of replays: in steps, which may end anywhere and go on beside each other.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use storekeeper::clock;
use storekeeper::domain::Code;
use storekeeper::store::{
    DeadLetterFilter, NewReplay, Pace, Replay, ReplayId, ReplayList, ReplayState, Store, StoreError,
};
use uuid::Uuid;

use super::{Prefix, give_up_what_was_never_made, letter, polled, time};

/// More than are taken in two steps.
const LETTERS: u128 = 1_200;

async fn park(store: &dyn Store) {
    let letters = (0..LETTERS).map(|number| letter(number, Code::NotJson, 1));
    store.park(letters.collect()).await.unwrap();
}

fn new(id: u128) -> NewReplay {
    NewReplay {
        id: ReplayId(Uuid::from_u128(id)),
        filter: DeadLetterFilter::default(),
        pace: Pace::default(),
        made_at: time(2),
    }
}

async fn parked(store: &dyn Store) -> usize {
    let counts = store.dead_letter_counts().await.unwrap();
    counts.into_iter().map(|(_, count)| usize::try_from(count).unwrap()).sum()
}

async fn selected_by(store: &dyn Store, id: u128) -> u64 {
    let replay = store.make_replay(new(id)).await.unwrap();
    store.cancel_replay(replay.id).await.unwrap();
    replay.selected
}

/// Wherever the making of a replay ends, the replay is there whole or is never seen, and in the
/// end its dead letters are free.
#[tokio::test]
async fn a_replay_is_made_whole_or_not_at_all() {
    let prefix = Prefix::new();
    let store = prefix.open();
    park(&*store).await;
    let all = u64::try_from(LETTERS).unwrap();
    let mut parts_seen = BTreeSet::new();
    for polls in 1.. {
        let id = u128::try_from(polls).unwrap() * 10;
        let made = polled(polls, store.make_replay(new(id))).await;
        // It goes the same way as what may still be on its way there.
        let shown = store.replay(ReplayId(Uuid::from_u128(id))).await.unwrap();
        assert_eq!(store.open_replays().await.unwrap(), Vec::from_iter(shown));
        if let Some(shown) = shown {
            assert_eq!((shown.state, shown.selected), (ReplayState::Running, all));
            store.cancel_replay(shown.id).await.unwrap();
        } else {
            // What it took is held, as long as it could still be at work; nobody else may take it.
            let free = selected_by(&*store, id + 1).await;
            parts_seen.insert(all - free);
            assert!(made.is_none(), "{made:?}");
            give_up_what_was_never_made(&*store).await;
        }
        assert_eq!(selected_by(&*store, id + 2).await, all, "ended after {polls} polls");
        if made.is_some() {
            break;
        }
    }
    assert!(parts_seen.len() >= 3, "it never ended in the middle: {parts_seen:?}");
}

#[tokio::test]
async fn letters_of_a_replay_that_was_never_made_expire() {
    let prefix = Prefix::new();
    let store = prefix.open();
    park(&*store).await;
    let id = ReplayId(Uuid::from_u128(1));
    let mut polls = 1;
    while store.replay_chunk(id, 0).await.unwrap().is_empty() {
        polls += 1;
        give_up_what_was_never_made(&*store).await;
        assert!(polled(polls, store.make_replay(new(1))).await.is_none());
        assert_eq!(store.replay(id).await.unwrap(), None);
    }
    let chunks = [0, 1, 2].map(|chunk| store.replay_chunk(id, chunk));
    let held: usize = join_all(chunks).await.into_iter().map(|names| names.unwrap().len()).sum();
    while !store.expire_dead_letters(time(9), time(9)).await.unwrap().is_empty() {}
    assert_eq!(parked(&*store).await, held, "a letter that is held expired");
    give_up_what_was_never_made(&*store).await;
    while !store.expire_dead_letters(time(9), time(9)).await.unwrap().is_empty() {}
    assert_eq!(parked(&*store).await, 0);
    // Only that they have ended is known.
    assert_eq!(u128::try_from(prefix.count("ZCARD", "index")).unwrap(), LETTERS);
    assert_eq!(prefix.count("HLEN", "bytes"), 0);
}

/// Only the server's clock says how long nothing was heard of a maker.
#[tokio::test]
async fn a_process_whose_clock_is_ahead_gives_up_no_replay_that_is_being_made() {
    let store = Prefix::new().open();
    park(&*store).await;
    let mut polls = 1;
    while store.list_replays(ReplayList::Making, None, 10).await.unwrap().is_empty() {
        assert!(polled(polls, store.make_replay(new(u128::MAX - polls as u128))).await.is_none());
        polls += 1;
    }
    let ahead = clock::now().plus_micros(3_600_000_000);
    store.expire_dead_letters(time(0), ahead).await.unwrap();
    assert_eq!(store.list_replays(ReplayList::Making, None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn replays_that_are_made_at_once_share_the_letters() {
    let store = Prefix::new().open();
    park(&*store).await;
    let made = join_all((1..5).map(|id| store.make_replay(new(id)))).await;
    let made: Vec<Replay> = made.into_iter().map(Result::unwrap).collect();
    let mut letters = BTreeSet::new();
    for replay in &made {
        let mut count = 0;
        for letter in store.unsent_dead_letters(replay.id, 500).await.unwrap().letters {
            assert!(letters.insert(letter.name()), "a letter is in two replays");
            count += 1;
        }
        assert_eq!(count, replay.selected.min(500));
    }
    let selected: u64 = made.iter().map(|replay| replay.selected).sum();
    assert_eq!(u128::from(selected), LETTERS);
}

#[tokio::test]
async fn a_replay_is_not_made_twice_under_one_name() {
    let store = Prefix::new().open();
    park(&*store).await;
    let first = store.make_replay(new(1)).await.unwrap();
    let again = store.make_replay(new(1)).await.unwrap_err();
    assert!(matches!(again, StoreError::Rejected { .. }), "{again:?}");
    assert_eq!(store.replay(first.id).await.unwrap(), Some(first));
}
