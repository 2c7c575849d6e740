//! Random histories of commits, closings, policies, names and trims, told to both backends: whatever
//! can be seen of one can be seen of the other, after every step.

use std::fmt::Debug;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use storekeeper::domain::{
    Cause, ClosedName, Counts, Hold, Identifier, Link, List, Lists, OrderId, Policy, Restock, Site,
    StockChange, StockKey, StockKeyKind, Timestamp, Write,
};
use storekeeper::store::embedded::EmbeddedStore;
use storekeeper::store::{
    Asked, Closing, Commit, Direction, EntityId, EntityName, EntityState, Loaded, PageRequest,
    Revision, Store,
};

use super::told::{From, KEYS, NAMES, ORDERS, SITES, Step, Teller, Told};
use super::{open, options, origin, site};
use crate::harness::{is_long, seed};
use crate::servers::shared_redis;

/// Does a step, and answers with what was answered.
async fn tell(store: &Arc<dyn Store>, step: Step) -> String {
    match step {
        Step::Commit(commits) => {
            let mut named = Vec::new();
            for told in commits {
                named.push(computed(store, told).await);
            }
            format!("{:?}", store.commit(named).await.unwrap())
        }
        Step::Close(before) => close(store, Timestamp::from_millis(before * 1000)).await,
        Step::Policy(lines) => {
            let restock = if lines { Restock::Lines } else { Restock::Never };
            let policy = Policy { restock, ..Policy::default() };
            format!("{:?}", store.replace_policy(&policy, &origin()).await.unwrap())
        }
        Step::Trim(before) => {
            let before = Timestamp::from_millis(before * 1000);
            format!("{:?}", store.trim_changes(before).await.unwrap())
        }
    }
}

/// A commit that says of this Store what it is to say.
async fn computed(store: &Arc<dyn Store>, told: Told) -> Commit {
    let Told { mut commit, read, links, closed } = told;
    let site = commit.site.clone();
    let entities = commit.read.iter().map(|(name, _)| entity(&site, name)).collect();
    let names = commit.links_read.iter().map(|(name, _)| (site.clone(), name.clone())).collect();
    let found = store.load(&Asked { entities, links: names }).await.unwrap();
    for (((name, revision), from), loaded) in commit.read.iter_mut().zip(read).zip(found.entities) {
        for write in commit.writes.iter_mut().filter(|write| write.name == *name) {
            write.lists.0 = lists_of(loaded.as_ref());
        }
        if let EntityName::Order(order) = &*name
            && loaded.is_none()
        {
            commit.new_names.push((order.clone(), None));
        }
        *revision = match from {
            From::Newest => loaded.map(|loaded| loaded.revision),
            From::Nothing => None,
            From::Another => Some(Revision(7)),
        };
    }
    for (((_, link), from), found) in commit.links_read.iter_mut().zip(links).zip(found.links) {
        *link = match from {
            From::Newest => found,
            From::Nothing => None,
            From::Another => {
                Some(Link { ids: [OrderId::parse("id:7").unwrap()].into(), led_to_closed: false })
            }
        };
    }
    let names: Vec<OrderId> = commit.new_names.iter().map(|(name, _)| name.clone()).collect();
    let (known, _) = store.closed(&site, &names).await.unwrap();
    for ((_, expected), known) in commit.new_names.iter_mut().zip(known) {
        *expected = match closed {
            From::Newest => known,
            From::Nothing => None,
            From::Another => Some(ClosedName::Itself),
        };
    }
    commit
}

fn entity(site: &Site, name: &EntityName) -> EntityId {
    EntityId { site: site.clone(), name: name.clone() }
}

fn lists_of(loaded: Option<&Loaded>) -> Lists {
    match loaded.map(|loaded| &loaded.state) {
        Some(EntityState::Order(record)) => record.lists,
        Some(EntityState::Catalogue(_) | EntityState::Receipt(_)) | None => Lists::NONE,
    }
}

/// Closes all that is settled and old.
async fn close(store: &Arc<dyn Store>, before: Timestamp) -> String {
    let mut closings = Vec::new();
    for site in SITES.map(site) {
        let page = PageRequest::first(100);
        let listed = store.listed(&site, List::Final, Direction::OldestFirst, &page).await.unwrap();
        let old = listed.items.into_iter().filter(|listed| listed.at < before);
        let old: Vec<OrderId> = old.map(|listed| listed.order).collect();
        for order in store.audit_orders(&site, &old).await.unwrap() {
            let name = EntityName::Order(order.order.clone());
            let left = order.record.applied.iter().map(|(key, hold)| StockChange {
                key: key.clone(),
                cause: Cause::Order(order.order.clone()),
                delta: Counts::default(),
                hold: Some(Hold::default()),
                closed: Some(hold.fulfilled),
            });
            let names = vec![(order.order.clone(), Teller::closing(&order.order, before))];
            closings.push(Commit {
                read: vec![(name.clone(), Some(order.revision))],
                changes: left.collect(),
                writes: vec![Write { name, state: None, lists: (order.record.lists, Lists::NONE) }],
                closing: Some(Closing { names, before }),
                ..Commit::nothing(
                    site.clone(),
                    storekeeper::domain::MessageId(uuid::Uuid::nil()),
                    before,
                )
            });
        }
    }
    format!("{:?}", store.commit(closings).await.unwrap())
}

/// Everything that can be seen, without what is drawn at random.
async fn seen(store: &Arc<dyn Store>) -> Vec<String> {
    let mut seen = Vec::new();
    let mut see = |what: &str, found: &dyn Debug| seen.push(format!("{what}: {found:?}"));
    see("sites", &store.sites().await.unwrap());
    see("policy", &store.policy().await.unwrap());
    see("origin", &store.policy_origin().await.unwrap());
    see("oversold", &store.oversold().await.unwrap());
    for list in List::ALL {
        see(list.as_str(), &store.count_listed(list).await.unwrap());
    }
    for site in SITES.map(site) {
        seen.extend(seen_of_items(store, &site).await);
        seen.extend(seen_of_orders(store, &site).await);
    }
    seen
}

async fn seen_of_items(store: &Arc<dyn Store>, site: &Site) -> Vec<String> {
    let all = PageRequest::first(100);
    let mut seen = Vec::new();
    let mut see = |what: &str, found: &dyn Debug| seen.push(format!("{site} {what}: {found:?}"));
    for prefix in [None, Some("sku:"), Some("sh"), Some("\u{c9}"), Some("sku:a of"), Some("x")] {
        see("stock", &store.stock(site, prefix, &all).await.unwrap());
    }
    for key in KEYS {
        let key = StockKey::parse(key).unwrap();
        for page in [PageRequest::first(1), all.clone()] {
            see(&key.to_string(), &store.stock_item(site, &key, &page).await.unwrap());
        }
    }
    for name in ["A", "\u{1f600}", "~closed"].map(|name| Identifier::parse(name).unwrap()) {
        for (kind, limit) in [(None, 9), (None, 1), (Some(StockKeyKind::Sku), 9)] {
            see(name.as_str(), &store.items_named(site, kind, &name, limit).await.unwrap());
        }
    }
    see("items", &store.audit_items(site, &all).await.unwrap());
    see("catalogue", &store.catalogue(site, &all).await.unwrap());
    let mut changes = store.changes(site, 0, 1000).await.unwrap();
    for change in &mut changes {
        change.epoch.clear();
    }
    see("changes", &changes);
    let trimmed = store.feed_start(site).await.unwrap().trimmed;
    see("trimmed", &trimmed);
    for after in trimmed..trimmed + 9 {
        let sequences = store.changes(site, after, 3).await.unwrap();
        see("after", &sequences.iter().map(|change| change.sequence).collect::<Vec<_>>());
    }
    seen
}

async fn seen_of_orders(store: &Arc<dyn Store>, site: &Site) -> Vec<String> {
    let all = PageRequest::first(100);
    let mut seen = Vec::new();
    let mut see = |what: &str, found: &dyn Debug| seen.push(format!("{site} {what}: {found:?}"));
    let orders = ORDERS.map(|order| OrderId::parse(order).unwrap());
    let mut audited = store.audit_orders(site, &orders).await.unwrap();
    for order in &mut audited {
        order.revision = Revision(0);
    }
    see("orders", &audited);
    see("holds", &store.audit_holds(site, &all).await.unwrap());
    for list in List::ALL {
        for direction in [Direction::OldestFirst, Direction::NewestFirst] {
            see(list.as_str(), &store.listed(site, list, direction, &all).await.unwrap());
            let two = PageRequest::first(2);
            see(list.as_str(), &store.listed(site, list, direction, &two).await.unwrap().items);
        }
    }
    see("links", &store.links(site, &all).await.unwrap());
    let links = NAMES.map(|name| (site.clone(), OrderId::parse(name).unwrap())).into();
    see("found", &store.load(&Asked { entities: Vec::new(), links }).await.unwrap());
    see("closed", &store.closed(site, &orders).await.unwrap());
    seen
}

#[tokio::test]
async fn both_backends_show_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let embedded: Arc<dyn Store> = Arc::new(EmbeddedStore::open(directory.path()).unwrap());
    let redis = open(&options(shared_redis()));
    let mut teller = Teller { rng: ChaCha8Rng::seed_from_u64(seed()), policy: 1, now: 100 };
    let firsts = SITES.map(|name| super::first(name, 1));
    for store in [&embedded, &redis] {
        store.replace_policy(&Policy::default(), &origin()).await.unwrap();
        // Redis may list a site for a commit that was refused.
        store.commit(firsts.to_vec()).await.unwrap();
    }
    let mut told = Vec::new();
    for number in 0..if is_long() { 1000 } else { 100 } {
        let step = teller.step();
        told.push(format!("{number}: {step:?}"));
        let answers = [tell(&embedded, step.clone()).await, tell(&redis, step).await];
        let context = || told[told.len().saturating_sub(6)..].join("\n");
        // Of several totals that would pass a limit, each names one.
        let answers = answers.map(|it| it.replace("(TooLarge)", "").replace("(Negative)", ""));
        assert_eq!(answers[0], answers[1], "after\n{}", context());
        let (expected, found) = (seen(&embedded).await, seen(&redis).await);
        for (expected, found) in expected.iter().zip(&found) {
            assert_eq!(expected, found, "after\n{}", context());
        }
        teller.policy = embedded.policy().await.unwrap().unwrap().revision;
    }
}
