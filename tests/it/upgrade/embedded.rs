//! Directories that earlier releases left.

use std::path::Path;

use serde_json::json;
use storekeeper::app::back_up;
use tempfile::TempDir;

use super::given::Given;
use super::seen::unordered;
use super::shop::Shop;
use super::{destination, read, releases, same, write};

/// Writes what a release leaves that ends with webhooks in flight, and what it would come to.
async fn leave(place: &Path) {
    let directory = tempfile::tempdir().unwrap();
    let shop = Shop::embedded(directory.path());
    let Given { done, pending } = Given::new();
    shop.publish_and_work_off(&done).await;
    let before = shop.seen().await;
    for envelope in pending {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_of_an_earlier_release_is_read_and_worked_off() {
    for place in releases("embedded") {
        is_read_and_worked_off(&place).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_rebuilt_from_the_journal_of_an_earlier_release() {
    for place in releases("embedded") {
        let directory = copy(&place);
        std::fs::remove_file(directory.path().join("store.db")).unwrap();
        let shop = Shop::embedded(directory.path());
        let after = read(&place.join("expected.json"))["after"].clone();
        shop.is_rebuilt_as(&place, after).await;
        shop.close().await;
    }
}

/// Also what writes the fixtures of the next release.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_this_release_leaves_in_a_directory_is_read_too() {
    let elsewhere = tempfile::tempdir().unwrap();
    let place = destination("embedded", elsewhere.path());
    leave(&place).await;
    is_read_and_worked_off(&place).await;
}
