//! What a dry run says, and what the replay then does.
//!
//! Goal: both say the same of every dead letter and of every stock item. Method: dead letters of
//! every kind, and random ones, over a shop that has a closed order, an item that is nearly full,
//! and sources that may not write everything. The worker takes one dead letter at a time, so that
//! what depends on the order is decided in that of the replay.

use std::collections::{BTreeMap, BTreeSet};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use storekeeper::clock;
use storekeeper::dead_letters::{self, DryRun, Effect, WouldBe};
use storekeeper::domain::{
    Cause, Code, Counts, EntityName, EntityState, EventOutcome, Identifier, Lists, Note, Quantity,
    Reason, Receipt, ReceiptContent, ReceiptId, STOCK_TOTAL_MAX, Said, Site, SourceRules,
    StockChange, StockKey, Timestamp, Write,
};
use storekeeper::duties::close_final;
use storekeeper::metrics::OutcomeLabels;
use storekeeper::store::{
    Commit, Committed, DeadLetter, DeadLetterFilter, Pace, PageRequest, Store,
};

use super::kinds::{self, CODES, OUTCOMES, REASONS};
use super::{AtWork, ended, letter, make};
use crate::harness::{eventually, is_long, seed};

/// How many dead letters are random.
const RANDOM: usize = 30;

/// An item that has room for ten units more.
async fn fill(store: &dyn Store) {
    let quantity = Quantity::from_millionths(STOCK_TOTAL_MAX - 10_000_000);
    let key = StockKey::parse("sku:FULL").unwrap();
    let reference = Identifier::parse("first").unwrap();
    let message_id = letter(0, false).envelope.message_id;
    let at = clock::now();
    let said = Said {
        message_id,
        received_at: at,
        content: ReceiptContent::Goods { quantity },
        note: Note::default(),
    };
    let receipt = ReceiptId { key: key.clone(), reference: reference.clone() };
    let name = EntityName::Receipt(receipt);
    let state = EntityState::Receipt(Receipt { said: Some(said), void: None });
    let delta = Counts { received: quantity, ..Counts::default() };
    let cause = Cause::Receipt(reference);
    let commit = Commit {
        read: vec![(name.clone(), None)],
        writes: vec![Write { name, state: Some(state), lists: (Lists::NONE, Lists::NONE) }],
        changes: vec![StockChange { key, cause, delta, hold: None, closed: None }],
        ..Commit::nothing(Site::parse("shop").unwrap(), message_id, at)
    };
    assert_eq!(store.commit(vec![commit]).await.unwrap(), [Committed::Written]);
}

/// An order that was delivered and is closed; answers with the watermark.
async fn close(work: &AtWork) -> Timestamp {
    let mut envelope = letter(0, false).envelope;
    envelope.body = kinds::closed_order();
    work.broker.publish(envelope).await.unwrap();
    eventually("the order is closed", async || {
        let before = clock::now();
        (close_final(&*work.store, before).await.unwrap() == 1).then_some(before)
    })
    .await
}

async fn stock(store: &dyn Store) -> BTreeMap<(Site, StockKey), Counts> {
    let mut stock = BTreeMap::new();
    for site in store.sites().await.unwrap() {
        let items = store.stock(&site, None, &PageRequest::first(1000)).await.unwrap().items;
        stock.extend(items.into_iter().map(|item| ((item.site, item.key), item.counts)));
    }
    stock
}

/// What was added between two looks at the stock.
fn added(
    before: &BTreeMap<(Site, StockKey), Counts>,
    after: BTreeMap<(Site, StockKey), Counts>,
) -> Vec<Effect> {
    let minus = |a: Quantity, b: Quantity| a.checked_add(-b).unwrap();
    let effects = after.into_iter().map(|((site, key), now)| {
        let was = before.get(&(site.clone(), key.clone())).copied().unwrap_or_default();
        let delta = Counts {
            received: minus(now.received, was.received),
            committed: minus(now.committed, was.committed),
            fulfilled: minus(now.fulfilled, was.fulfilled),
        };
        Effect { site, key, delta }
    });
    effects.filter(|effect| effect.delta != Counts::default()).collect()
}

/// How often each good outcome was counted.
fn counted(work: &AtWork) -> BTreeMap<(&'static str, &'static str), u64> {
    let mut counts = BTreeMap::new();
    for outcome in OUTCOMES {
        for reason in REASONS {
            let labels = OutcomeLabels { outcome, reason };
            let count = work.metrics.events_settled.get_or_create(&labels).get();
            counts.insert((outcome, reason), count);
        }
    }
    counts
}

/// The dead letters, each with a time at which it failed: they are sent in that order.
fn letters(dice: &mut ChaCha8Rng, closed_at: Timestamp) -> Vec<DeadLetter> {
    let begin = clock::now();
    let [first, second] = kinds::always(closed_at);
    let random = (0..RANDOM).map(|_| kinds::any(dice)).collect();
    let mut letters = Vec::new();
    for (kinds, times) in [(first, 0..100), (second, 100..200), (random, 0..200)] {
        for letter in kinds {
            let failed_at = begin.plus_micros(dice.random_range(times.clone()));
            letters.push(DeadLetter { failed_at, ..kinds::for_any_reason(dice, letter) });
        }
    }
    letters
}

/// Nothing that the rules know is missing, or this test would show less than it says.
fn assert_all_occur(said: &DryRun) {
    let (mut outcomes, mut reasons, mut codes) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for forecast in &said.letters {
        match &forecast.would_be {
            WouldBe::Settled(EventOutcome { outcome, reason }) => {
                outcomes.insert(outcome.as_str());
                reasons.insert(reason.map_or("", Reason::as_str));
            }
            WouldBe::Rejected { code, .. } => {
                codes.insert(*code);
            }
        }
    }
    assert_eq!(outcomes, BTreeSet::from(OUTCOMES));
    assert_eq!(reasons, BTreeSet::from(REASONS));
    assert_eq!(codes, BTreeSet::<Code>::from(CODES));
}

/// Plays dead letters under a policy of refunds; answers with what is promised of the item of which
/// one unit was refunded.
async fn check(seed: u64, restock: &str) -> Quantity {
    let mut sources = SourceRules::default();
    sources.allow("duda", Some(&[Site::parse("shop").unwrap()]));
    sources.allow("all", None);
    let settings = [
        ("STOREKEEPER__WORKER__CONCURRENCY", "1"),
        ("STOREKEEPER__WORKER__BATCH_MAX", "1"),
        ("STOREKEEPER__REFUNDS__RESTOCK", restock),
        // What a dry run says of an unknown source comes true once no retry is left.
        ("STOREKEEPER__RETRY__MAX_AGE", "1ms"),
    ];
    let work = AtWork::start_with(&settings, sources.clone()).await;
    let store = &*work.store;
    let closed_at = close(&work).await;
    fill(store).await;
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    store.park(letters(&mut dice, closed_at)).await.unwrap();
    let (stock_before, mut expected) = (stock(store).await, counted(&work));
    let all = DeadLetterFilter::default();
    let said = dead_letters::dry_run(store, &sources, &all).await.unwrap().unwrap();
    assert_eq!(stock(store).await, stock_before, "a dry run changes nothing");
    assert_all_occur(&said);
    let replay = make(store, Pace::default()).await;
    let now = ended(store, &replay).await;
    assert_eq!(now.selected, said.letters.len() as u64);
    assert_eq!((now.failed, now.gone), (said.rejected() as u64, 0));
    for forecast in &said.letters {
        let found = store.dead_letter(forecast.letter.message_id).await.unwrap();
        let found = found.map(|letter| (letter.generation(), letter.rejection));
        match (&forecast.would_be, found) {
            (WouldBe::Settled(EventOutcome { outcome, reason }), None) => {
                let reason = reason.map_or("", Reason::as_str);
                *expected.get_mut(&(outcome.as_str(), reason)).unwrap() += 1;
            }
            (WouldBe::Rejected { code, detail }, Some((generation, found))) => {
                assert_eq!((generation, found.code, &found.detail), (2, *code, detail));
            }
            (would_be, found) => panic!("it would be {would_be:?}, and there is {found:?}"),
        }
    }
    assert_eq!(counted(&work), expected);
    assert_eq!(added(&stock_before, stock(store).await), said.effects);
    work.end().await;
    let refunded = StockKey::parse("product:R").unwrap();
    let effect = said.effects.iter().find(|effect| effect.key == refunded);
    effect.map(|effect| effect.delta.committed).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_says_of_letters_of_every_kind_what_becomes_of_them() {
    let (first, rounds) = (seed(), if is_long() { 200 } else { 4 });
    for round in 0..rounds {
        // Of the order's three units, one came back or none.
        let (restock, units) = if round % 2 == 0 { ("lines", 2) } else { ("never", 3) };
        let promised = check(first.wrapping_add(round), restock).await;
        assert_eq!(promised, Quantity::from_millionths(units * 1_000_000), "restock {restock}");
    }
}
