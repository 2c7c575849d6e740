//! The names that the catalogue gives to stock items.

use std::sync::Arc;

use storekeeper::domain::Version;
use storekeeper::store::{Commit, EntityState, Store};

use super::Harness;
use super::given::{
    ALL, Given, catalogue, hold, item, keys, order, receipt, revision, site, version, write,
};

/// The name of each item of a list; the item by itself must say the same.
async fn names(store: &Arc<dyn Store>) -> Vec<(String, Option<String>)> {
    let mut names = Vec::new();
    for listed in store.stock(&site("alpha"), None, &ALL).await.unwrap().items {
        let key_name = listed.key.to_string();
        assert_eq!(item(store, "alpha", &key_name).await.item, listed);
        names.push((key_name, listed.name));
    }
    names
}

fn named(names: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
    let name = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    names.iter().map(|(key, text)| ((*key).to_owned(), name(text))).collect()
}

async fn replace(store: &Arc<dyn Store>, commit: Commit) {
    let loaded = revision(store, &commit.entity).await;
    write(store, commit.on(loaded)).await;
}

pub(super) async fn items_are_shown_with_the_names_of_their_entries(harness: &Harness) {
    let store = harness.open();
    let shirt = ["product:P", "sku:S", "variation:V"];
    write(&store, catalogue("alpha", "product:P", "Shirt", &shirt)).await;
    write(&store, catalogue("beta", "product:P", "Other", &["product:P", "line:1"])).await;
    for key_name in ["product:P", "sku:S", "variation:V", "line:1"] {
        write(&store, receipt("alpha", key_name, "R", 1)).await;
    }
    let expected =
        [("line:1", ""), ("product:P", "Shirt"), ("sku:S", "Shirt"), ("variation:V", "Shirt")];
    assert_eq!(names(&store).await, named(&expected));
    let entries = store.catalogue(&site("alpha"), &ALL).await.unwrap().items;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].entry.description.name.as_deref(), Some("Shirt"));
}

pub(super) async fn names_follow_the_catalogue(harness: &Harness) {
    let store = harness.open();
    write(&store, receipt("alpha", "sku:S", "R", 1)).await;
    write(&store, receipt("alpha", "sku:T", "R", 1)).await;
    write(&store, catalogue("alpha", "product:P", "Shirt", &["sku:S"])).await;
    assert_eq!(names(&store).await, named(&[("sku:S", "Shirt"), ("sku:T", "")]));
    replace(&store, catalogue("alpha", "product:P", "Blouse", &["sku:S", "sku:T"])).await;
    assert_eq!(names(&store).await, named(&[("sku:S", "Blouse"), ("sku:T", "Blouse")]));
    replace(&store, catalogue("alpha", "product:P", "Blouse", &["sku:T"])).await;
    assert_eq!(names(&store).await, named(&[("sku:S", ""), ("sku:T", "Blouse")]));
    let stale = catalogue("alpha", "product:P", "Never", &["sku:S"]);
    store.commit(vec![stale]).await.unwrap();
    assert_eq!(names(&store).await, named(&[("sku:S", ""), ("sku:T", "Blouse")]));
}

pub(super) async fn a_prefix_of_a_name_finds_its_item_in_any_case(harness: &Harness) {
    let store = harness.open();
    for (key_name, name) in [("sku:1", "Écharpe bleue"), ("sku:2", "éclair"), ("sku:3", "%_ off")]
    {
        write(&store, receipt("alpha", key_name, "R", 1)).await;
        let id = format!("product:{name}");
        write(&store, catalogue("alpha", &id, name, &[key_name])).await;
    }
    for (prefix, expected) in [
        ("ÉC", &["sku:1", "sku:2"][..]),
        ("écharpe B", &["sku:1"]),
        ("bleue", &[]),
        ("%", &["sku:3"]),
        ("%_", &["sku:3"]),
        ("_", &[]),
        ("e", &[]),
    ] {
        assert_eq!(keys(&store, "alpha", Some(prefix)).await, expected, "{prefix}");
    }
    write(&store, order("alpha", "id:1").holding("sku:9", hold(0, 0), hold(1, 0))).await;
    assert_eq!(keys(&store, "alpha", Some("SKU")).await, Vec::<String>::new());
}

pub(super) async fn the_name_of_a_deleted_entry_gives_way(harness: &Harness) {
    let store = harness.open();
    write(&store, receipt("alpha", "sku:S", "R", 1)).await;
    let mut old = catalogue("alpha", "product:1", "Old", &["sku:S"]);
    write(&store, old.clone()).await;
    let EntityState::Catalogue(entry) = &mut old.state else { unreachable!() };
    entry.deleted = Some(Version { event_timestamp: i64::MAX, ..version(1) });
    replace(&store, old).await;
    assert_eq!(names(&store).await, named(&[("sku:S", "Old")]));
    write(&store, catalogue("alpha", "product:2", "New", &["sku:S"])).await;
    assert_eq!(names(&store).await, named(&[("sku:S", "New")]));
    assert_eq!(keys(&store, "alpha", Some("new")).await, ["sku:S"]);
    assert_eq!(keys(&store, "alpha", Some("old")).await, Vec::<String>::new());
}
