//! What people and processes say of the service itself: the pause, and heartbeats.

use std::collections::BTreeMap;

use storekeeper::domain::heartbeat::{Heartbeat, ProcessState};
use storekeeper::domain::{Pause, Timestamp};
use storekeeper::store::Store;

use super::Harness;
use super::given::identifier;

fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn beat(process: &str, at: i64) -> Heartbeat {
    Heartbeat {
        process: process.to_owned(),
        role: "worker".to_owned(),
        version: "1.0.0".to_owned(),
        state: ProcessState::Blocked,
        why: Some("'; DROP \u{1f600}\n".to_owned()),
        started_at: seconds(1),
        at: seconds(at),
        answers: BTreeMap::from([("ok".to_owned(), u64::MAX)]),
        recent: Vec::new(),
        leader: None,
    }
}

async fn known(store: &dyn Store) -> Vec<(String, i64)> {
    let beats = store.heartbeats().await.unwrap();
    beats.into_iter().map(|beat| (beat.process, beat.at.millis() / 1_000)).collect()
}

pub(super) async fn a_pause_stays_until_it_is_ended(harness: &Harness) {
    let store = harness.open();
    assert_eq!(store.paused().await.unwrap(), None);
    assert_eq!(store.resume().await.unwrap(), None);
    let reason = Some(identifier("a deploy | jos\u{e9}"));
    let first = Pause { actor: identifier("anna"), at: seconds(1), reason };
    let later = Pause { actor: identifier("bob"), at: seconds(2), reason: None };
    assert_eq!(store.pause(&first).await.unwrap(), first);
    assert_eq!(store.pause(&later).await.unwrap(), first, "the first one stays");
    let store = harness.crash_and_reopen(store);
    assert_eq!(store.paused().await.unwrap(), Some(first.clone()));
    assert_eq!(store.resume().await.unwrap(), Some(first));
    assert_eq!(store.paused().await.unwrap(), None);
    assert_eq!(store.pause(&later).await.unwrap(), later);
    assert_eq!(store.paused().await.unwrap(), Some(later));
}

pub(super) async fn the_last_heartbeat_of_each_process_is_read_back_whole(harness: &Harness) {
    let store = harness.open();
    assert_eq!(store.heartbeats().await.unwrap(), []);
    for beat in [beat("a", 10), beat("b", 20), beat("a", 30), beat("a", 25)] {
        store.record_heartbeat(&beat, seconds(0)).await.unwrap();
    }
    let store = harness.crash_and_reopen(store);
    assert_eq!(store.heartbeats().await.unwrap(), [beat("a", 30), beat("b", 20)]);
}

pub(super) async fn processes_that_are_not_heard_from_are_forgotten(harness: &Harness) {
    let store = harness.open();
    for (process, at) in [("a", 10), ("b", 20), ("c", 30)] {
        store.record_heartbeat(&beat(process, at), seconds(0)).await.unwrap();
    }
    store.record_heartbeat(&beat("d", 40), seconds(20)).await.unwrap();
    let expected = [("d", 40), ("c", 30), ("b", 20)].map(|(name, at)| (name.to_owned(), at));
    assert_eq!(known(&*store).await, expected);
    store.record_heartbeat(&beat("e", 50), seconds(60)).await.unwrap();
    assert_eq!(known(&*store).await, []);
}

pub(super) async fn of_too_many_processes_the_oldest_are_forgotten(harness: &Harness) {
    let store = harness.open();
    for number in 0..210 {
        store.record_heartbeat(&beat(&format!("p-{number}"), number), seconds(0)).await.unwrap();
    }
    let known = known(&*store).await;
    assert_eq!(known.len(), 200);
    assert_eq!(known.first(), Some(&("p-209".to_owned(), 209)));
    assert_eq!(known.last(), Some(&("p-10".to_owned(), 10)));
}
