//! Stock items, who holds them, and the catalogue.

use std::collections::{BTreeMap, BTreeSet};

use super::client::Client;
use super::value::{self, page_and_one, parsed, unreadable, values};
use super::{dead_letters, entity, lex, names, sites};
use crate::domain::{CatalogueId, Counts, OrderId, Quantity, Site, StockKey, StockKeyKind};
use crate::store::{
    Asked, Catalogue, EntityId, EntityName, EntityState, HeldBy, Page, PageRequest, StockDetail,
    StockItem, StoreError,
};

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
            keys.extend(names::with_prefix(client, site, prefix, after).await?);
            keys
        }
    };
    let keys: Vec<String> = keys.into_iter().take(limit).collect();
    let page = value::page(keys, page.limit, Clone::clone);
    Ok(Page { items: items_of(client, site, &page.items).await?, next: page.next })
}

/// The items of these keys.
async fn items_of(
    client: &Client,
    site: &Site,
    keys: &[String],
) -> Result<Vec<StockItem>, StoreError> {
    let stock = client.keys().of_site(site.as_str(), &["stock"]);
    let counted = values(client, &stock, keys).await?;
    let untracked = untracked(client, site, keys).await?;
    let shown = names::shown(client, site, keys).await?;
    let items = keys.iter().zip(counted).zip(untracked).zip(shown);
    let items = items.map(|(((key, counted), is_untracked), name)| {
        Ok(StockItem {
            site: site.clone(),
            key: parsed(&stock, key, StockKey::parse)?,
            name,
            is_untracked,
            counts: counts_of(&stock, counted.as_deref())?,
        })
    });
    items.collect()
}

/// What an item counts; one that is not there counts nothing.
pub(super) fn counts_of(stock: &str, text: Option<&str>) -> Result<Counts, StoreError> {
    text.map_or(Ok(Counts::default()), |text| value::counts(stock, text))
}

/// Whether nobody counts these items: a catalogue entry says so, or they have no name but that of an
/// order's line.
async fn untracked(client: &Client, site: &Site, keys: &[String]) -> Result<Vec<bool>, StoreError> {
    let untracked = client.keys().of_site(site.as_str(), &["untracked"]);
    let entries = values(client, &untracked, keys).await?;
    let of_lines = format!("{}:", StockKeyKind::Line.as_str());
    let all = keys.iter().zip(entries);
    Ok(all.map(|(key, entries)| entries.is_some() || key.starts_with(&of_lines)).collect())
}

/// How many items, over all sites, have less than nothing available and are counted by somebody.
pub(super) async fn oversold(client: &Client) -> Result<u64, StoreError> {
    let mut count = 0;
    for site in sites::list(client).await? {
        let oversold = client.keys().of_site(site.as_str(), &["oversold"]);
        let (mut keys, mut cursor) = (BTreeSet::new(), 0_u64);
        loop {
            let mut scan = redis::cmd("SSCAN");
            scan.arg(&oversold).arg(cursor).arg("COUNT").arg(READ_STEP);
            let (next, found): (u64, Vec<String>) = client.query(&scan).await?;
            // One that was found before may be found again.
            let new: Vec<String> =
                found.into_iter().filter(|key| keys.insert(key.clone())).collect();
            for is_untracked in untracked(client, &site, &new).await? {
                count += u64::from(!is_untracked);
            }
            if next == 0 {
                break;
            }
            cursor = next;
        }
    }
    Ok(count)
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
    let held = hash_page(client, &holds_key, holds.after.as_deref(), page_and_one(holds.limit));
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
        dead: dead_letters::parked_of(client, site).await?,
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

/// So many fields of a hash with their values, in order of name behind one. A hash has no order: all of
/// it is gone through, in steps between which Redis serves others.
pub(super) async fn hash_page(
    client: &Client,
    hash: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<BTreeMap<String, String>, StoreError> {
    let mut page = BTreeMap::new();
    let mut cursor = 0_u64;
    loop {
        let mut scan = redis::cmd("HSCAN");
        scan.arg(hash).arg(cursor).arg("COUNT").arg(READ_STEP);
        let (next, found): (u64, Vec<(String, String)>) = client.query(&scan).await?;
        for (field, value) in found {
            if field == CLOSED || after.is_some_and(|after| *field <= *after) {
                continue;
            }
            page.insert(field, value);
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
    let entity =
        |id: &CatalogueId| EntityId { site: site.clone(), name: EntityName::Catalogue(id.clone()) };
    let asked = Asked { entities: ids.iter().map(entity).collect(), links: Vec::new() };
    let loaded = entity::load(client, &asked).await?.entities;
    let items = ids.into_iter().zip(loaded).filter_map(|(id, loaded)| match loaded?.state {
        EntityState::Catalogue(entry) => Some(Catalogue { id, entry }),
        EntityState::Order(_) | EntityState::Receipt(_) => None,
    });
    Ok(Page { items: items.collect(), next })
}
