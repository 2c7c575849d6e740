//! `backup`: a copy that was made under load leads to the same stock.

use storekeeper::app::{BackUpError, back_up};
use storekeeper::broker::Broker;
use storekeeper::domain::Policy;
use storekeeper::simulate::ModelPolicy;
use storekeeper::store::ReadStore;
use storekeeper::upkeep::rebuild::{Selection, replay};

use super::{Shop, expected, history};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_and_the_journal_lead_to_the_stock_of_the_model() {
    let shop = Shop::new();
    let envelopes = history(120);
    let worker = shop.worker(&Policy::default()).await;
    let place = tempfile::tempdir().unwrap();
    let to = place.path().join("monday");
    let backup = async {
        // The first orders are applied, the last are not sent: the copy is made in the middle.
        while shop.store.sites().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        back_up(shop.path(), &to, |_, _, _| {}).await.unwrap()
    };
    let (since, ()) = tokio::join!(backup, shop.publish(&envelopes));
    shop.settled().await;
    worker.stop().await;

    let restored = tempfile::tempdir().unwrap();
    for file in ["store.db", "broker.db"] {
        let copied = to.join(file);
        assert_is_private(&copied);
        std::fs::copy(copied, restored.path().join(file)).unwrap();
    }
    assert_is_private(&to);
    let said = std::fs::read_to_string(to.join("replay-since")).unwrap();
    assert_eq!(said.trim_end(), since.to_string());
    let restored = Shop::on(restored);
    let journalled = restored.broker.journal(None, 10_000).await.unwrap();
    // The copy's own journal is the whole truth of it: nothing of its store is missing there.
    let sent: Vec<_> = journalled.into_iter().map(|record| record.envelope).collect();
    assert!(!sent.is_empty());
    restored.assert_audit_is_clean().await;
    let worker = restored.worker(&Policy::default()).await;
    let selection = Selection { since: Some(since), partial: false };
    replay(&*restored.broker, &*restored.store, selection, |_| {}).await.unwrap();
    restored.settled().await;
    worker.stop().await;
    assert_eq!(restored.stock().await, expected(&sent, ModelPolicy::default()));
    restored.assert_audit_is_clean().await;
}

#[cfg(unix)]
fn assert_is_private(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{}", path.display());
}

#[tokio::test]
async fn a_backup_never_takes_the_place_of_anything() {
    let shop = Shop::new();
    let place = tempfile::tempdir().unwrap();
    let to = place.path().join("monday");
    back_up(shop.path(), &to, |_, _, _| {}).await.unwrap();
    let error = back_up(shop.path(), &to, |_, _, _| {}).await.unwrap_err();
    assert!(matches!(error, BackUpError::Exists(_)), "{error}");
    let missing = back_up(&place.path().join("none"), &place.path().join("b"), |_, _, _| {}).await;
    assert!(matches!(missing, Err(BackUpError::Store(_))), "{missing:?}");
    let mut left: Vec<_> =
        std::fs::read_dir(place.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["monday"], "nothing unfinished stays");
}

#[tokio::test]
async fn a_backup_says_how_far_it_is() {
    let shop = Shop::new();
    let place = tempfile::tempdir().unwrap();
    let (told, heard) = std::sync::mpsc::channel();
    let progress = move |file, done, all| told.send((file, done, all)).unwrap();
    back_up(shop.path(), &place.path().join("b"), progress).await.unwrap();
    let heard: Vec<_> = heard.into_iter().collect();
    let files: Vec<_> = heard.iter().map(|(file, ..)| *file).collect();
    assert_eq!(files, ["store.db", "broker.db"]);
    assert!(heard.iter().all(|(_, done, all)| done == all && *all > 0));
}
