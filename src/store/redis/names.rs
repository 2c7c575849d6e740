//! What items are called, for people: by the catalogue, by lines of orders, and beside their keys.

use std::collections::{BTreeMap, BTreeSet};

use super::client::{Call, Client};
use super::script::Script;
use super::stock::values;
use super::value::{at_most, parsed, read, unreadable};
use super::{failure, lex};
use crate::domain::{Identifier, ItemNames, Site, StockKey, StockKeyKind};
use crate::store::{Commit, StoreError};

static NAMES: Script = Script::new("names.lua", &[include_str!("names.lua")]);

/// So many members of a list are read at once.
const READ_STEP: usize = 1000;
/// So often names are read again that others changed between reading and writing.
const ROUNDS_MAX: usize = 20;

/// Notes what the items of commits are called, whatever becomes of the commits.
pub(super) async fn of_commits(client: &Client, commits: &[Commit]) -> Result<(), StoreError> {
    let mut by_site: BTreeMap<&Site, Vec<ItemNames>> = BTreeMap::new();
    for commit in commits.iter().filter(|commit| !commit.item_names.is_empty()) {
        by_site.entry(&commit.site).or_default().extend(commit.item_names.iter().cloned());
    }
    for (site, names) in by_site {
        name_items(client, site, &names).await?;
    }
    Ok(())
}

/// Notes what items are called.
pub(super) async fn name_items(
    client: &Client,
    site: &Site,
    names: &[ItemNames],
) -> Result<(), StoreError> {
    note_others(client, site, names).await?;
    let mut newest: BTreeMap<String, LineName> = BTreeMap::new();
    for ItemNames { key, line, .. } in names {
        if let Some((version, name)) = line {
            let name = LineName { version: version.sort_key(), name: name.clone() };
            let known = newest.entry(key.to_string()).or_insert_with(|| name.clone());
            if *known < name {
                *known = name;
            }
        }
    }
    let keys: Vec<String> = newest.keys().cloned().collect();
    let [of_items, by_name] =
        ["line-names", "line-named"].map(|name| client.keys().of_site(site.as_str(), &[name]));
    for _ in 0..ROUNDS_MAX {
        let known = values(client, &of_items, &keys).await?;
        let mut call = Call::of(&NAMES).key(&of_items).key(&by_name);
        let mut has_news = false;
        for ((key, name), text) in newest.iter().zip(known) {
            let known = text.as_deref().map(|text| LineName::parse(&of_items, text)).transpose()?;
            if known.as_ref().is_some_and(|known| known >= name) {
                continue;
            }
            has_news = true;
            let goes = known.map(|known| known.member(key)).unwrap_or_default();
            let comes = name.member(key);
            let is_same = goes == comes;
            call.push_arg(key);
            call.push_arg(text.unwrap_or_default());
            call.push_arg([&*name.version, &*name.name].join(lex::BETWEEN));
            for member in [goes, comes] {
                call.push_arg(if is_same { "" } else { &member });
            }
        }
        if !has_news || client.run::<u64>(&call).await? == 0 {
            return Ok(());
        }
    }
    Err(failure::unavailable("names of items change faster than they can be read"))
}

/// Notes the other names of items. None ever goes: it only helps people to find an item.
async fn note_others(client: &Client, site: &Site, names: &[ItemNames]) -> Result<(), StoreError> {
    let member = |name: &ItemNames, also: &StockKey| {
        let key = name.key.to_string();
        [also.identifier.as_str(), also.kind.as_str(), &key].join(lex::BETWEEN)
    };
    let members: BTreeSet<String> = names
        .iter()
        .flat_map(|name| name.also.iter().map(move |also| member(name, also)))
        .collect();
    if members.is_empty() {
        return Ok(());
    }
    let mut note = redis::cmd("ZADD");
    note.arg(client.keys().of_site(site.as_str(), &["also"]));
    for member in members {
        note.arg(0).arg(member);
    }
    client.query::<()>(&note).await
}

/// What a line calls an item; of two, the greater is shown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct LineName {
    /// The version of the line's snapshot, as a text that sorts as versions do.
    version: String,
    name: String,
}

impl LineName {
    fn parse(key: &str, text: &str) -> Result<Self, StoreError> {
        let parts = text.split_once(lex::BETWEEN).ok_or_else(|| unreadable(key))?;
        Ok(Self { version: parts.0.to_owned(), name: parts.1.to_owned() })
    }

    /// The member by which a prefix finds the item.
    fn member(&self, key: &str) -> String {
        [&*self.name.to_lowercase(), key].join(lex::BETWEEN)
    }
}

/// The keys of items, behind one, whose shown name starts with a text in any case.
pub(super) async fn with_prefix(
    client: &Client,
    site: &Site,
    prefix: &str,
    after: Option<&str>,
) -> Result<BTreeSet<String>, StoreError> {
    let of_site = |name: &str| client.keys().of_site(site.as_str(), &[name]);
    let prefix = prefix.to_lowercase();
    let mut keys = BTreeSet::new();
    // Behind the key, the catalogue's members have a rank and an entry.
    for (list, behind) in [(of_site("titled"), 2), (of_site("line-named"), 0)] {
        for member in members(client, &list, &prefix).await? {
            let key = member.rsplit(lex::BETWEEN).nth(behind).ok_or_else(|| unreadable(&list))?;
            if after.is_none_or(|after| key > after) {
                keys.insert(key.to_owned());
            }
        }
    }
    // A name counts if it is the one that is shown, of an item that there is.
    let keys: Vec<String> = keys.into_iter().collect();
    if keys.is_empty() {
        return Ok(BTreeSet::new());
    }
    let mut find = redis::cmd("ZMSCORE");
    find.arg(of_site("items")).arg(&keys);
    let is_item: Vec<Option<f64>> = client.query(&find).await?;
    let shown = shown(client, site, &keys).await?;
    let wanted = keys.into_iter().zip(shown).zip(is_item).filter(|((_, shown), is_item)| {
        let starts = |name: &String| name.to_lowercase().starts_with(&prefix);
        is_item.is_some() && shown.as_ref().is_some_and(starts)
    });
    Ok(wanted.map(|((key, _), _)| key).collect())
}

/// Every member that begins with a text.
async fn members(client: &Client, list: &str, prefix: &str) -> Result<Vec<String>, StoreError> {
    let mut all: Vec<String> = Vec::new();
    loop {
        let range = lex::with_prefix(list, prefix, all.last().map(String::as_str), READ_STEP);
        let found: Vec<String> = client.query(&range).await?;
        let is_whole = found.len() < READ_STEP;
        all.extend(found);
        if is_whole {
            return Ok(all);
        }
    }
}

/// The names by which items are shown: the catalogue's, or else a line's.
pub(super) async fn shown(
    client: &Client,
    site: &Site,
    keys: &[String],
) -> Result<Vec<Option<String>>, StoreError> {
    let of_site = |name: &str| client.keys().of_site(site.as_str(), &[name]);
    let (titles, of_lines) = (of_site("titles"), of_site("line-names"));
    // The first of an item's titles is the one that is shown: entries that are not deleted come
    // first.
    let first = keys.iter().map(|key| {
        let of_item = format!("{key}{}", lex::BETWEEN);
        (titles.clone(), lex::with_prefix(&titles, &of_item, None, 1))
    });
    let answers = client.query_all(first.collect()).await?;
    let of_line = values(client, &of_lines, keys).await?;
    let shown = answers.into_iter().zip(of_line).map(|(answer, of_line)| {
        if let Some(member) = read::<Vec<String>>(&titles, answer)?.pop() {
            let title = member.splitn(4, lex::BETWEEN).nth(3);
            return title.map(|title| Some(title.to_owned())).ok_or_else(|| unreadable(&titles));
        }
        let of_line = of_line.map(|text| LineName::parse(&of_lines, &text)).transpose()?;
        Ok(of_line.map(|line| line.name))
    });
    shown.collect()
}

/// The items that go by a name beside their key, in order of key.
pub(super) async fn items_named(
    client: &Client,
    site: &Site,
    kind: Option<StockKeyKind>,
    name: &Identifier,
    limit: usize,
) -> Result<Vec<StockKey>, StoreError> {
    let list = client.keys().of_site(site.as_str(), &["also"]);
    let parts = std::iter::once(name.as_str()).chain(kind.map(StockKeyKind::as_str)).chain([""]);
    let prefix = parts.collect::<Vec<_>>().join(lex::BETWEEN);
    let members = members(client, &list, &prefix).await?;
    let keys: BTreeSet<&str> =
        members.iter().filter_map(|member| member.rsplit(lex::BETWEEN).next()).collect();
    let keys = keys.into_iter().take(at_most(limit));
    keys.map(|key| parsed(&list, key, StockKey::parse)).collect()
}
