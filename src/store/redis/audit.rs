//! Reading for audits: what is compared is read at one moment, so a commit that is written
//! meanwhile is seen in both or in neither.

use std::collections::BTreeMap;

use super::client::Client;
use super::moment::{self, Moment};
use super::value::{self, parsed, read};
use super::{entity, failure, range, stock};
use crate::domain::{Counts, Hold, OrderId, Quantity, Record, Site, StockKey};
use crate::store::{
    AuditedHold, AuditedItem, AuditedOrder, EntityId, Loaded, Page, PageRequest, Revision,
    StoreError,
};

/// So many orders are read at once.
const ORDERS_AT_ONCE: usize = 256;
/// So many items: with each comes every order that holds it, which may be a hundred thousand.
const ITEMS_AT_ONCE: usize = 2;
/// So often an order is read again that was committed between two readings.
const READINGS_MAX: usize = 20;

/// A record as it was read.
type LoadedRecord = (OrderId, Revision, Record);

/// Records of orders, each beside what the items that it names record of it.
pub(super) async fn orders(
    client: &Client,
    site: &Site,
    orders: &[OrderId],
) -> Result<Vec<AuditedOrder>, StoreError> {
    let mut open = entity::load_orders(client, site, orders).await?;
    let mut audited = BTreeMap::new();
    for _ in 0..READINGS_MAX {
        let moments: Vec<Moment> = open.iter().map(|it| moment_of(client, site, it)).collect();
        let found = moment::read_all(client, &moments, ORDERS_AT_ONCE).await?;
        let mut changed = Vec::new();
        for (loaded, found) in open.drain(..).zip(found) {
            let key = entity::order_key(client.keys(), site, &loaded.0);
            match held_by(&key, &loaded, found)? {
                Some(held) => {
                    let (order, revision, record) = loaded;
                    let it = AuditedOrder { order: order.clone(), revision, record, held };
                    audited.insert(order, it);
                }
                None => changed.push(loaded.0),
            }
        }
        if changed.is_empty() {
            return Ok(orders.iter().filter_map(|order| audited.remove(order)).collect());
        }
        open = entity::load_orders(client, site, &changed).await?;
    }
    Err(failure::unavailable("orders change faster than they can be read; audit again later"))
}

/// An order's revision, and what the items that it names record of it.
fn moment_of(client: &Client, site: &Site, (order, _, record): &LoadedRecord) -> Moment {
    let (keys, name) = (client.keys(), order.to_string());
    let key = entity::order_key(keys, site, order);
    let revision = Moment::new().ask("HGET", &key, &["rev"]);
    record.applied.keys().fold(revision, |moment, key| {
        let holds = client.key(site, &["holds", &key.to_string()]);
        moment.ask("HGET", &holds, &[&name])
    })
}

/// `None` if the order changed since.
fn held_by(
    key: &str,
    (_, revision, record): &LoadedRecord,
    found: Vec<redis::Value>,
) -> Result<Option<BTreeMap<StockKey, Hold>>, StoreError> {
    let mut found = found.into_iter();
    let known: Option<String> = read(key, found.next().unwrap_or_default())?;
    if known != Some(revision.0.to_string()) {
        return Ok(None);
    }
    let mut held = BTreeMap::new();
    for (key, found) in record.applied.keys().zip(found) {
        let name = key.to_string();
        if let Some(text) = read::<Option<String>>(&name, found)? {
            held.insert(key.clone(), value::hold(&name, &text)?);
        }
    }
    Ok(Some(held))
}

/// A page of holds as a site's items record them, each beside what the order records.
pub(super) async fn holds(
    client: &Client,
    site: &Site,
    page: &PageRequest,
) -> Result<Page<AuditedHold>, StoreError> {
    let after = page.after.as_deref();
    let after = after.map(|after| after.split_once(range::SEPARATOR).unwrap_or((after, "")));
    let names = hold_names(client, site, after, page.rows()).await?;
    let cursor = |(key, order): &(String, String)| [&**key, &**order].join(range::SEPARATOR);
    let Page { items: names, next } = page.cut(names, cursor);
    let mut asked = Vec::with_capacity(names.len());
    let mut moments = Vec::with_capacity(names.len());
    for (key, order) in &names {
        let holds = client.key(site, &["holds", key]);
        let id = parsed(&holds, order, OrderId::parse)?;
        let order_key = entity::order_key(client.keys(), site, &id);
        let moment = Moment::new().ask("HGET", &holds, &[order]);
        moments.push(moment.ask("HMGET", &order_key, &["rev", "state"]));
        asked.push((parsed(&holds, key, StockKey::parse)?, id, holds, order_key));
    }
    let mut items = Vec::with_capacity(asked.len());
    let found = moment::read_all(client, &moments, ORDERS_AT_ONCE).await?;
    for ((key, order, holds, order_key), found) in asked.into_iter().zip(found) {
        let [held, loaded] = moment::values(&holds, found)?;
        let Some(held) = read::<Option<String>>(&holds, held)? else { continue };
        let held = value::hold(&holds, &held)?;
        let applied = match entity::loaded_of(&EntityId::order(site, &order), &order_key, loaded) {
            Ok(loaded) => {
                Some(loaded.and_then(Loaded::into_record).map_or_else(Hold::default, |record| {
                    record.applied.get(&key).copied().unwrap_or_default()
                }))
            }
            // An order that cannot be read is reported with the orders.
            Err(error) if error.is_of_data() => None,
            Err(error) => return Err(error),
        };
        items.push(AuditedHold { key, order, held, applied });
    }
    Ok(Page { items, next })
}

/// The names of so many holds, in order of key and order, after one.
async fn hold_names(
    client: &Client,
    site: &Site,
    after: Option<(&str, &str)>,
    limit: usize,
) -> Result<Vec<(String, String)>, StoreError> {
    let items = client.key(site, &["items"]);
    let mut names = Vec::new();
    let mut place = after.map(|(key, order)| (key.to_owned(), Some(order)));
    let mut last: Option<String> = None;
    loop {
        let (key, after) = if let Some(place) = place.take() {
            place
        } else {
            let range = range::after(&items, last.as_deref(), 1);
            let Some(key) = client.query::<Vec<String>>(&range).await?.pop() else {
                return Ok(names);
            };
            (key, None)
        };
        let holds = client.key(site, &["holds", &key]);
        let missing = limit - names.len();
        let found = stock::holds(client, &holds, after, missing).await?;
        names.extend(found.into_keys().map(|order| (key.clone(), order)));
        if names.len() >= limit {
            return Ok(names);
        }
        last = Some(key);
    }
}

/// A page of a site's items, each beside the sums of what it is made of.
pub(super) async fn items(
    client: &Client,
    site: &Site,
    page: &PageRequest,
) -> Result<Page<AuditedItem>, StoreError> {
    let (list, counted) = (client.key(site, &["items"]), client.key(site, &["stock"]));
    let names = range::after(&list, page.after.as_deref(), page.rows());
    let Page { items: names, next } =
        page.cut(client.query::<Vec<String>>(&names).await?, String::clone);
    let moment = |name: &String| {
        Moment::new()
            .ask("HGET", &counted, &[name])
            .ask("HGETALL", &client.key(site, &["holds", name]), &[])
            .ask("HVALS", &client.key(site, &["receipts", name]), &[])
    };
    let moments: Vec<Moment> = names.iter().map(moment).collect();
    let found = moment::read_all(client, &moments, ITEMS_AT_ONCE).await?;
    let audited = names.iter().zip(found).map(|(name, found)| {
        let [counts, holds, received] = moment::values(&counted, found)?;
        let holds: Vec<(String, String)> = read(name, holds)?;
        let received: Vec<String> = read(name, received)?;
        Ok(AuditedItem {
            key: parsed(&list, name, StockKey::parse)?,
            counts: stock::counts(&counted, read::<Option<String>>(&counted, counts)?.as_deref())?,
            sums: sums(name, &holds, &received)?,
        })
    });
    Ok(Page { items: audited.collect::<Result<_, StoreError>>()?, next })
}

/// What an item is made of; `None` if that is more than can be counted.
fn sums(
    name: &str,
    holds: &[(String, String)],
    received: &[String],
) -> Result<Option<Counts>, StoreError> {
    let mut parts = Vec::with_capacity(holds.len() + received.len());
    for (order, text) in holds {
        let hold = if order == stock::CLOSED {
            Hold { committed: Quantity::ZERO, fulfilled: stock::closed(name, Some(text))?.1 }
        } else {
            value::hold(name, text)?
        };
        let Hold { committed, fulfilled } = hold;
        parts.push(Counts { received: Quantity::ZERO, committed, fulfilled });
    }
    for text in received {
        let received = value::number(name, text).map(Quantity::from_millionths)?;
        parts.push(Counts { received, ..Counts::default() });
    }
    Ok(AuditedItem::sum(parts))
}
