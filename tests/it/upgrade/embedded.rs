//! Directories that earlier releases left.

use std::path::Path;

use serde_json::json;
use storekeeper::app::back_up;
use tempfile::TempDir;

use super::given::{Given, pending};
use super::seen::{pinned, unordered};
use super::shop::Shop;
use super::{REBUILT, destination, first_release, read, releases, same, write};

/// Writes what a release leaves that ends with webhooks in flight, and what it would come to.
async fn leave(place: &Path) {
    let directory = tempfile::tempdir().unwrap();
    let shop = Shop::embedded(directory.path());
    let given = Given::new();
    shop.publish_and_work_off(&given.done).await;
    let before = shop.seen().await;
    for envelope in pending(&given, &*shop.store).await {
        shop.broker.publish(envelope).await.unwrap();
    }
    back_up(directory.path(), place, |_, _, _| {}).await.unwrap();
    // The copies of two releases must not differ for nothing.
    std::fs::remove_file(place.join("replay-since")).unwrap();
    shop.work_off().await;
    write(&place.join("expected.json"), &json!({"before": before, "after": shop.seen().await}));
    shop.close().await;
}

fn copy(place: &Path) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for file in ["store.db", "broker.db"] {
        std::fs::copy(place.join(file), directory.path().join(file)).unwrap();
    }
    directory
}

async fn is_read_and_worked_off(place: &Path) {
    let expected = read(&place.join("expected.json"));
    let directory = copy(place);
    let shop = Shop::embedded(directory.path());
    same(place, &shop.seen().await, &expected["before"]);
    shop.audit_is_clean().await;
    shop.work_off().await;
    let after = shop.seen().await;
    same(place, &unordered(after), &unordered(expected["after"].clone()));
    shop.later_events_are_applied().await;
    shop.close().await;
}

/// The empty Store becomes what was seen, from the journal alone.
async fn is_rebuilt(place: &Path) {
    let directory = copy(place);
    std::fs::remove_file(directory.path().join("store.db")).unwrap();
    let shop = Shop::embedded(directory.path());
    let after = read(&place.join("expected.json"))["after"].clone();
    shop.is_rebuilt_as(place, after).await;
    shop.close().await;
}

/// Also what writes the fixtures of the next release.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_of_this_release_or_an_earlier_one_is_read_worked_off_and_rebuilt() {
    let elsewhere = tempfile::tempdir().unwrap();
    let place = destination("embedded", elsewhere.path());
    leave(&place).await;
    let (earlier, _) = releases("embedded");
    for place in earlier.iter().chain([&place]) {
        is_read_and_worked_off(place).await;
        is_rebuilt(place).await;
    }
}

/// What waits is worked off on an empty Store, and the journal is replayed: in either order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_store_is_filled_from_the_queue_and_the_journal_of_0_1_0() {
    let place = first_release("embedded");
    let expected = read(&place.join(REBUILT));
    for waits in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        std::fs::copy(place.join("broker.db"), directory.path().join("broker.db")).unwrap();
        let shop = Shop::embedded(directory.path());
        assert_eq!(shop.broker.depth().await.unwrap().work_ready, 5);
        if !waits {
            shop.work_off().await;
        }
        shop.replay_journal(waits).await;
        shop.work_off().await;
        same(&place, &pinned(&*shop.store).await, &expected);
        let journal = shop.broker.journal(None, 10_000).await.unwrap();
        let bodies: Vec<_> = journal
            .iter()
            .map(|record| (record.envelope.message_id, record.envelope.kind, &record.envelope.body))
            .collect();
        assert_eq!(Shop::stock_of_the_model(&bodies), expected["stock"]);
        shop.audit_is_clean().await;
        shop.close().await;
    }
}
