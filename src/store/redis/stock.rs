//! Stock items, and the orders that hold them.

use std::collections::BTreeMap;

use super::client::Client;
use super::names;
use super::value::{self, READ_STEP, parsed, values};
use crate::domain::{Counts, Quantity, Site, StockKey, StockKeyKind};
use crate::store::{StockItem, StoreError};

/// The field of an item's holds for what closed orders keep; no order has such a name.
pub(super) const CLOSED: &str = "~closed";

/// The items of these keys.
pub(super) async fn items(
    client: &Client,
    site: &Site,
    keys: &[String],
) -> Result<Vec<StockItem>, StoreError> {
    let stock = client.key(site, &["stock"]);
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
            counts: counts(&stock, counted.as_deref())?,
        })
    });
    items.collect()
}

/// What an item counts; one that is not there counts nothing.
pub(super) fn counts(stock: &str, text: Option<&str>) -> Result<Counts, StoreError> {
    text.map_or(Ok(Counts::default()), |text| value::counts(stock, text))
}

/// Whether nobody counts these items: a catalogue entry marks them so, or their only name is that of
/// an order's line.
pub(super) async fn untracked(
    client: &Client,
    site: &Site,
    keys: &[String],
) -> Result<Vec<bool>, StoreError> {
    let entries = values(client, &client.key(site, &["untracked"]), keys).await?;
    let of_lines = format!("{}:", StockKeyKind::Line.as_str());
    let all = keys.iter().zip(entries);
    Ok(all.map(|(key, entries)| entries.is_some() || key.starts_with(&of_lines)).collect())
}

/// What closed orders keep of an item: how many orders, and how much.
pub(super) fn closed(holds: &str, text: Option<&str>) -> Result<(u64, Quantity), StoreError> {
    let Some(text) = text else { return Ok((0, Quantity::ZERO)) };
    let (orders, fulfilled) = text.split_once(' ').ok_or_else(|| value::unreadable(holds))?;
    let fulfilled = value::number(holds, fulfilled).map(Quantity::from_millionths)?;
    Ok((value::number(holds, orders)?, fulfilled))
}

/// So many orders that hold an item, each with what it holds, in order of name after one. A hash has
/// no order: all of it is scanned, in steps between which Redis serves others.
pub(super) async fn holds(
    client: &Client,
    holds: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<BTreeMap<String, String>, StoreError> {
    let (mut page, mut cursor) = (BTreeMap::new(), 0_u64);
    loop {
        let mut scan = redis::cmd("HSCAN");
        scan.arg(holds).arg(cursor).arg("COUNT").arg(READ_STEP);
        let found: Vec<(String, String)>;
        (cursor, found) = client.query(&scan).await?;
        for (order, hold) in found {
            if order == CLOSED || after.is_some_and(|after| *order <= *after) {
                continue;
            }
            page.insert(order, hold);
            if page.len() > limit {
                page.pop_last();
            }
        }
        if cursor == 0 {
            return Ok(page);
        }
    }
}
