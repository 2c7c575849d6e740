//! Stock items and the names that the catalogue gives them.

use std::collections::{BTreeMap, BTreeSet};

use redis::Cmd;

use super::client::Client;
use super::value::{self, page_and_one, parsed, read, unreadable};
use super::{letters, lex};
use crate::domain::{CatalogueId, Counts, OrderId, Quantity, Site, StockKey};
use crate::store::{
    Catalogue, EntityId, EntityName, EntityState, HeldBy, Page, PageRequest, StockDetail,
    StockItem, StoreError,
};

/// What is counted of an item, as fields of the site's stock are called.
const COUNTS: [&str; 3] = ["received", "committed", "fulfilled"];
/// The field of an item's holds that says what closed orders keep; no order has such a name.
pub(super) const CLOSED: &str = "~closed";
/// So many members of a list are read at once.
const READ_STEP: usize = 1000;

/// A page of a site's items; `prefix` selects by the start of key or shown name.
pub(super) async fn stock(
    client: &Client,
    site: &Site,
    prefix: Option<&str>,
    page: &PageRequest,
) -> Result<Page<StockItem>, StoreError> {
    let items = client.keys().of_site(site.as_str(), &["items"]);
    let (after, limit) = (page.after.as_deref(), page_and_one(page.limit));
    // Every text starts with the empty one: no need to look for it.
    let keys: BTreeSet<String> = match prefix.filter(|prefix| !prefix.is_empty()) {
        None => client.query(&lex::after(&items, after, limit)).await?,
        Some(prefix) => {
            let mut keys: BTreeSet<String> =
                client.query(&lex::with_prefix(&items, prefix, after, limit)).await?;
            keys.extend(named(client, site, prefix, after).await?);
            keys
        }
    };
    let keys: Vec<String> = keys.into_iter().take(limit).collect();
    let page = value::page(keys, page.limit, Clone::clone);
    Ok(Page { items: items_of(client, site, &page.items).await?, next: page.next })
}

/// The keys of items, behind one, whose shown name starts with a text in any case.
async fn named(
    client: &Client,
    site: &Site,
    prefix: &str,
    after: Option<&str>,
) -> Result<BTreeSet<String>, StoreError> {
    let names = client.keys().of_site(site.as_str(), &["named"]);
    let prefix = prefix.to_lowercase();
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut last: Option<String> = None;
    loop {
        let range = lex::with_prefix(&names, &prefix, last.as_deref(), READ_STEP);
        let members: Vec<String> = client.query(&range).await?;
        for member in &members {
            let mut parts = member.rsplitn(4, lex::BETWEEN);
            let (Some(entry), Some(_), Some(key)) = (parts.next(), parts.next(), parts.next())
            else {
                return Err(unreadable(&names));
            };
            if after.is_none_or(|after| key > after) {
                found.entry(key.to_owned()).or_default().insert(entry.to_owned());
            }
        }
        if members.len() < READ_STEP {
            break;
        }
        last = members.last().cloned();
    }
    // A name counts if it is the one that is shown, of an item that there is.
    let keys: Vec<String> = found.keys().cloned().collect();
    let shown = shown_names(client, site, &keys).await?;
    let items = client.keys().of_site(site.as_str(), &["items"]);
    let is_item = keys.iter().map(|key| {
        let mut find = redis::cmd("ZSCORE");
        find.arg(&items).arg(key);
        (items.clone(), find)
    });
    let is_item = client.query_all(is_item.collect()).await?;
    let candidates = found.into_iter().zip(shown).zip(is_item);
    let wanted = candidates.filter(|(((_, entries), shown), is_item)| {
        let is_shown = shown.as_ref().is_some_and(|shown| entries.contains(&shown.entry));
        is_shown && *is_item != redis::Value::Nil
    });
    Ok(wanted.map(|(((key, _), _), _)| key).collect())
}

/// The name of an item, and the catalogue entry that gives it.
struct ShownName {
    entry: String,
    name: String,
}

async fn shown_names(
    client: &Client,
    site: &Site,
    keys: &[String],
) -> Result<Vec<Option<ShownName>>, StoreError> {
    let list = client.keys().of_site(site.as_str(), &["names"]);
    // The first of an item's names is the one that is shown: entries that are not deleted come
    // first.
    let first = keys.iter().map(|key| {
        let of_item = format!("{key}{}", lex::BETWEEN);
        (list.clone(), lex::with_prefix(&list, &of_item, None, 1))
    });
    let answers = client.query_all(first.collect()).await?.into_iter();
    let shown = answers.map(|answer| {
        let Some(member) = read::<Vec<String>>(&list, answer)?.pop() else { return Ok(None) };
        let mut parts = member.splitn(4, lex::BETWEEN).skip(2);
        let (Some(entry), Some(name)) = (parts.next(), parts.next()) else {
            return Err(unreadable(&list));
        };
        Ok(Some(ShownName { entry: entry.to_owned(), name: name.to_owned() }))
    });
    shown.collect()
}

/// The items of these keys.
async fn items_of(
    client: &Client,
    site: &Site,
    keys: &[String],
) -> Result<Vec<StockItem>, StoreError> {
    let stock = client.keys().of_site(site.as_str(), &["stock"]);
    let counted = keys.iter().map(|key| (stock.clone(), counts_command(&stock, key)));
    let counted = client.query_all(counted.collect()).await?;
    let shown = shown_names(client, site, keys).await?;
    let items = keys.iter().zip(counted).zip(shown).map(|((key, counted), shown)| {
        Ok(StockItem {
            site: site.clone(),
            key: parsed(&stock, key, StockKey::parse)?,
            name: shown.map(|shown| shown.name),
            counts: counts_of(&stock, read(&stock, counted)?)?,
        })
    });
    items.collect()
}

/// The command that reads an item's counts.
pub(super) fn counts_command(stock: &str, key: &str) -> Cmd {
    let mut command = redis::cmd("HMGET");
    command.arg(stock);
    for field in count_fields(key) {
        command.arg(field);
    }
    command
}

/// The fields of an item's counts.
pub(super) fn count_fields(key: &str) -> [String; 3] {
    COUNTS.map(|count| format!("{key}|{count}"))
}

/// What [`counts_command`] answers; a field that is not there counts nothing.
pub(super) fn counts_of(stock: &str, found: Vec<Option<String>>) -> Result<Counts, StoreError> {
    let counted = found.into_iter().map(|text| {
        let text = text.unwrap_or_else(|| "0".to_owned());
        value::number(stock, &text).map(Quantity::from_millionths)
    });
    let counted: Vec<Quantity> = counted.collect::<Result<_, _>>()?;
    let [received, committed, fulfilled] = counted[..] else { return Err(unreadable(stock)) };
    Ok(Counts { received, committed, fulfilled })
}

/// One item with a page of the orders that hold it.
pub(super) async fn stock_item(
    client: &Client,
    site: &Site,
    key: &StockKey,
    holds: &PageRequest,
) -> Result<Option<StockDetail>, StoreError> {
    let key = key.to_string();
    let mut find = redis::cmd("ZSCORE");
    find.arg(client.keys().of_site(site.as_str(), &["items"])).arg(&key);
    if client.query::<redis::Value>(&find).await? == redis::Value::Nil {
        return Ok(None);
    }
    let Some(item) = items_of(client, site, std::slice::from_ref(&key)).await?.pop() else {
        return Ok(None);
    };
    let holds_key = client.keys().of_site(site.as_str(), &["holds", &key]);
    let mut find = redis::cmd("HGET");
    find.arg(&holds_key).arg(CLOSED);
    let closed: Option<String> = client.query(&find).await?;
    let (closed_orders, closed_fulfilled) = closed_of(&holds_key, closed.as_deref())?;
    let held = holds_page(client, &holds_key, holds.after.as_deref(), page_and_one(holds.limit));
    let held = held.await?.into_iter().map(|(order, hold)| {
        let order = parsed(&holds_key, &order, OrderId::parse)?;
        Ok(HeldBy { order, hold: value::hold(&holds_key, &hold)? })
    });
    let held = held.collect::<Result<Vec<_>, StoreError>>()?;
    Ok(Some(StockDetail {
        item,
        holds: value::page(held, holds.limit, |held| held.order.to_string()),
        closed_orders,
        closed_fulfilled,
        dead: letters::parked_of(client, site).await?,
    }))
}

/// What closed orders keep of an item: how many orders, and how much.
pub(super) fn closed_of(
    holds_key: &str,
    text: Option<&str>,
) -> Result<(u64, Quantity), StoreError> {
    let Some(text) = text else { return Ok((0, Quantity::ZERO)) };
    let (orders, fulfilled) = text.split_once(' ').ok_or_else(|| unreadable(holds_key))?;
    let fulfilled = value::number(holds_key, fulfilled).map(Quantity::from_millionths)?;
    Ok((value::number(holds_key, orders)?, fulfilled))
}

/// So many of an item's holds, in order of name behind one. A hash has no order: all of it is gone
/// through, in steps between which Redis serves others.
pub(super) async fn holds_page(
    client: &Client,
    holds_key: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<BTreeMap<String, String>, StoreError> {
    let mut page = BTreeMap::new();
    let mut cursor = 0_u64;
    loop {
        let mut scan = redis::cmd("HSCAN");
        scan.arg(holds_key).arg(cursor).arg("COUNT").arg(READ_STEP);
        let (next, found): (u64, Vec<(String, String)>) = client.query(&scan).await?;
        for (order, hold) in found {
            if order == CLOSED || after.is_some_and(|after| *order <= *after) {
                continue;
            }
            page.insert(order, hold);
            if page.len() > limit {
                page.pop_last();
            }
        }
        if next == 0 {
            return Ok(page);
        }
        cursor = next;
    }
}

/// A page of a site's catalogue entries.
pub(super) async fn catalogue(
    client: &Client,
    site: &Site,
    page: &PageRequest,
) -> Result<Page<Catalogue>, StoreError> {
    let list = client.keys().of_site(site.as_str(), &["catalogue"]);
    let range = lex::after(&list, page.after.as_deref(), page_and_one(page.limit));
    let names: Vec<String> = client.query(&range).await?;
    let Page { items: names, next } = value::page(names, page.limit, Clone::clone);
    let ids = names.iter().map(|name| parsed(&list, name, CatalogueId::parse));
    let ids = ids.collect::<Result<Vec<_>, _>>()?;
    let entities: Vec<EntityId> = ids
        .iter()
        .map(|id| EntityId { site: site.clone(), name: EntityName::Catalogue(id.clone()) })
        .collect();
    let loaded = super::entity::load(client, &entities).await?;
    let items = ids.into_iter().zip(loaded).filter_map(|(id, loaded)| match loaded?.state {
        EntityState::Catalogue(entry) => Some(Catalogue { id, entry }),
        EntityState::Order(_) | EntityState::Receipt(_) => None,
    });
    Ok(Page { items: items.collect(), next })
}
