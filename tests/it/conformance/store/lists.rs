//! Lists: names stay apart, prefixes are literal, pages cover everything once.

use std::collections::BTreeMap;
use std::sync::Arc;

use storekeeper::domain::{Cause, Site};
use storekeeper::store::{Asked, PageRequest, Store};

use super::Harness;
use super::given::{
    Given, catalogue, counts, hold, identifier, item, key, keys, link, order, order_entity,
    order_id, receipt, site, write,
};

/// Names that end a key, join two parts, are wildcards, or are as long as may be.
pub(super) fn hostile_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "x}:holds:foo{",
        "a|b",
        "a",
        "a.b",
        "a:b",
        "a/b",
        "a*b",
        "A",
        "%",
        "_",
        "__",
        "é",
        "'; --",
        "\\",
    ]
    .map(str::to_owned)
    .into();
    names.push("\u{1f600}".repeat(64));
    names.push("\u{10ffff}".to_owned());
    names
}

pub(super) async fn hostile_names_stay_apart(harness: &Harness) {
    let store = harness.open();
    let names = hostile_names();
    for (number, name) in (1..).zip(&names) {
        let product = format!("product:{name}");
        write(&store, receipt(name, &product, name, 1_000)).await;
        let (id, second) = (format!("id:{name}"), format!("external-id:{name}"));
        let commit = order(name, &id).linking(&second, None, Some(link(&[&id])));
        write(&store, commit.holding(&product, hold(0, 0), hold(number, 0))).await;
    }
    for (number, name) in (1..).zip(&names) {
        let product = format!("product:{name}");
        assert_eq!(keys(&store, name, None).await, [product.as_str()]);
        let detail = item(&store, name, &product).await;
        assert_eq!(detail.item.counts, counts(1_000, number, 0), "{name}");
        assert_eq!(detail.holds.items[0].order, order_id(&format!("id:{name}")));
        let feed = store.changes(&site(name), 0, 10).await.unwrap();
        let causes: Vec<_> = feed.into_iter().map(|change| change.cause).collect();
        let by_order = Cause::Order(order_id(&format!("id:{name}")));
        assert_eq!(causes, [Cause::Receipt(identifier(name)), by_order], "{name}");
        let asked = Asked {
            entities: vec![order_entity(name, &format!("id:{name}"))],
            links: vec![(site(name), order_id(&format!("external-id:{name}")))],
        };
        let found = store.load(&asked).await.unwrap();
        assert!(found.entities[0].is_some());
        assert_eq!(found.links, [Some(link(&[&format!("id:{name}")]))]);
        let audited = store.audit_orders(&site(name), &[order_id(&format!("id:{name}"))]).await;
        assert_eq!(audited.unwrap()[0].held, [(key(&product), hold(number, 0))].into());
    }
    let mut sorted = names;
    sorted.sort();
    let sites = store.sites().await.unwrap();
    assert!(sites.iter().map(Site::as_str).eq(sorted.iter().map(String::as_str)));
}

pub(super) async fn a_prefix_is_taken_literally(harness: &Harness) {
    let store = harness.open();
    let names = hostile_names();
    for name in &names {
        write(&store, receipt("alpha", &format!("product:{name}"), "R", 1)).await;
    }
    for name in names.iter().map(String::as_str).chain(["", "a", "no such", "%a", "a_"]) {
        let prefix = format!("product:{name}");
        let mut expected: Vec<_> = names
            .iter()
            .map(|name| format!("product:{name}"))
            .filter(|key| key.starts_with(&prefix))
            .collect();
        expected.sort();
        assert_eq!(keys(&store, "alpha", Some(&prefix)).await, expected, "{prefix}");
    }
    assert_eq!(keys(&store, "alpha", Some("Product:a")).await, Vec::<String>::new());
    assert_eq!(keys(&store, "alpha", Some("")).await.len(), names.len());
}

/// Follows the cursors of a list with pages of every size, and compares with what is there.
macro_rules! assert_pages {
    ($expected:expr, |$page:ident| $list:expr, |$item:ident| $name:expr) => {
        let expected: Vec<String> = $expected;
        for limit in 1..=expected.len() + 1 {
            let mut found = Vec::new();
            let mut $page = PageRequest::first(limit);
            loop {
                let part = $list;
                assert!(part.items.len() <= limit);
                found.extend(part.items.iter().map(|$item| $name));
                let Some(next) = part.next else { break };
                assert_eq!(part.items.len(), limit);
                assert!(found.len() < expected.len(), "a page follows the last item");
                $page = PageRequest { after: Some(next), limit };
            }
            assert_eq!(found, expected, "in pages of {limit}");
        }
    };
}
pub(super) use assert_pages;

fn numbered(kind: &str) -> Vec<String> {
    (10..17).map(|number| format!("{kind}:{number}")).collect()
}

/// A site whose neighbours must stay out of every list.
async fn fill(store: &Arc<dyn Store>) {
    for site_name in ["alph", "alpha", "alphabet"] {
        for key_name in numbered("sku") {
            write(store, receipt(site_name, &key_name, "R", 1)).await;
        }
        for id in numbered("id") {
            write(store, order(site_name, &id).holding("sku:13", hold(0, 0), hold(1, 0))).await;
        }
        for id in numbered("product") {
            write(store, catalogue(site_name, &id, &id, &[])).await;
        }
    }
}

pub(super) async fn every_item_is_on_exactly_one_page(harness: &Harness) {
    let store = harness.open();
    fill(&store).await;
    let site = site("alpha");
    assert_pages!(numbered("sku"), |page| store.stock(&site, None, &page).await.unwrap(), |item| {
        item.key.to_string()
    });
}

pub(super) async fn every_hold_is_on_exactly_one_page(harness: &Harness) {
    let store = harness.open();
    fill(&store).await;
    let (site, key) = (site("alpha"), key("sku:13"));
    assert_pages!(
        numbered("id"),
        |page| store.stock_item(&site, &key, &page).await.unwrap().unwrap().holds,
        |held| held.order.to_string()
    );
}

pub(super) async fn every_catalogue_entry_is_on_exactly_one_page(harness: &Harness) {
    let store = harness.open();
    fill(&store).await;
    let site = site("alpha");
    assert_pages!(
        numbered("product"),
        |page| store.catalogue(&site, &page).await.unwrap(),
        |item| item.id.to_string()
    );
}

/// Half of the items have the prefix in their key, half in their name, one in both.
pub(super) async fn every_item_of_a_prefix_is_on_exactly_one_page(harness: &Harness) {
    let store = harness.open();
    fill(&store).await;
    write(&store, receipt("alpha", "sku:1", "R", 1)).await;
    for key_name in ["line:1", "line:2", "variation:1"] {
        write(&store, receipt("alpha", key_name, "R", 1)).await;
    }
    let named = ["line:0 not counted", "line:1", "sku:11", "variation:1"];
    write(&store, catalogue("alpha", "product:1", "SKU:1 of the shop", &named)).await;
    let mut expected = numbered("sku");
    expected.extend(["line:1", "sku:1", "variation:1"].map(str::to_owned));
    expected.sort();
    let site = site("alpha");
    assert_pages!(
        expected,
        |page| store.stock(&site, Some("sku:1"), &page).await.unwrap(),
        |item| item.key.to_string()
    );
}

/// Names of all kinds, among them those that could be taken for another or for a part of a key.
pub(super) async fn every_link_is_on_exactly_one_page(harness: &Harness) {
    let store = harness.open();
    let mut expected = Vec::new();
    for kind in ["external-id", "store-order-id", "invoice-number"] {
        expected.extend(hostile_names().iter().map(|name| format!("{kind}:{name}")));
    }
    expected.extend((10..17).map(|number| format!("external-id:{number}")));
    expected.sort();
    for site_name in ["alph", "alpha", "alphabet"] {
        let first = order(site_name, "id:1");
        let commit = expected.iter().fold(first, |commit, name| {
            let contested = link(&["id:1", "id:{2}:~"]);
            commit.linking(
                name,
                None,
                Some(if name.len() > 20 { contested } else { link(&["id:1"]) }),
            )
        });
        write(&store, commit).await;
    }
    let site = site("alpha");
    for limit in [1, 3, 1000] {
        let mut all = BTreeMap::new();
        let mut page = PageRequest::first(limit);
        loop {
            let found = store.links(&site, &page).await.unwrap();
            all.extend(found.items.into_iter().map(|(name, link)| (name.to_string(), link)));
            let Some(next) = found.next else { break };
            page.after = Some(next);
        }
        assert!(all.keys().eq(&expected), "{limit}");
        assert!(all.iter().all(|(name, link)| link.is_contested() == (name.len() > 20)));
    }
}
