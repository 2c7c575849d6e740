//! Links: what was seen beside second names and invoice numbers. A commit stands on those that it
//! read as it stands on entities.

use std::sync::Arc;

use storekeeper::domain::{Link, List};
use storekeeper::store::{Asked, Committed, Store};

use super::Harness;
use super::given::{
    Given, closing, counts, hold, item, keys, link, links, load, order, order_entity, order_id,
    revision, site, time, try_write, write,
};

const E: &str = "external-id:E";

/// A link that led to an order that was closed since.
fn led_to_closed(ids: &[&str]) -> Link {
    Link { led_to_closed: true, ..link(ids) }
}

pub(super) async fn links_are_read_in_the_order_asked_for(harness: &Harness) {
    let store = harness.open();
    let commit = order("alpha", "id:1").linking(E, None, Some(link(&["id:1"])));
    write(&store, commit.linking("store-order-id:9/x", None, Some(link(&["id:2"])))).await;
    write(&store, order("beta", "id:3").linking(E, None, Some(link(&["id:3"])))).await;
    let store = harness.crash_and_reopen(store);
    let asked = Asked {
        entities: vec![order_entity("beta", "id:3"), order_entity("beta", "id:1")],
        links: [("beta", E), ("alpha", "store-order-id:9/x"), ("gamma", E), ("alpha", E)]
            .into_iter()
            .chain([("alpha", "external-id:e"), ("beta", E), ("alpha", "invoice-number:E")])
            .map(|(site_name, name)| (site(site_name), order_id(name)))
            .collect(),
    };
    let found = store.load(&asked).await.unwrap();
    let [one, two, three] = ["id:1", "id:2", "id:3"].map(|id| Some(link(&[id])));
    assert_eq!(found.links, [three.clone(), two, None, one, None, three, None]);
    assert!(found.entities[0].is_some() && found.entities[1].is_none());
    let nothing = store.load(&Asked::default()).await.unwrap();
    assert!(nothing.entities.is_empty() && nothing.links.is_empty());
}

/// Absent ones too, and those that it leaves as they are.
pub(super) async fn a_commit_compares_the_links_that_it_read(harness: &Harness) {
    let store = harness.open();
    let known = [
        (E, Some(link(&["id:1"]))),
        ("external-id:F", Some(link(&["id:1", "id:2"]))),
        ("external-id:G", Some(led_to_closed(&[]))),
        ("external-id:H", None),
    ];
    let first = order("alpha", "id:1");
    let first = known
        .iter()
        .filter(|(_, link)| link.is_some())
        .fold(first, |commit, (name, it)| commit.linking(name, None, it.clone()));
    write(&store, first).await;
    let others = [
        None,
        Some(link(&["id:1"])),
        Some(link(&["id:2"])),
        Some(link(&["id:1", "id:2"])),
        Some(led_to_closed(&[])),
        Some(led_to_closed(&["id:1"])),
    ];
    for (name, there) in &known {
        for read in &others {
            for is_written in [false, true] {
                let mut commit = order("alpha", "id:2").holding("sku:A", hold(0, 0), hold(1, 0));
                commit.links_read.push((order_id(name), read.clone()));
                if is_written {
                    commit.links.push((order_id(name), Some(link(&["id:7"]))));
                }
                if read == there {
                    continue;
                }
                let committed = try_write(&store, commit).await;
                assert_eq!(committed, Committed::Conflict, "{name}: {read:?}");
            }
        }
        assert_eq!(links(&store, &[name]).await, std::slice::from_ref(there));
    }
    assert_eq!(load(&store, &[order_entity("alpha", "id:2")]).await.unwrap(), [None]);
    assert_eq!(keys(&store, "alpha", None).await, Vec::<String>::new());
    assert_eq!(store.changes(&site("alpha"), 0, 9).await.unwrap(), []);
    assert_eq!(store.count_listed(List::All).await.unwrap(), 1);
    // All as they are: read only, and written.
    let mut right = order("alpha", "id:2").holding("sku:A", hold(0, 0), hold(1, 0));
    right.links_read.extend(known.iter().map(|(name, link)| (order_id(name), link.clone())));
    right.links.push((order_id("external-id:H"), Some(link(&["id:2"]))));
    write(&store, right).await;
    let names = known.each_ref().map(|(name, _)| *name);
    let [e, f, g, _] = known.map(|(_, link)| link);
    assert_eq!(links(&store, &names).await, [e, f, g, Some(link(&["id:2"]))]);
    assert_eq!(item(&store, "alpha", "sku:A").await.item.counts, counts(0, 1, 0));
}

/// One link of many is enough.
pub(super) async fn every_link_that_was_read_is_compared(harness: &Harness) {
    let store = harness.open();
    let names: Vec<String> = (0..9).map(|number| format!("external-id:{number}")).collect();
    for wrong in 0..names.len() {
        let mut commit = order("alpha", "id:1");
        commit.links_read.extend(names.iter().map(|name| (order_id(name), None)));
        commit.links_read[wrong].1 = Some(link(&["id:1"]));
        assert_eq!(try_write(&store, commit).await, Committed::Conflict, "{wrong}");
    }
}

pub(super) async fn a_link_that_is_removed_is_absent(harness: &Harness) {
    let store = harness.open();
    let first = Some(link(&["id:1"]));
    write(&store, order("alpha", "id:1").linking(E, None, first.clone())).await;
    let loaded = revision(&store, &order_entity("alpha", "id:1")).await;
    write(&store, order("alpha", "id:1").on(loaded).linking(E, first.clone(), None)).await;
    assert_eq!(links(&store, &[E]).await, [None]);
    let late = order("alpha", "id:2").linking(E, first, Some(link(&["id:2"])));
    assert_eq!(try_write(&store, late).await, Committed::Conflict);
    write(&store, order("alpha", "id:2").linking(E, None, Some(link(&["id:2"])))).await;
    let store = harness.crash_and_reopen(store);
    assert_eq!(links(&store, &[E]).await, [Some(link(&["id:2"]))]);
}

/// What was seen beside a name, and that it led to a closed order, is told apart.
pub(super) async fn a_link_is_read_back_as_it_was_written(harness: &Harness) {
    let store = harness.open();
    let eight =
        ["id:1", "id:2", "external-id:3", "id:4", "id:5", "id:6", "store-order:7/7", "id:~"];
    let hostile = ["id:{x}:y", "id:\u{1f600}", "store-order:1/a b"];
    let all = [
        ("external-id:contested", link(&["id:1", "id:2"])),
        ("external-id:closed", led_to_closed(&[])),
        ("external-id:closed and more", led_to_closed(&["id:2"])),
        ("store-order-id:9/{x}", link(&["store-order:9/1"])),
        ("external-id:hostile", link(&hostile)),
        ("invoice-number:7", link(&eight)),
        ("invoice-number:~", link(&["external-id:~"])),
    ];
    let commit = all.iter().fold(order("alpha", "id:1"), |commit, (name, link)| {
        commit.linking(name, None, Some(link.clone()))
    });
    write(&store, commit).await;
    let store = harness.crash_and_reopen(store);
    let found = links(&store, &all.each_ref().map(|(name, _)| *name)).await;
    assert_eq!(found, all.each_ref().map(|(_, link)| Some(link.clone())));
    assert!(found[0].as_ref().unwrap().is_contested() && found[2].as_ref().unwrap().is_contested());
    assert_eq!(found[1].as_ref().unwrap().leads_to(), None);
}

/// Of commits of one call that read a link, at most one changes it; those that only read it are
/// written as long as it is as they read it.
pub(super) async fn commits_of_one_call_may_read_one_link(harness: &Harness) {
    use Committed::{Conflict, Written};
    let store = harness.open();
    let reading = |id: &str| {
        let mut commit = order("alpha", id);
        commit.links_read.push((order_id(E), None));
        commit
    };
    let changing = |id: &str| order("alpha", id).linking(E, None, Some(link(&[id])));
    let calls = vec![reading("id:1"), reading("id:2"), changing("id:3"), changing("id:4")];
    let committed = store.commit([calls, vec![reading("id:5")]].concat()).await.unwrap();
    assert_eq!(committed, [Written, Written, Written, Conflict, Conflict]);
    assert_eq!(links(&store, &[E]).await, [Some(link(&["id:3"]))]);
}

/// Two commits of different orders race for one name: the second must know of the first.
pub(super) async fn of_racing_commits_of_one_link_exactly_one_is_written(harness: &Harness) {
    let store = harness.open();
    for round in 0..5 {
        let name = format!("external-id:{round}");
        let commit = |fighter: &str| {
            let id = format!("id:{fighter}{round}");
            order("alpha", &id).linking(&name, None, Some(link(&[&id])))
        };
        let (a, b) = tokio::join!(try_write(&store, commit("a")), try_write(&store, commit("b")));
        let winner = match (a, b) {
            (Committed::Written, Committed::Conflict) => "a",
            (Committed::Conflict, Committed::Written) => "b",
            other => panic!("{other:?}"),
        };
        let expected = link(&[&format!("id:{winner}{round}")]);
        assert_eq!(links(&store, &[&name]).await, [Some(expected)]);
    }
}

/// A closing takes links away as any commit does: all of it, or nothing.
pub(super) async fn a_closing_compares_links_too(harness: &Harness) {
    let store = harness.open();
    let known = Some(link(&["id:1"]));
    write(&store, order("alpha", "id:1").linking(E, None, known.clone())).await;
    let loaded = revision(&store, &order_entity("alpha", "id:1")).await;
    let close =
        |read: Option<Link>| closing("id:1", loaded, &[], &[], time(1)).linking(E, read, None);
    assert_eq!(try_write(&store, close(Some(link(&["id:1", "id:2"])))).await, Committed::Conflict);
    assert_eq!(links(&store, &[E]).await, std::slice::from_ref(&known));
    write(&store, close(known)).await;
    assert_eq!(links(&store, &[E]).await, [None]);
}

async fn named(store: &Arc<dyn Store>, text: &str) -> Vec<String> {
    let found = storekeeper::store::orders::named(&**store, &site("alpha"), text).await.unwrap();
    found.iter().map(ToString::to_string).collect()
}

/// An invoice number is a hint for people: of all who bear it, each is a candidate.
pub(super) async fn an_invoice_number_finds_all_who_bear_it(harness: &Harness) {
    let store = harness.open();
    let hints = Some(link(&["id:1", "id:gone", "external-id:E"]));
    let first = order("alpha", "id:1").linking("invoice-number:7", None, hints);
    write(&store, first.linking(E, None, Some(link(&["id:2"])))).await;
    let mut second = order("alpha", "id:2");
    second.record().second_names.insert(order_id(E));
    write(&store, second).await;
    write(&store, order("alpha", E)).await;
    write(&store, order("alpha", "id:7")).await;
    assert_eq!(named(&store, "invoice-number:7").await, ["id:1", "id:2"]);
    assert_eq!(named(&store, "7").await, ["id:1", "id:2", "id:7"]);
    assert_eq!(named(&store, "E").await, ["id:2"]);
    assert_eq!(named(&store, E).await, ["id:2"]);
    assert_eq!(named(&store, "invoice-number:8").await, Vec::<String>::new());
}
