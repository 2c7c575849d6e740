//! `journal replay`: the journal is the whole truth.

use std::sync::Arc;
use std::time::Duration;

use storekeeper::broker::Broker;
use storekeeper::cli::journal::JournalCommand;
use storekeeper::cli::output::Output;
use storekeeper::cli::{self, ExitStatus, Format};
use storekeeper::clock::{self, PastTime};
use storekeeper::domain::{Policy, Timestamp};
use storekeeper::rebuild::{RebuildError, Selection, replay};
use storekeeper::simulate::ModelPolicy;
use storekeeper::store::embedded::EmbeddedStore;
use storekeeper::store::{DeadLetterFilter, PageRequest, Store};

use super::{Shop, expected, history, order};

/// Everything that a Store knows and a rebuild must bring back, as text.
async fn everything(store: &dyn Store) -> Vec<String> {
    let all = PageRequest::first(10_000);
    let mut lines = Vec::new();
    for site in store.sites().await.unwrap() {
        for order in store.orders(&site, &all).await.unwrap().items {
            let mut state = order.state;
            // For people: in which order things came is another each time.
            state.timeline.clear();
            lines.push(format!("{site} {} {state:?} {}", order.order, order.alias_conflict));
        }
        for item in store.stock(&site, None, &all).await.unwrap().items {
            lines.push(format!("{item:?}"));
        }
        for item in store.audit_items(&site, &all).await.unwrap().items {
            lines.push(format!("{item:?}"));
        }
        for hold in store.audit_holds(&site, &all).await.unwrap().items {
            lines.push(format!("{hold:?}"));
        }
        for entry in store.catalogue(&site, &all).await.unwrap().items {
            lines.push(format!("{entry:?}"));
        }
    }
    let filter = DeadLetterFilter::default();
    let letters = store.dead_letters(&filter, &all).await.unwrap().items;
    let mut letters: Vec<_> = letters
        .iter()
        .map(|it| format!("{} {} {:?}", it.id, it.generation, it.rejection))
        .collect();
    letters.sort();
    lines.extend(letters);
    lines
}

/// A shop whose Store was lost, and what that knew.
async fn lost() -> (Shop, Vec<super::Envelope>, Vec<String>) {
    let shop = Shop::new();
    let envelopes = history(60);
    shop.publish(&envelopes).await;
    shop.work_off(&Policy::default()).await;
    let known = everything(&*shop.store).await;
    shop.store.close().await;
    let file = shop.path().join("store.db");
    std::fs::rename(&file, shop.path().join("lost.db")).unwrap();
    let store = Arc::new(EmbeddedStore::open(shop.path()).unwrap());
    (Shop { store, ..shop }, envelopes, known)
}

#[tokio::test]
async fn a_rebuilt_store_equals_the_one_that_was_lost() {
    let (shop, envelopes, known) = lost().await;
    let journalled = shop.broker.journal(None, 10_000).await.unwrap();
    let mut places = Vec::new();
    let count = replay(&*shop.broker, &*shop.store, Selection::default(), |progress| {
        places.push((progress.done, progress.all));
    });
    assert_eq!(count.await.unwrap(), envelopes.len() as u64);
    assert!(places.is_sorted());
    assert!(places.last().is_some_and(|(done, all)| done == all));
    shop.work_off(&Policy::default()).await;
    assert_eq!(everything(&*shop.store).await, known);
    assert_eq!(shop.stock().await, expected(&envelopes, ModelPolicy::default()));
    shop.assert_audit_is_clean().await;
    assert_eq!(shop.broker.journal(None, 10_000).await.unwrap(), journalled);
    // Repeated, it changes nothing.
    replay(&*shop.broker, &*shop.store, Selection::default(), |_| {}).await.unwrap();
    shop.work_off(&Policy::default()).await;
    assert_eq!(everything(&*shop.store).await, known);
}

#[tokio::test]
async fn an_empty_store_is_not_filled_with_a_part_of_the_journal() {
    let (shop, envelopes, _) = lost().await;
    let last = envelopes.last().unwrap().received_at;
    let since = Selection { since: Some(last), partial: false };
    let error = replay(&*shop.broker, &*shop.store, since, |_| {}).await.unwrap_err();
    assert!(matches!(error, RebuildError::InPart(_)), "{error}");
    let all = Selection { since: Some(Timestamp::from_micros(0)), partial: false };
    replay(&*shop.broker, &*shop.store, all, |_| {}).await.unwrap();
    assert_eq!(shop.broker.depth().await.unwrap().work_ready, envelopes.len() as u64);
    let part = Selection { partial: true, ..since };
    assert!(replay(&*shop.broker, &*shop.store, part, |_| {}).await.unwrap() > 0);
}

#[tokio::test]
async fn a_journal_that_lost_its_beginning_is_refused_for_an_empty_store() {
    let (shop, ..) = lost().await;
    assert!(shop.broker.sweep(clock::now()).await.unwrap() > 0);
    shop.publish(&[order("9", "PROCESSED", 1)]).await;
    let command = |partial| JournalCommand::Replay { since: None, partial };
    let run = async |command| {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut output =
            Output { out: &mut out, err: &mut err, format: Format::Table, width: None };
        let (broker, store) = (&*shop.broker, &*shop.store);
        let overlap = Duration::from_mins(10);
        let ended =
            cli::journal::run(broker, store, command, overlap, clock::now(), &mut output).await;
        (ended.unwrap(), String::from_utf8(err).unwrap())
    };
    let (status, said) = run(command(false)).await;
    assert_eq!(status, ExitStatus::NotHeld);
    assert!(said.contains("no longer has its beginning"), "{said}");
    assert_eq!(run(command(true)).await.0, ExitStatus::Done);
    // Into a store that has something, a part may always go; since goes back the overlap.
    shop.work_off(&Policy::default()).await;
    let since = Some(PastTime::Ago(Duration::ZERO));
    let (status, said) = run(JournalCommand::Replay { since, partial: false }).await;
    assert_eq!(
        (status, said.as_str()),
        (ExitStatus::Done, "1 envelopes are in the work queue again\n")
    );
}
