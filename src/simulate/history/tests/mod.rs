//! Tests that a history is deterministic, and that one of usual size contains everything.

mod traps;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use super::*;
use crate::simulate::model::{Model, ModelPolicy, Verdict};

/// The time at which the model receives all bodies of a history.
const RECEIVED_MS: i64 = FIRST_DAY_MS + 400 * DAY_MS;

fn history(seed: u64, orders: u32) -> History {
    History::write(HistoryOptions { seed, orders, duplicates_per_mille: 250 })
}

/// Two thousand orders, and the model's verdict on each delivery.
static OBSERVED: LazyLock<(History, Vec<Verdict>, Model)> = LazyLock::new(|| {
    let history = history(7, 2000);
    let mut model = Model::new(ModelPolicy::default());
    let observed = history.deliveries.iter();
    let verdicts = observed.map(|delivery| model.observe(&delivery.body, RECEIVED_MS)).collect();
    (history, verdicts, model)
});

fn hash(history: &History) -> String {
    let mut hash = Sha256::new();
    for delivery in &history.deliveries {
        hash.update((delivery.body.len() as u64).to_le_bytes());
        hash.update(&delivery.body);
    }
    let hex = |byte: &u8| {
        [byte / 16, byte % 16].map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
    };
    hash.finalize().iter().flat_map(hex).collect()
}

#[test]
fn a_seed_names_one_history_on_every_platform() {
    assert_eq!(hash(&history(1, 20)), hash(&history(1, 20)));
    assert_ne!(hash(&history(1, 20)), hash(&history(2, 20)));
    insta::assert_snapshot!(hash(&history(1, 20)), @"6906a451c9f34221001de9d203e0008d74688e1d38e06c45ba33a1d23174a37a");
}

#[test]
fn a_longer_history_has_all_events_of_a_shorter_one() {
    let bodies = |history: History| -> BTreeSet<Bytes> {
        history.deliveries.into_iter().map(|delivery| delivery.body).collect()
    };
    let (short, long) = (bodies(history(3, 50)), bodies(history(3, 80)));
    assert!(short.is_subset(&long));
    assert!(short.len() < long.len());
}

#[test]
fn every_body_means_what_its_kind_says() {
    let (history, verdicts, model) = &*OBSERVED;
    for (delivery, verdict) in history.deliveries.iter().zip(verdicts) {
        let is_right = match delivery.kind {
            Kind::Malformed(code) => *verdict == Verdict::DeadLetter(code),
            Kind::Unknown => *verdict == Verdict::Ignored,
            // A deletion is a tombstone, and counts.
            Kind::Notice => match verdict {
                Verdict::Counted { order, .. } => order.starts_with("store-order:"),
                Verdict::Notice => true,
                Verdict::Catalogue | Verdict::Ignored | Verdict::DeadLetter(_) => false,
            },
            Kind::Product | Kind::Category => *verdict == Verdict::Catalogue,
            Kind::OrderCreated
            | Kind::OrderUpdated
            | Kind::OrderStatusUpdated
            | Kind::OrderCancelled
            | Kind::OrderDeleted
            | Kind::Refund => matches!(verdict, Verdict::Counted { .. }),
        };
        let text = String::from_utf8_lossy(&delivery.body);
        assert!(is_right, "{verdict:?} for {:?}: {text}", delivery.kind);
    }
    let lists = model.lists();
    let of_store = lists.keys().filter(|(_, order)| order.starts_with("store-")).count();
    // The order under the contested name adds one to the orders that were written.
    assert_eq!(model.orders_observed(), 2000 + of_store + 1);
    assert_eq!(lists.len(), model.orders_observed());
    assert_eq!(model.ambiguous_orders(), []);
}

#[test]
fn no_fingerprint_decides_what_a_history_leads_to() {
    for seed in 0..12 {
        let mut model = Model::new(ModelPolicy::default());
        for delivery in history(seed, 60).deliveries {
            model.observe(&delivery.body, RECEIVED_MS);
        }
        assert_eq!(model.ambiguous_orders(), [], "seed {seed}");
    }
}

#[test]
fn two_thousand_orders_have_every_variant() {
    let (history, ..) = &*OBSERVED;
    let counts = history.counts();
    for label in [
        "order created",
        "order updated",
        "order status updated",
        "order cancelled",
        "order deleted",
        "refund created",
        "product",
        "category",
        "third-party notice",
        "unknown event",
        "malformed body",
    ] {
        assert!(counts.get(label).is_some_and(|count| *count > 7), "{label}: {counts:?}");
    }
    assert!(history.duplicates() * 10 > history.deliveries.len() as u64, "duplicates");
    assert!(history.reordered * 20 > history.deliveries.len() as u64, "reordered");
    let malformed = history.malformed() * 1000 / history.deliveries.len() as u64;
    assert!((5..25).contains(&malformed), "{malformed} of a thousand are malformed");
    let codes: BTreeSet<&str> = history.deliveries.iter().filter_map(|d| d.kind.code()).collect();
    assert_eq!(codes.len(), 16, "{codes:?}");

    let texts = || {
        let sound = history.deliveries.iter().filter(|delivery| delivery.kind.code().is_none());
        sound.map(|delivery| str::from_utf8(&delivery.body).unwrap())
    };
    for part in [
        "CANCELED",
        "cancelled",
        "shipped",
        "INCOMPLETE",
        "00000000000004",
        "+02:00",
        "\u{a0}\\t",
        "\"TEST\"",
        "\"mode\"",
        "\"quantity\":\"",
        "\"quantity\": \"",
        "e-2",
        ".25",
        ".00",
        "\n\t\t\"",
        "楽",
        "\u{feff}",
        "DISPATCHED",
        "SHIPPED",
        "DELIVERED",
        "DISPUTED",
        "PENDING",
        "IN_PROGRESS",
        "AWAITING_PICKUP",
        "\"id\":\"refund_",
        "\"source\":\"EXTERNAL\"",
        "\"metadata\":\"gift\"",
        "\"metadata\":{}",
        "\"unit_price\":\"",
        "1e999",
        "-DRAFT",
        "\"refunds\":[{}]",
        "\"sku\":\"\"",
    ] {
        let count = texts().filter(|text| text.contains(part)).take(4).count();
        assert_eq!(count, 4, "{part:?}");
    }
    assert!(texts().any(|text| !text.contains("\"mode\"") && text.contains("ORDER_CREATED")));
    assert!(texts().any(|text| text.ends_with("\r\n")));
}

#[test]
fn two_thousand_orders_have_every_name_and_order_of_arrival() {
    let (history, verdicts, model) = &*OBSERVED;
    let mut kinds = BTreeSet::new();
    let (mut seen, mut first_was_deletion, mut first_was_refund) = (BTreeSet::new(), 0, 0);
    let mut moments: BTreeMap<(String, String), BTreeSet<Bytes>> = BTreeMap::new();
    for (delivery, verdict) in history.deliveries.iter().zip(verdicts) {
        let Verdict::Counted { order, .. } = verdict else { continue };
        kinds.insert(order.split_once(':').unwrap().0.to_owned());
        if seen.insert(order.clone()) {
            first_was_deletion += u32::from(delivery.kind == Kind::OrderDeleted);
            first_was_refund += u32::from(delivery.kind == Kind::Refund);
        }
        let text = String::from_utf8_lossy(&delivery.body);
        let (_, at) = text.split_once("\"event_timestamp\":").unwrap();
        let at = at.trim_start().chars().take(13).collect();
        moments.entry((order.clone(), at)).or_default().insert(delivery.body.clone());
    }
    let names = ["external-id", "id", "invoice-number", "store-order"];
    assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), names);
    assert!(
        first_was_deletion > 3 && first_was_refund > 0,
        "{first_was_deletion} {first_was_refund}"
    );
    let ties = moments.values().filter(|said| said.len() > 1).count();
    assert!(ties > 100, "{ties} orders say two things in one millisecond");

    let words: BTreeSet<String> = model
        .stock()
        .into_keys()
        .map(|item| item.key.split_once(':').unwrap().0.to_owned())
        .collect();
    let expected =
        ["external-product", "external-variation", "line", "product", "sku", "variation"];
    assert_eq!(words.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    let sum = |counts: fn(&crate::simulate::model::Counts) -> Decimal| {
        model.stock().values().map(counts).sum::<Decimal>()
    };
    assert!(sum(|counts| counts.committed) > Decimal::ONE_HUNDRED);
    assert!(sum(|counts| counts.fulfilled) > Decimal::ONE_HUNDRED);
}

#[test]
fn orders_are_of_the_size_of_real_ones() {
    let history = history(5, 200);
    let orders = history.deliveries.iter().filter(|d| d.kind == Kind::OrderCreated);
    let sizes: Vec<usize> = orders.map(|delivery| delivery.body.len()).collect();
    let mean = sizes.iter().sum::<usize>() / sizes.len();
    assert!((2000..4500).contains(&mean), "{mean} bytes");
}

#[test]
fn opening_stock_leaves_most_items_in_stock_and_a_few_oversold() {
    let (history, _, model) = &*OBSERVED;
    let stock = model.stock();
    let (mut in_stock, mut oversold) = (0, 0);
    for opening in history.opening_stock() {
        let held = stock.get(&opening.item).copied().unwrap_or_default();
        if opening.quantity < held.committed + held.fulfilled {
            oversold += 1;
        } else {
            in_stock += 1;
        }
    }
    assert!(oversold > 0 && in_stock > oversold * 5, "{in_stock} {oversold}");
    let named: BTreeSet<_> = history.opening_stock().iter().map(|opening| &opening.item).collect();
    let unnamed: Vec<_> = stock
        .keys()
        .filter(|item| !item.key.starts_with("line:") && !named.contains(item))
        .collect();
    assert_eq!(unnamed.len(), 0, "{unnamed:?}");
}
