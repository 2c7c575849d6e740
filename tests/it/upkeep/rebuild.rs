//! `journal replay`: the journal is the whole truth.

use std::time::Duration;

use rusqlite::Connection;
use storekeeper::broker::Broker;
use storekeeper::broker::embedded::EmbeddedBroker;
use storekeeper::cli::journal::JournalCommand;
use storekeeper::cli::output::Output;
use storekeeper::cli::{self, ExitStatus, Format};
use storekeeper::clock::{self, PastTime};
use storekeeper::domain::{Counts, List, OrderId, Policy, Site, Timestamp};
use storekeeper::simulate::ModelPolicy;
use storekeeper::store::{DeadLetterFilter, Direction, PageRequest, Store};
use storekeeper::upkeep::rebuild::{AHEAD_MAX, RebuildError, Selection, replay};

use super::{Shop, expected, history, order};

/// Everything that a Store knows and a rebuild must bring back, as text.
pub(super) async fn everything(store: &dyn Store) -> Vec<String> {
    let all = PageRequest::first(10_000);
    let mut found = Vec::new();
    for site in store.sites().await.unwrap() {
        let links = store.links(&site, &all).await.unwrap().items;
        found.extend(links.iter().map(|(name, link)| format!("{site} {name} {link:?}")));
        let mut names: Vec<_> = links.into_iter().map(|(name, _)| name).collect();
        for list in List::ALL {
            let mut listed: Vec<_> = listed(store, &site, list).await;
            listed.sort();
            found.push(format!("{site} {} {listed:?}", list.as_str()));
            names.append(&mut listed);
        }
        names.sort();
        names.dedup();
        for mut audited in store.audit_orders(&site, &names).await.unwrap() {
            // For people: in which order things came is another each time.
            audited.record.timeline.clear();
            found.push(format!("{site} {} {:?}", audited.order, audited.record));
        }
        // An item that nothing is counted of any more is there only if something was for a moment:
        // in which order things came is another each time.
        let is_counted = |counts: &Counts| *counts != Counts::default();
        let mut stock = store.stock(&site, None, &all).await.unwrap().items;
        stock.retain(|item| is_counted(&item.counts));
        found.extend(stock.iter().map(|item| format!("{item:?}")));
        let mut audited = store.audit_items(&site, &all).await.unwrap().items;
        audited.retain(|item| is_counted(&item.counts));
        found.extend(audited.iter().map(|item| format!("{item:?}")));
        for hold in store.audit_holds(&site, &all).await.unwrap().items {
            found.push(format!("{hold:?}"));
        }
        for entry in store.catalogue(&site, &all).await.unwrap().items {
            found.push(format!("{entry:?}"));
        }
    }
    let filter = DeadLetterFilter::default();
    let letters = store.dead_letters(&filter, &all).await.unwrap().items;
    let mut letters: Vec<_> = letters
        .iter()
        .map(|it| format!("{} {} {:?}", it.id, it.generation, it.rejection))
        .collect();
    letters.sort();
    found.extend(letters);
    found
}

async fn listed(store: &dyn Store, site: &Site, list: List) -> Vec<OrderId> {
    let all = PageRequest::first(10_000);
    let page = store.listed(site, list, Direction::OldestFirst, &all).await.unwrap();
    page.items.into_iter().map(|listed| listed.order).collect()
}

/// A shop whose Store was lost, and what that knew.
async fn lost() -> (Shop, Vec<super::Envelope>, Vec<String>) {
    let shop = Shop::new();
    let envelopes = history(60);
    shop.publish(&envelopes).await;
    shop.work_off(&Policy::default()).await;
    let known = everything(&*shop.store).await;
    (shop.lose_the_store().await, envelopes, known)
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
        let [out, err] = [out, err].map(|text| String::from_utf8(text).unwrap());
        (ended.unwrap(), out, err)
    };
    let (status, _, said) = run(command(false)).await;
    assert_eq!(status, ExitStatus::NotHeld);
    assert!(said.contains("no longer has its beginning"), "{said}");
    assert_eq!(run(command(true)).await.0, ExitStatus::Done);
    // Into a store that has something, a part may always go; since goes back the overlap.
    shop.work_off(&Policy::default()).await;
    let since = Some(PastTime::Ago(Duration::ZERO));
    let (status, printed, _) = run(JournalCommand::Replay { since, partial: false }).await;
    assert_eq!(
        (status, printed.as_str()),
        (ExitStatus::Done, "1 envelopes are in the work queue again\n")
    );
}

/// A shop whose Store was lost, and whose journal has so many orders, each with so much filler.
async fn large(orders: usize, filler: usize) -> Shop {
    let shop = Shop::new();
    let filler = "x".repeat(filler);
    let envelopes: Vec<_> = (0..orders)
        .map(|id| {
            let mut envelope = order(&id.to_string(), "PROCESSED", 1);
            let text = String::from_utf8(envelope.body.to_vec()).unwrap();
            envelope.body = text.replacen('{', &format!("{{\"filler\":\"{filler}\","), 1).into();
            envelope
        })
        .collect();
    shop.publish(&envelopes).await;
    shop.work_off(&Policy::default()).await;
    shop.lose_the_store().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_goes_ahead_of_the_worker_by_a_bounded_number() {
    let orders = usize::try_from(AHEAD_MAX).unwrap() * 2;
    let shop = large(orders, 0).await;
    let (told, mut waits) = tokio::sync::watch::channel(false);
    let rebuild = replay(&*shop.broker, &*shop.store, Selection::default(), |progress| {
        told.send_if_modified(|waits| progress.is_waiting && !std::mem::replace(waits, true));
    });
    let work = async {
        waits.wait_for(|waits| *waits).await.unwrap();
        let ready = shop.broker.depth().await.unwrap().work_ready;
        assert!((AHEAD_MAX..AHEAD_MAX + 64).contains(&ready), "{ready} are in the queue");
        shop.worker(&Policy::default()).await
    };
    let (count, worker) = tokio::join!(rebuild, work);
    assert_eq!(count.unwrap(), orders as u64);
    shop.settled().await;
    worker.stop().await;
    assert_eq!(shop.stock().await.values().next().unwrap().committed, orders.into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_find_room_while_a_large_journal_is_replayed() {
    const ROOM: u64 = 20 * 1024 * 1024;
    // The journal is larger than the room that is left.
    let shop = large(1200, 30_000).await;
    let file = Connection::open(shop.path().join("broker.db")).unwrap();
    let used = "SELECT (page_count - freelist_count) * page_size \
                FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
    let used: i64 = file.query_row(used, (), |row| row.get(0)).unwrap();
    assert!(used.unsigned_abs() > ROOM * 3 / 2, "{used}");
    let ingress = EmbeddedBroker::open(shop.path()).unwrap();
    let ingress = ingress.limited_to(Some(used.unsigned_abs() + ROOM), None);
    let worker = shop.worker(&Policy::default()).await;
    let is_done = std::cell::Cell::new(false);
    let rebuild = async {
        let selection = Selection::default();
        let count = replay(&*shop.broker, &*shop.store, selection, |_| {}).await;
        is_done.set(true);
        count.unwrap()
    };
    let webhooks = async {
        let mut count = 0;
        // On a slow machine, too, they are far from filling the room by themselves.
        while !is_done.get() && count < 2_000 {
            let taken = ingress.publish(order(&format!("new {count}"), "PROCESSED", 1)).await;
            taken.unwrap_or_else(|error| panic!("webhook {count} was refused: {error}"));
            count += 1;
        }
        count
    };
    let (replayed, new) = tokio::join!(rebuild, webhooks);
    // The first webhook may be in the journal before its end is looked for.
    assert!((1200..=1201).contains(&replayed) && new > 0, "{replayed} and {new}");
    shop.settled().await;
    worker.stop().await;
    assert_eq!(shop.stock().await.values().next().unwrap().committed, (1200 + new).into());
}
