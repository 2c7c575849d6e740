//! What can be read of a Store, as JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use storekeeper::domain::{Counts, EntityName, EntityState, Hold, Site};
use storekeeper::store::{Change, DeadLetterFilter, EntityId, PageRequest, Store};

/// Everything: policy, orders, holds, stock, catalogue, receipts, change feed, dead letters.
pub(super) async fn seen(store: &dyn Store) -> Value {
    let policy = store.policy().await.unwrap().expect("a policy is in force");
    let mut sites = BTreeMap::new();
    for site in store.sites().await.unwrap() {
        sites.insert(site.to_string(), site_seen(store, &site).await);
    }
    json!({
        "policy": {"revision": policy.revision, "settings": policy.policy},
        "sites": sites,
        "dead_letters": letters(store).await,
    })
}

/// What does not depend on the order in which a worker took the same envelopes.
pub(super) fn unordered(mut seen: Value) -> Value {
    for site in seen["sites"].as_object_mut().unwrap().values_mut() {
        let site = site.as_object_mut().unwrap();
        site.remove("changes");
        for order in site["orders"].as_object_mut().unwrap().values_mut() {
            let order = order.as_object_mut().unwrap();
            order.remove("revision");
            order["state"].as_object_mut().unwrap().remove("timeline");
        }
        let stock = site["stock"].as_object_mut().unwrap();
        // What nothing is counted of is there only if something was for a moment.
        stock.retain(|_, item| *item != counts(&Counts::default()));
    }
    for letter in seen["dead_letters"].as_object_mut().unwrap().values_mut() {
        letter.as_object_mut().unwrap().remove("failed_at_us");
    }
    seen
}

async fn site_seen(store: &dyn Store, site: &Site) -> Value {
    let all = PageRequest::first(10_000);
    let mut orders = BTreeMap::new();
    for order in store.orders(site, &all).await.unwrap().items {
        let value = json!({
            "revision": order.revision.0,
            "state": order.state,
            "alias_conflict": order.alias_conflict,
        });
        orders.insert(order.order.to_string(), value);
    }
    let mut holds = BTreeMap::new();
    for found in store.audit_holds(site, &all).await.unwrap().items {
        assert_eq!(found.held, found.applied, "{found:?}");
        holds.insert(format!("{} of {}", found.order, found.key), hold(found.held));
    }
    let mut stock = BTreeMap::new();
    for item in store.stock(site, None, &all).await.unwrap().items {
        stock.insert(item.key.to_string(), counts(&item.counts));
    }
    let mut catalogue = BTreeMap::new();
    for found in store.catalogue(site, &all).await.unwrap().items {
        catalogue.insert(found.id.to_string(), json!(found.entry));
    }
    let feed = store.changes(site, 0, 10_000).await.unwrap();
    let mut receipts = BTreeMap::new();
    for change in &feed {
        if let EntityName::Receipt(receipt) = &change.cause {
            let entity = EntityId { site: site.clone(), name: change.cause.clone() };
            let loaded = store.load(&[entity]).await.unwrap().remove(0).unwrap();
            let EntityState::Receipt(state) = &loaded.state else { panic!("{loaded:?}") };
            receipts.insert(format!("{} of {}", receipt.reference, receipt.key), json!(state));
        }
    }
    json!({
        "orders": orders,
        "holds": holds,
        "stock": stock,
        "catalogue": catalogue,
        "receipts": receipts,
        "changes": feed.iter().map(change).collect::<Vec<_>>(),
    })
}

async fn letters(store: &dyn Store) -> Value {
    let all = PageRequest::first(10_000);
    let mut letters = BTreeMap::new();
    for found in store.dead_letters(&DeadLetterFilter::default(), &all).await.unwrap().items {
        let letter = store.dead_letter(found.id).await.unwrap().unwrap();
        let text = |body: &[u8]| String::from_utf8(body.to_vec()).unwrap();
        let value = json!({
            "generation": letter.generation(),
            "attempts": letter.attempts,
            "rejection": letter.rejection,
            "failed_at_us": letter.failed_at.micros(),
            "kind": letter.envelope.kind,
            "source": letter.envelope.source,
            "received_at_us": letter.envelope.received_at.micros(),
            "body": text(&letter.envelope.body),
            "original": letter.original.as_deref().map(text),
        });
        letters.insert(found.id.to_string(), value);
    }
    json!(letters)
}

fn counts(counts: &Counts) -> Value {
    let text = |quantity: storekeeper::domain::Quantity| quantity.to_string();
    json!({
        "received": text(counts.received),
        "committed": text(counts.committed),
        "fulfilled": text(counts.fulfilled),
    })
}

fn hold(hold: Hold) -> Value {
    json!({"committed": hold.committed.to_string(), "fulfilled": hold.fulfilled.to_string()})
}

fn change(change: &Change) -> Value {
    let cause = match &change.cause {
        EntityName::Order(order) => order.to_string(),
        EntityName::Catalogue(entry) => entry.to_string(),
        EntityName::Receipt(receipt) => receipt.reference.to_string(),
    };
    json!({
        "sequence": change.sequence,
        "epoch": change.epoch,
        "at_us": change.at.micros(),
        "key": change.key,
        "cause": cause,
        "message_id": change.message_id.to_string(),
        "delta": counts(&change.delta),
        "after": counts(&change.after),
    })
}
