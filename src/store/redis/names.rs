//! What items are called, for people: by the catalogue, by lines of orders, and beside their keys.

use std::collections::BTreeSet;

use redis::Cmd;

use super::client::{Call, Client};
use super::keys::Keys;
use super::range::{self, SEPARATOR};
use super::value::{parsed, read, unreadable, values};
use crate::domain::{Identifier, Site, StockKey, StockKeyKind};
use crate::store::StoreError;
use crate::store::named::{Named, keys_of};
use crate::store::read::at_most;

/// Adds the part of a commit's script that records what items are called.
pub(super) fn push(call: &mut Call, keys: &Keys, site: &Site, named: &[Named<'_>]) {
    if named.is_empty() {
        return;
    }
    for name in ["line-names", "line-named", "also"] {
        call.push_key(keys.of_site(site.as_str(), &[name]));
    }
    for item in named {
        call.push_shown(item.key);
    }
    for item in named {
        let version = item.line.map(|(version, _)| version.sort_key());
        call.push_arg(version.unwrap_or_default());
        call.push_arg(said(item));
        call.push_shown(&(2 * item.also.len()));
        for also in &item.also {
            call.push_arg("0");
            let (name, kind) = (also.identifier.as_str(), also.kind.as_str());
            call.push_shown(&format_args!("{name}{SEPARATOR}{kind}{SEPARATOR}{}", item.key));
        }
    }
}

/// The mark, then the length of the name, the name, and the name in lower case.
fn said(item: &Named<'_>) -> String {
    let mark = item.mark();
    item.line.map_or_else(
        || format!("{mark:016x}"),
        |(_, name)| format!("{mark:016x}{:08x}{name}{}", name.len(), name.to_lowercase()),
    )
}

/// The name that a line gave an item, of what is kept of it.
fn line_name(list: &str, text: &str) -> Result<String, StoreError> {
    let name = || {
        let length = usize::from_str_radix(text.get(67..75)?, 16).ok()?;
        text.get(75..75usize.checked_add(length)?)
    };
    name().map(str::to_owned).ok_or_else(|| unreadable(list))
}

/// The keys of items, after one, whose shown name starts with a text in any case.
pub(super) async fn with_prefix(
    client: &Client,
    site: &Site,
    prefix: &str,
    after: Option<&str>,
) -> Result<BTreeSet<String>, StoreError> {
    let of_site = |name: &str| client.key(site, &[name]);
    let prefix = prefix.to_lowercase();
    let mut keys = BTreeSet::new();
    // After the key, the catalogue's members have a rank and an entry.
    for (list, parts_after) in [(of_site("titled"), 2), (of_site("line-named"), 0)] {
        for member in range::all(client, &list, &prefix).await? {
            let key = member.rsplit(SEPARATOR).nth(parts_after).ok_or_else(|| unreadable(&list))?;
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
    let find = Cmd::zscore_multiple(of_site("items"), &keys);
    let is_item: Vec<Option<f64>> = client.query(&find).await?;
    let shown = shown(client, site, &keys).await?;
    let wanted = keys.into_iter().zip(shown).zip(is_item).filter(|((_, shown), is_item)| {
        let starts = |name: &String| name.to_lowercase().starts_with(&prefix);
        is_item.is_some() && shown.as_ref().is_some_and(starts)
    });
    Ok(wanted.map(|((key, _), _)| key).collect())
}

/// The names by which items are shown: the catalogue's, or else a line's.
pub(super) async fn shown(
    client: &Client,
    site: &Site,
    keys: &[String],
) -> Result<Vec<Option<String>>, StoreError> {
    let of_site = |name: &str| client.key(site, &[name]);
    let (titles, of_lines) = (of_site("titles"), of_site("line-names"));
    // The first of an item's titles is the one that is shown: entries that are not deleted come
    // first.
    let first = keys.iter().map(|key| {
        let of_item = format!("{key}{SEPARATOR}");
        (titles.clone(), range::with_prefix(&titles, &of_item, None, 1))
    });
    let answers = client.query_all(first.collect()).await?;
    let of_line = values(client, &of_lines, keys).await?;
    let shown = answers.into_iter().zip(of_line).map(|(answer, of_line)| {
        if let Some(member) = read::<Vec<String>>(&titles, answer)?.pop() {
            let title = member.splitn(4, SEPARATOR).nth(3);
            return title.map(|title| Some(title.to_owned())).ok_or_else(|| unreadable(&titles));
        }
        of_line.map(|text| line_name(&of_lines, &text)).transpose()
    });
    shown.collect()
}

/// The items that go by a name: their key, if a line of an order named them, or one beside it; in
/// order of key.
pub(super) async fn items_named(
    client: &Client,
    site: &Site,
    kind: Option<StockKeyKind>,
    name: &Identifier,
    limit: usize,
) -> Result<Vec<StockKey>, StoreError> {
    let list = client.key(site, &["also"]);
    let parts = std::iter::once(name.as_str()).chain(kind.map(StockKeyKind::as_str)).chain([""]);
    let prefix = parts.collect::<Vec<_>>().join(SEPARATOR);
    let members = range::all(client, &list, &prefix).await?;
    let mut named: BTreeSet<&str> =
        members.iter().filter_map(|member| member.rsplit(SEPARATOR).next()).collect();
    let keys: Vec<String> = keys_of(kind, name).map(|key| key.to_string()).collect();
    let of_lines = client.key(site, &["line-names"]);
    let by_key = keys.iter().zip(values(client, &of_lines, &keys).await?);
    named.extend(by_key.filter_map(|(key, text)| text.map(|_| key.as_str())));
    let named = named.into_iter().take(at_most(limit));
    named.map(|key| parsed(&list, key, StockKey::parse)).collect()
}
