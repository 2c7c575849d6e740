//! From commits of one site to the run of the script that writes them, all or none.
//!
//! The script gets its keys and arguments in parts; each part is added here in the order in which the
//! script reads it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::client::Call;
use super::closed;
use super::entity;
use super::keys::Keys;
use super::names;
use super::range;
use super::script::Script;
use super::value::hold_text;
use crate::domain::{
    CatalogueEntry, CatalogueId, Cause, Counts, Hold, Link, List, Quantity, Receipt, Site,
    StockChange, StockKey, Write,
};
use crate::store::named::Named;
use crate::store::{Commit, EntityName, EntityState, Revision, StoreError, state};

static COMMIT: Script =
    Script::new("commit.lua", &["#!lua\n", include_str!("exact.lua"), include_str!("commit.lua")]);
/// The same for commits that close an order. They may run on a server that is out of memory, as they
/// free some.
static CLOSE: Script = Script::new(
    "commit.lua",
    &["#!lua flags=allow-oom\n", include_str!("exact.lua"), include_str!("commit.lua")],
);

/// Makes the run of the script that writes these commits of one site, which must not write what a
/// later one has read, and have one policy.
pub(super) fn of(keys: &Keys, site: &Site, commits: &[&Commit]) -> Result<Call, StoreError> {
    let items = Items::of(commits);
    let sums = closed_sums(commits);
    let named = Named::all_of(commits.iter().flat_map(|it| &it.item_names));
    let closing = commits.iter().find_map(|it| it.closing.as_ref());
    let mut call = Call::of(if closing.is_some() { &CLOSE } else { &COMMIT });
    for name in ["stock", "names", "items", "changes", "oversold"] {
        call.push_key(keys.of_site(site.as_str(), &[name]));
    }
    match commits.iter().find_map(|it| it.policy) {
        Some(policy) => call.push_shown(&policy),
        None => call.push_arg(""),
    }
    match closing {
        Some(closing) => call.push_shown(&closing.before.micros()),
        None => call.push_arg(""),
    }
    let sum = |count: fn(&Commit) -> usize| commits.iter().copied().map(count).sum::<usize>();
    let is_entry = |write: &&Write| matches!(write.name, EntityName::Catalogue(_));
    for count in [
        items.feed.len(),
        sum(|it| it.read.len()),
        sum(|it| it.writes.len()),
        sum(|it| it.links_read.len()),
        sum(|it| it.new_names.len()),
        items.changes.len(),
        sums.len(),
        named.len(),
        commits.iter().flat_map(|it| &it.writes).filter(is_entry).count(),
    ] {
        call.push_shown(&count);
    }
    for entry in &items.feed {
        call.push_shown(&entry.commit.at.micros());
        call.push_shown(&entry.commit.message_id);
        call.push_shown(&entry.count);
        call.push_arg(&entry.changes);
    }
    for (key, _) in &items.changes {
        call.push_shown(key);
    }
    for (_, changes) in &items.changes {
        call.push_arg(changes);
    }
    push_entities(&mut call, keys, site, commits)?;
    let links_read = || commits.iter().flat_map(|it| &it.links_read);
    for (name, _) in links_read() {
        call.push_shown(name);
    }
    for (_, link) in links_read() {
        call.push_arg(link.as_ref().map(Link::to_text).unwrap_or_default());
    }
    for (name, known) in commits.iter().flat_map(|it| &it.new_names) {
        call.push_key(closed::key(keys, site, name));
        call.push_arg(closed::word(*known));
        for member in closed::members(name) {
            call.push_shown(&member);
        }
    }
    for (key, (orders, fulfilled)) in sums {
        call.push_key(keys.of_site(site.as_str(), &["holds", &key.to_string()]));
        call.push_shown(&orders);
        call.push_shown(&fulfilled.millionths());
    }
    names::push(&mut call, keys, site, &named);
    push_given(&mut call, keys, site, commits);
    for commit in commits {
        push_others(&mut call, keys, commit);
    }
    Ok(call)
}

/// A run that writes nothing, for checks: of a site that nothing is ever committed for.
pub(super) fn of_nothing(keys: &Keys) -> Call {
    let mut call = Call::of(&COMMIT);
    for name in ["stock", "names", "items", "changes", "oversold"] {
        call.push_key(keys.of_probe(&[name]));
    }
    // No policy, no watermark, and no number of anything.
    for arg in ["", "", "0", "0", "0", "0", "0", "0", "0", "0", "0"] {
        call.push_arg(arg);
    }
    call
}

/// A run for a site that writes nothing, for checks: it expects a record that is never there.
pub(super) fn of_nothing_at(keys: &Keys, site: &Site) -> Call {
    let mut call = Call::of(&COMMIT);
    for name in ["stock", "names", "items", "changes", "oversold", "probe"] {
        call.push_key(keys.of_site(site.as_str(), &[name]));
    }
    for arg in ["", "", "0", "1", "0", "0", "0", "0", "0", "0", "0", "never"] {
        call.push_arg(arg);
    }
    call
}

/// The entities, written ones first.
fn push_entities(
    call: &mut Call,
    keys: &Keys,
    site: &Site,
    commits: &[&Commit],
) -> Result<(), StoreError> {
    let mut push_read = |name: &EntityName, known: Option<Revision>| {
        call.push_key(entity::key(keys, site, name));
        match known {
            Some(Revision(revision)) => call.push_shown(&revision),
            None => call.push_arg(""),
        }
    };
    for commit in commits {
        for write in &commit.writes {
            let known = commit.read.iter().find(|(name, _)| *name == write.name);
            push_read(&write.name, known.and_then(|(_, known)| *known));
        }
    }
    for commit in commits {
        for (name, known) in &commit.read {
            if !commit.writes.iter().any(|write| write.name == *name) {
                push_read(name, *known);
            }
        }
    }
    for write in commits.iter().flat_map(|it| &it.writes) {
        call.push_shown(&rand::random::<u64>());
        match &write.state {
            Some(state) => call.push_arg(state::encode_entity_bytes(state)?),
            None => call.push_arg(""),
        }
    }
    Ok(())
}

/// The changes of stock, by item.
#[derive(Default)]
struct Items<'a> {
    /// The items in order of their first change, each with its changes as the script reads them.
    changes: Vec<(&'a StockKey, String)>,
    /// What goes into the feed, an entry for each commit that changes something.
    feed: Vec<FeedEntry<'a>>,
}

/// What a commit puts into the feed.
struct FeedEntry<'a> {
    commit: &'a Commit,
    /// How many changes it has.
    count: usize,
    /// These: item, cause and what is added, a line each.
    changes: String,
}

impl<'a> Items<'a> {
    fn of(commits: &[&'a Commit]) -> Self {
        let mut items = Self::default();
        let (mut places, mut number) = (BTreeMap::new(), 0_usize);
        for commit in commits {
            let mut entry = FeedEntry { commit, count: 0, changes: String::new() };
            for change in &commit.changes {
                let place = *places.entry(&change.key).or_insert_with(|| {
                    items.changes.push((&change.key, String::new()));
                    items.changes.len() - 1
                });
                if change.delta == Counts::default() {
                    continue;
                }
                number += 1;
                let delta = Delta(change.delta);
                if let Some((_, changes)) = items.changes.get_mut(place) {
                    write!(changes, "{number} {delta} ").expect("memory takes every byte");
                }
                entry.add(change, &delta);
            }
            if entry.count > 0 {
                items.feed.push(entry);
            }
        }
        items
    }
}

impl FeedEntry<'_> {
    fn add(&mut self, change: &StockChange, delta: &Delta) {
        let (kind, name): (_, &dyn std::fmt::Display) = match &change.cause {
            Cause::Order(order) => ("order", order),
            Cause::Receipt(reference) => ("receipt", reference),
            Cause::Repair(actor) => ("repair", actor),
        };
        let between = if self.count > 0 { range::SEPARATOR } else { "" };
        write!(self.changes, "{between}{}\t{kind} {name}\t{delta}", change.key)
            .expect("memory takes every byte");
        self.count += 1;
    }
}

/// Three counts with spaces between them.
pub(super) struct Delta(pub(super) Counts);

impl std::fmt::Display for Delta {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [received, committed, fulfilled] =
            [self.0.received, self.0.committed, self.0.fulfilled].map(Quantity::millionths);
        write!(f, "{received} {committed} {fulfilled}")
    }
}

/// How many orders are closed, and what they keep, of each item.
fn closed_sums<'a>(commits: &[&'a Commit]) -> BTreeMap<&'a StockKey, (u64, Quantity)> {
    let mut sums: BTreeMap<&StockKey, (u64, Quantity)> = BTreeMap::new();
    for change in commits.iter().flat_map(|it| &it.changes) {
        if let Some(fulfilled) = change.closed {
            let (orders, sum) = sums.entry(&change.key).or_default();
            *orders += 1;
            *sum = sum.saturating_add(fulfilled);
        }
    }
    sums
}

/// What catalogue entries give to items: a name, keyed by item and by its lower case for search by
/// prefix, and the flag that nobody counts it.
fn push_given(call: &mut Call, keys: &Keys, site: &Site, commits: &[&Commit]) {
    let mut has_keys = false;
    for (place, write) in commits.iter().flat_map(|it| &it.writes).enumerate() {
        let EntityName::Catalogue(id) = &write.name else { continue };
        if !std::mem::replace(&mut has_keys, true) {
            for name in ["titles", "titled", "untracked"] {
                call.push_key(keys.of_site(site.as_str(), &[name]));
            }
        }
        let words = match &write.state {
            Some(EntityState::Catalogue(entry)) => given(id, entry),
            Some(EntityState::Order(_) | EntityState::Receipt(_)) | None => Vec::new(),
        };
        // The five keys of every commit come before those of entities.
        call.push_shown(&(6 + place));
        call.push_shown(&(2 * words.len()));
        for (kind, word) in words {
            call.push_arg(kind);
            call.push_arg(word);
        }
    }
}

fn given(id: &CatalogueId, entry: &CatalogueEntry) -> Vec<(&'static str, String)> {
    let (id, is_deleted) = (id.to_string(), entry.is_deleted());
    let rank = if is_deleted { "1" } else { "0" };
    let mut words = Vec::new();
    for key in entry.description.stock_keys() {
        let key = key.to_string();
        if let Some(name) = &entry.description.name {
            words.push(("T", [&*key, rank, &*id, &**name].join(range::SEPARATOR)));
            let lowercase = name.to_lowercase();
            words.push(("N", [&*lowercase, &*key, rank, &*id].join(range::SEPARATOR)));
        }
        if entry.description.is_untracked && !is_deleted {
            words.push(("U", key));
        }
    }
    words
}

/// Everything else that is written once all checks have passed: links, holds, lists and names of
/// closed orders.
fn push_others(call: &mut Call, keys: &Keys, commit: &Commit) {
    let site = &commit.site;
    let of_site = |parts: &[&str]| keys.of_site(site.as_str(), parts);
    for change in &commit.changes {
        let (Some(hold), Cause::Order(order)) = (&change.hold, &change.cause) else { continue };
        let holds = of_site(&["holds", &change.key.to_string()]);
        if *hold == Hold::default() {
            push_other(call, holds, "HDEL", &order.to_string(), "");
        } else {
            push_other(call, holds, "HSET", &order.to_string(), &hold_text(hold));
        }
    }
    for (name, link) in &commit.links {
        match link {
            Some(link) => {
                let text = link.to_text();
                push_other(call, of_site(&["names"]), "HSET", &name.to_string(), &text);
            }
            None => push_other(call, of_site(&["names"]), "HDEL", &name.to_string(), ""),
        }
    }
    for write in &commit.writes {
        push_listing(call, keys, site, write, commit.at.micros());
    }
    for (name, closed) in commit.closing.iter().flat_map(|closing| &closing.names) {
        let member = closed::member(*closed, name).to_string();
        push_other(call, closed::key(keys, site, name), "SADD", &member, "");
    }
}

/// The lists that an entity is in.
fn push_listing(call: &mut Call, keys: &Keys, site: &Site, write: &Write, at: i64) {
    match (&write.name, &write.state) {
        (EntityName::Order(order), _) => {
            let (before, after) = write.lists;
            let (name, at) = (order.to_string(), at.to_string());
            for list in after.iter() {
                push_other(call, list_key(keys, site, list), "ZADD", &at, &name);
            }
            for list in before.iter().filter(|list| !after.has(*list)) {
                push_other(call, list_key(keys, site, list), "ZREM", &name, "");
            }
        }
        (EntityName::Catalogue(id), state) => {
            let list = keys.of_site(site.as_str(), &["catalogue"]);
            match state {
                Some(_) => push_other(call, list, "ZADD", "0", &id.to_string()),
                None => push_other(call, list, "ZREM", &id.to_string(), ""),
            }
        }
        (EntityName::Receipt(id), state) => {
            let list = keys.of_site(site.as_str(), &["receipts", &id.key.to_string()]);
            match state {
                Some(EntityState::Receipt(receipt)) => {
                    let received = Receipt::received(receipt).millionths().to_string();
                    push_other(call, list, "HSET", id.reference.as_str(), &received);
                }
                Some(_) | None => push_other(call, list, "HDEL", id.reference.as_str(), ""),
            }
        }
    }
}

/// The key of a list of orders.
pub(super) fn list_key(keys: &Keys, site: &Site, list: List) -> String {
    if list == List::All {
        return keys.of_site(site.as_str(), &["orders"]);
    }
    keys.of_site(site.as_str(), &["orders", list.as_str()])
}

fn push_other(call: &mut Call, key: String, command: &str, first: &str, second: &str) {
    call.push_key(key);
    call.push_arg(command);
    call.push_arg(first);
    call.push_arg(second);
}
