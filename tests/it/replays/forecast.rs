//! What a dry run says, and what the replay then does.
//!
//! Goal: both say the same of every letter and of every stock item. Method: random letters of every
//! kind and reason, over a shop that has a closed order, an item that is nearly full, and sources
//! that may not write everything. The worker takes one letter at a time, so that what depends on
//! the order is decided in that of the replay.

use std::collections::BTreeMap;

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use storekeeper::broker::EnvelopeKind;
use storekeeper::clock;
use storekeeper::dead_letters::{self, Effect, WouldBe};
use storekeeper::domain::{
    Code, Counts, EntityName, EntityState, Identifier, Outcome, Quantity, Reason, Receipt,
    ReceiptContent, ReceiptId, Rejection, STOCK_TOTAL_MAX, Settled, Site, SourceRules, StockChange,
    StockKey, Timestamp,
};
use storekeeper::metrics::OutcomeLabels;
use storekeeper::store::{
    Commit, Committed, DeadLetter, DeadLetterFilter, EntityId, LetterName, Pace, PageRequest, Store,
};
use storekeeper::worker::closing::close_settled;

use super::{AtWork, ended, letter, make};
use crate::harness::{eventually, is_long, seed};

/// When events happen.
const TIME: i64 = 1_700_000_000_000;
/// What can become of a letter: every kind of outcome that the rules know, at least once.
const KINDS: u32 = 20;

fn event(name: &str, site: &str, timestamp: i64, data: &serde_json::Value) -> Bytes {
    let body = json!({
        "event_type": name,
        "event_timestamp": timestamp,
        "resource_data": {"site_name": site},
        "data": data,
    });
    body.to_string().into()
}

fn order(site: &str, id: &str, status: &str, mode: &str, quantity: u32, timestamp: i64) -> Bytes {
    let items = json!([{"id": "L", "product_id": "P", "quantity": quantity}]);
    let data = json!({"id": id, "status": status, "mode": mode, "items": items});
    event("ECOMM_ORDER_UPDATED", site, timestamp, &data)
}

fn receipt(reference: u32, quantity: &str) -> Bytes {
    let (key, reference) = ("sku:FULL", format!("R{reference}"));
    let body = json!({"site": "shop", "key": key, "reference": reference, "quantity": quantity});
    body.to_string().into()
}

/// A letter of one of the kinds; the dice say the rest.
fn any_letter(kind: u32, dice: &mut ChaCha8Rng, closed_at: Timestamp) -> DeadLetter {
    let id = format!("O{}", dice.random_range(0..6));
    let (units, at) = (dice.random_range(1..9), TIME + dice.random_range(0..4_i64));
    let of_shop = |status, mode| order("shop", &id, status, mode, units, at);
    let late = || order("shop", "closed", "DELIVERED", "LIVE", units, at);
    let mut letter = letter(0, false);
    let envelope = &mut letter.envelope;
    envelope.received_at = envelope.received_at.plus_micros(1_000_000);
    envelope.body = match kind {
        0 => of_shop("PROCESSED", "LIVE"),
        1 => of_shop("SHIPPED", "LIVE"),
        2 => of_shop("CANCELLED", "LIVE"),
        3 => of_shop("PROCESSED", "TEST"),
        4 => event("ECOMM_ORDER_DELETED", "shop", at, &json!({"id": id})),
        5 => event("ECOMM_ORDER_CREATED", "shop", at, &json!({"id": id})),
        6 => event("ECOMM_ORDER_CREATED", "shop", at, &json!({"items": []})),
        7 => Bytes::from_static(b"{\"half\": "),
        8 => {
            let refunds = json!([{"id": "L", "quantity": 1}]);
            let data = json!({"orderId": id, "id": "REF", "refundedItems": refunds});
            event("ECOMM_REFUND_CREATED", "shop", at, &data)
        }
        9 => event("ECOMM_PRODUCT_CREATED", "shop", at, &json!({"id": id, "name": "a product"})),
        10 => event("SOMETHING_NEW", "shop", at, &json!(7)),
        // The default source of these letters may not write that shop.
        11 => order("elsewhere", &id, "PROCESSED", "LIVE", units, at),
        12 => {
            envelope.source = String::from("all");
            order("elsewhere", &id, "PROCESSED", "LIVE", units, at)
        }
        13 => {
            envelope.source = String::from("of nobody");
            of_shop("PROCESSED", "LIVE")
        }
        14 => late(),
        15 => {
            envelope.received_at = closed_at.plus_micros(-1);
            late()
        }
        // Some fit, and then the item is full.
        16 => {
            envelope.kind = EnvelopeKind::Receipt;
            receipt(dice.random_range(0..9), "3")
        }
        17 => {
            envelope.kind = EnvelopeKind::Receipt;
            receipt(0, "-3")
        }
        18 => {
            envelope.kind = EnvelopeKind::Discard;
            let name = LetterName { message_id: envelope.message_id, generation: 1 };
            name.edit_body(b"no discard has a body")
        }
        _ => {
            let other = super::letter(0, false).envelope.message_id;
            envelope.kind = EnvelopeKind::Edit;
            LetterName { message_id: other, generation: 1 }.edit_body(b"{}")
        }
    };
    let reason = Code::ALL[dice.random_range(0..Code::ALL.len())];
    letter.rejection = Rejection::new(reason, "it does not matter why");
    letter
}

/// An item that has room for ten units more.
async fn fill(store: &dyn Store) {
    let quantity = Quantity::from_millionths(STOCK_TOTAL_MAX - 10_000_000);
    let key = StockKey::parse("sku:FULL").unwrap();
    let reference = Identifier::parse("first").unwrap();
    let message_id = letter(0, false).envelope.message_id;
    let content = ReceiptContent::Goods { quantity };
    let delta = Counts { received: quantity, ..Counts::default() };
    let commit = Commit {
        entity: EntityId {
            site: Site::parse("shop").unwrap(),
            name: EntityName::Receipt(ReceiptId { key: key.clone(), reference }),
        },
        loaded: None,
        state: EntityState::Receipt(Receipt { message_id, content }),
        changes: vec![StockChange { key, delta, hold: None }],
        message_id,
        at: clock::now(),
    };
    let written = store.commit(vec![commit]).await.unwrap();
    assert!(matches!(written[..], [Committed::Written { .. }]), "{written:?}");
}

/// An order that was delivered and is closed; answers with the watermark.
async fn close(work: &AtWork) -> Timestamp {
    let mut envelope = letter(0, false).envelope;
    envelope.body = order("shop", "closed", "DELIVERED", "LIVE", 2, TIME);
    work.broker.publish(envelope).await.unwrap();
    eventually("the order is closed", async || {
        let before = clock::now();
        (close_settled(&*work.store, before).await.unwrap() == 1).then_some(before)
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
    let outcomes = [Outcome::Applied, Outcome::Superseded, Outcome::Duplicate, Outcome::Ignored];
    let reasons = [
        Reason::AfterDeletion,
        Reason::TestMode,
        Reason::Ambiguous,
        Reason::RefundWithoutId,
        Reason::ReferenceReused,
        Reason::OrderClosed,
        Reason::UnknownEventType,
        Reason::Edited,
        Reason::Discarded,
    ];
    let reasons = reasons.map(Reason::as_str);
    let mut counts = BTreeMap::new();
    for outcome in outcomes.map(Outcome::as_str) {
        for reason in reasons.into_iter().chain([""]) {
            let labels = OutcomeLabels { outcome, reason };
            let count = work.metrics.events_settled.get_or_create(&labels).get();
            counts.insert((outcome, reason), count);
        }
    }
    counts
}

async fn check(seed: u64) {
    let mut sources = SourceRules::default();
    sources.allow("duda", Some(&[Site::parse("shop").unwrap()]));
    sources.allow("all", None);
    let one_by_one =
        [("STOREKEEPER__WORKER__CONCURRENCY", "1"), ("STOREKEEPER__WORKER__BATCH_MAX", "1")];
    let work = AtWork::start_with(&one_by_one, sources.clone()).await;
    let store = &*work.store;
    let closed_at = close(&work).await;
    fill(store).await;
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    // Every kind once, and as many again at random.
    let kinds: Vec<_> = (0..KINDS).chain((0..KINDS).map(|_| dice.random_range(0..KINDS))).collect();
    let mut letters = Vec::new();
    for (kind, number) in kinds.into_iter().zip(0..) {
        let letter = any_letter(kind, &mut dice, closed_at);
        // They are sent in the order in which they failed.
        let failed_at = letter.failed_at.plus_micros((number * 7) % 40);
        letters.push(DeadLetter { failed_at, ..letter });
    }
    store.park(letters).await.unwrap();
    let (stock_before, mut expected) = (stock(store).await, counted(&work));
    let all = DeadLetterFilter::default();
    let said = dead_letters::dry_run(store, &sources, &all).await.unwrap().unwrap();
    assert_eq!(stock(store).await, stock_before, "a dry run changes nothing");
    let replay = make(store, Pace::default()).await;
    let now = ended(store, &replay).await;
    assert_eq!(now.selected, said.letters.len() as u64);
    assert_eq!((now.failed, now.gone), (said.rejected() as u64, 0));
    for forecast in &said.letters {
        let found = store.dead_letter(forecast.letter.message_id).await.unwrap();
        let found = found.map(|letter| (letter.generation(), letter.rejection));
        match (&forecast.would_be, found) {
            (WouldBe::Settled(Settled { outcome, reason }), None) => {
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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_says_of_letters_of_every_kind_what_becomes_of_them() {
    let (first, rounds) = (seed(), if is_long() { 200 } else { 4 });
    for round in 0..rounds {
        check(first.wrapping_add(round)).await;
    }
}
