//! What can be read of a Store, as JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use storekeeper::domain::{Cause, Counts, Hold, Identifier, List, ReceiptId, Site, StockKey};
use storekeeper::requests::receipts;
use storekeeper::store::{Change, DeadLetterFilter, Direction, PageRequest, Store};

use super::given::{KEY, RECEIPTS};

/// Everything: policy, records, links, lists, holds, stock, catalogue, receipts, change feed, dead
/// letters.
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

/// What stays true whatever the rules note beside it: the stock, and why letters are parked.
pub(super) async fn pinned(store: &dyn Store) -> Value {
    let all = PageRequest::first(10_000);
    let mut stock = BTreeMap::new();
    for site in store.sites().await.unwrap() {
        let items = store.stock(&site, None, &all).await.unwrap().items.into_iter();
        let counted = items.filter(|item| item.counts != Counts::default());
        let items: BTreeMap<_, _> =
            counted.map(|item| (item.key.to_string(), counts(&item.counts))).collect();
        if !items.is_empty() {
            stock.insert(site.to_string(), items);
        }
    }
    let page = store.dead_letters(&DeadLetterFilter::default(), &all).await.unwrap();
    let letters: BTreeMap<_, _> =
        page.items.iter().map(|it| (it.id.to_string(), it.rejection.code.as_str())).collect();
    json!({"stock": stock, "dead_letters": letters})
}

/// What does not depend on the order in which a worker took the same envelopes.
pub(super) fn unordered(mut seen: Value) -> Value {
    for site in seen["sites"].as_object_mut().unwrap().values_mut() {
        let site = site.as_object_mut().unwrap();
        site.remove("changes");
        for order in site["records"].as_object_mut().unwrap().values_mut() {
            let order = order.as_object_mut().unwrap();
            order.remove("revision");
            order["record"].as_object_mut().unwrap().remove("timeline");
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
    let mut links = BTreeMap::new();
    for (name, link) in store.links(site, &all).await.unwrap().items {
        links.insert(name.to_string(), link.to_text());
    }
    let mut lists = BTreeMap::new();
    let mut names = Vec::new();
    for list in List::ALL {
        let page = store.listed(site, list, Direction::OldestFirst, &all).await.unwrap();
        let mut listed: Vec<_> = page.items.into_iter().map(|listed| listed.order).collect();
        listed.sort();
        lists.insert(list.as_str(), listed.iter().map(ToString::to_string).collect::<Vec<_>>());
        names.extend(listed);
    }
    // A second name has a record of its own, also where it leads to an order.
    let second = store.links(site, &all).await.unwrap().items;
    names
        .extend(second.into_iter().map(|(name, _)| name).filter(|name| name.kind.is_second_name()));
    names.sort();
    names.dedup();
    let mut records = BTreeMap::new();
    for found in store.audit_orders(site, &names).await.unwrap() {
        let value = json!({"revision": found.revision.0, "record": found.record});
        records.insert(found.order.to_string(), value);
    }
    let mut holds = BTreeMap::new();
    for found in store.audit_holds(site, &all).await.unwrap().items {
        assert_eq!(Some(found.held), found.applied, "{found:?}");
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
    let mut given = BTreeMap::new();
    for reference in RECEIPTS {
        let (key, reference) = (StockKey::parse(KEY), Identifier::parse(reference));
        let receipt = ReceiptId { key: key.unwrap(), reference: reference.unwrap() };
        if let Some(found) = receipts::read(store, site, &receipt).await.unwrap() {
            given.insert(receipt.reference.to_string(), json!(found));
        }
    }
    json!({
        "records": records,
        "links": links,
        "lists": lists,
        "holds": holds,
        "stock": stock,
        "catalogue": catalogue,
        "receipts": given,
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
        Cause::Order(order) => order.to_string(),
        Cause::Receipt(name) | Cause::Repair(name) => name.to_string(),
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
