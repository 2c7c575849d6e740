//! What stock items are called: by the catalogue, by lines of orders, and beside their keys.

use std::sync::Arc;

use storekeeper::domain::{ItemNames, StockKeyKind, Version};
use storekeeper::store::{Commit, Committed, EntityState, PageRequest, Store};

use super::Harness;
use super::given::{
    ALL, Given, catalogue, hold, identifier, item, key, keys, message, order, receipt, revision,
    site, time, version, write,
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
    let loaded = revision(store, &commit.entity()).await;
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
    let EntityState::Catalogue(entry) = old.state() else { unreachable!() };
    entry.deleted = Some(Version { event_timestamp: i64::MAX, ..version(1) });
    replace(&store, old).await;
    assert_eq!(names(&store).await, named(&[("sku:S", "Old")]));
    write(&store, catalogue("alpha", "product:2", "New", &["sku:S"])).await;
    assert_eq!(names(&store).await, named(&[("sku:S", "New")]));
    assert_eq!(keys(&store, "alpha", Some("new")).await, ["sku:S"]);
    assert_eq!(keys(&store, "alpha", Some("old")).await, Vec::<String>::new());
}

/// What a line of this version, counted up, calls an item.
pub(super) fn line_name(key_name: &str, number: i64, name: &str) -> ItemNames {
    let version = Version { event_timestamp: number, ..version(1) };
    ItemNames { key: key(key_name), line: Some((version, name.to_owned())), also: Vec::new() }
}

async fn name_items(store: &Arc<dyn Store>, names: Vec<ItemNames>) {
    name_items_of(store, "alpha", names).await;
}

async fn name_items_of(store: &Arc<dyn Store>, site_name: &str, names: Vec<ItemNames>) {
    let nothing = Commit::nothing(site(site_name), message(1), time(0));
    write(store, Commit { item_names: names, ..nothing }).await;
}

pub(super) async fn the_newest_name_of_a_line_is_shown_whatever_comes_first(harness: &Harness) {
    let store = harness.open();
    let lines = [(-1, "Oldest"), (9, "Newer"), (10, "Newest"), (10, "Newess"), (8, "Older")];
    // Each item is told them in another order; the last of all in one call, and twice.
    for turned in 0..lines.len() {
        let key_name = format!("sku:{turned}");
        write(&store, receipt("alpha", &key_name, "R", 1)).await;
        let mut told: Vec<_> =
            lines.iter().map(|(number, name)| line_name(&key_name, *number, name)).collect();
        told.rotate_left(turned);
        if turned == 4 {
            name_items(&store, [told.clone(), told].concat()).await;
            continue;
        }
        for name in told {
            name_items(&store, vec![name]).await;
        }
    }
    let store = harness.crash_and_reopen(store);
    assert!(names(&store).await.iter().all(|(_, name)| name.as_deref() == Some("Newest")));
    assert_eq!(keys(&store, "alpha", Some("newest")).await.len(), lines.len());
    for gone in ["oldest", "newer", "older", "newess"] {
        assert_eq!(keys(&store, "alpha", Some(gone)).await, Vec::<String>::new(), "{gone}");
    }
}

pub(super) async fn the_name_of_a_line_gives_way_to_the_catalogues(harness: &Harness) {
    let store = harness.open();
    for key_name in ["sku:1", "sku:2"] {
        write(&store, receipt("alpha", key_name, "R", 1)).await;
        name_items(&store, vec![line_name(key_name, 1, "Of a line")]).await;
    }
    // An item that nothing was counted of is in no list, whatever it is called.
    name_items(&store, vec![line_name("sku:3", 1, "Of a line")]).await;
    let other = vec![line_name("sku:1", 1, "Elsewhere")];
    name_items_of(&store, "beta", other).await;
    assert_eq!(keys(&store, "alpha", Some("OF A")).await, ["sku:1", "sku:2"]);
    write(&store, catalogue("alpha", "product:1", "Shirt", &["sku:1"])).await;
    assert_eq!(names(&store).await, named(&[("sku:1", "Shirt"), ("sku:2", "Of a line")]));
    assert_eq!(keys(&store, "alpha", Some("of a")).await, ["sku:2"]);
    // A newer line does not change that; the entry's going does.
    name_items(&store, vec![line_name("sku:1", 2, "Of a newer line")]).await;
    assert_eq!(names(&store).await[0].1.as_deref(), Some("Shirt"));
    replace(&store, catalogue("alpha", "product:1", "Shirt", &["sku:9"])).await;
    assert_eq!(names(&store).await[0].1.as_deref(), Some("Of a newer line"));
    assert_eq!(keys(&store, "alpha", Some("of a")).await, ["sku:1", "sku:2"]);
    assert_eq!(keys(&store, "alpha", Some("of a newer")).await, ["sku:1"]);
    assert_eq!(keys(&store, "alpha", Some("elsewhere")).await, Vec::<String>::new());
}

/// Lines say what shops write: separators of ours, quotes, nothing.
pub(super) async fn hostile_names_of_lines_stay_whole(harness: &Harness) {
    let store = harness.open();
    let hostile = ["a\nb", "a\nb\n", "'; --", "%_", "\u{1f600}", "\u{c9}t\u{e9}", " "];
    for (number, name) in (10..).zip(hostile) {
        let key_name = format!("sku:{number}");
        write(&store, receipt("alpha", &key_name, "R", 1)).await;
        name_items(&store, vec![line_name(&key_name, 1, "before"), line_name(&key_name, 2, name)])
            .await;
    }
    let shown = names(&store).await;
    assert!(shown.iter().map(|(_, name)| name.as_deref()).eq(hostile.map(Some)), "{shown:?}");
    for (prefix, expected) in [
        ("A\n", &["sku:10", "sku:11"][..]),
        ("a\nb\n", &["sku:11"]),
        ("\u{e9}T", &["sku:15"]),
        ("%", &["sku:13"]),
        ("before", &[]),
    ] {
        assert_eq!(keys(&store, "alpha", Some(prefix)).await, expected, "{prefix:?}");
    }
}

pub(super) async fn items_are_found_by_their_other_names(harness: &Harness) {
    let store = harness.open();
    let also = |key_name: &str, others: &[&str]| ItemNames {
        key: key(key_name),
        line: None,
        also: others.iter().map(|other| key(other)).collect(),
    };
    name_items(
        &store,
        vec![
            also("variation:V2", &["variation:V2", "sku:MUG", "product:MUG"]),
            also("variation:V1", &["sku:MUG", "external-product:E"]),
            also("product:P", &["sku:MUG RED", "product:P"]),
            also("line:1", &[]),
        ],
    )
    .await;
    name_items(&store, vec![also("sku:A", &["external-product:MUG"])]).await;
    name_items_of(&store, "beta", vec![also("sku:B", &["sku:MUG"])]).await;
    let store = harness.crash_and_reopen(store);
    let found = async |kind, name: &str, limit| {
        let name = identifier(name);
        let found = store.items_named(&site("alpha"), kind, &name, limit).await.unwrap();
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let sku = Some(StockKeyKind::Sku);
    assert_eq!(found(sku, "MUG", 9).await, ["variation:V1", "variation:V2"]);
    assert_eq!(found(None, "MUG", 9).await, ["sku:A", "variation:V1", "variation:V2"]);
    assert_eq!(found(None, "MUG", 2).await, ["sku:A", "variation:V1"]);
    assert_eq!(found(Some(StockKeyKind::Product), "P", 9).await, ["product:P"]);
    for (kind, name) in [(sku, "mug"), (sku, "MU"), (None, "1"), (sku, "P"), (None, "line:1")] {
        assert_eq!(found(kind, name, 9).await, Vec::<String>::new(), "{name}");
    }
}

/// A thousand lines may be of one item, each with names of its own.
pub(super) async fn an_item_may_have_thousands_of_other_names(harness: &Harness) {
    let store = harness.open();
    let also: Vec<String> = (0..5000).map(|number| format!("product:P{number}")).collect();
    let also: Vec<&str> = also.iter().map(String::as_str).collect();
    let ItemNames { key, line, .. } = line_name("sku:S", 1, "Mug");
    let many = also.iter().map(|other| super::given::key(other)).collect();
    name_items(&store, vec![ItemNames { key, line, also: many }]).await;
    for name in [also[0], also[999], also[1000], also[4999]] {
        let name = identifier(name.strip_prefix("product:").unwrap());
        let found = store.items_named(&site("alpha"), None, &name, 9).await.unwrap();
        assert_eq!(found, [super::given::key("sku:S")], "{name}");
    }
}

/// What a line says counts with its commit; an older line adds the names that it knows all the same.
pub(super) async fn names_are_written_with_their_commit_or_not_at_all(harness: &Harness) {
    let store = harness.open();
    write(&store, receipt("alpha", "sku:S", "R", 1)).await;
    let named = |number, name: &str, others: &[&str]| {
        let also = others.iter().map(|other| key(other)).collect();
        vec![ItemNames { also, ..line_name("sku:S", number, name) }]
    };
    let refused = receipt("alpha", "sku:S", "R", 2);
    let refused = Commit { item_names: named(9, "Never", &["product:NEVER"]), ..refused };
    assert_eq!(store.commit(vec![refused]).await.unwrap(), [Committed::Conflict]);
    name_items(&store, named(2, "Mug", &["product:P"])).await;
    name_items(&store, named(1, "Cup", &["product:P", "variation:V"])).await;
    name_items(&store, named(3, "Mug", &["product:P"])).await;
    name_items(&store, named(4, "Mug", &["product:P", "external-product:E"])).await;
    let store = harness.crash_and_reopen(store);
    assert_eq!(item(&store, "alpha", "sku:S").await.item.name.as_deref(), Some("Mug"));
    assert_eq!(keys(&store, "alpha", Some("mug")).await, ["sku:S"]);
    for (name, is_found) in
        [("S", true), ("P", true), ("V", true), ("E", true), ("NEVER", false), ("Never", false)]
    {
        let found = store.items_named(&site("alpha"), None, &identifier(name), 9).await.unwrap();
        assert_eq!(found.len(), usize::from(is_found), "{name}");
    }
    for gone in ["cup", "never"] {
        assert_eq!(keys(&store, "alpha", Some(gone)).await, Vec::<String>::new(), "{gone}");
    }
}

/// Some items have the prefix in a line's name, some in the catalogue's, some in their key.
pub(super) async fn every_item_with_a_lines_name_is_on_exactly_one_page(harness: &Harness) {
    let store = harness.open();
    let all: Vec<String> = (10..18).map(|number| format!("sku:{number}")).collect();
    for key_name in &all {
        write(&store, receipt("alpha", key_name, "R", 1)).await;
        name_items(&store, vec![line_name(key_name, 1, "SKU:1 of a line")]).await;
    }
    write(&store, receipt("alpha", "line:1", "R", 1)).await;
    name_items(&store, vec![line_name("line:1", 1, "sku:1, too")]).await;
    write(&store, catalogue("alpha", "product:1", "Sku:11 of the shop", &["sku:12", "sku:13"]))
        .await;
    let mut expected = vec!["line:1".to_owned()];
    expected.extend(all);
    let site = site("alpha");
    super::lists::assert_pages!(
        expected,
        |page| store.stock(&site, Some("sku:1"), &page).await.unwrap(),
        |item| item.key.to_string()
    );
}
