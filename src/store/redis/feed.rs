//! The change feed: a stream a site, whose entries are numbered by us.

use std::collections::HashMap;

use super::client::Client;
use super::value::{self, at_most, parsed, unreadable};
use super::{relay, sites};
use crate::clock;
use crate::domain::{
    EntityName, Identifier, MessageId, OrderId, ReceiptId, Site, StockKey, Timestamp,
};
use crate::store::{Change, FeedStart, StoreError};

/// An entry: its id, and its fields.
type Entry = (String, HashMap<String, String>);

/// Entries that one step of trimming looks at.
const TRIM_STEP: usize = 1000;

/// A site's feed from behind a number, oldest first.
pub(super) async fn changes(
    client: &Client,
    site: &Site,
    after: u64,
    limit: usize,
) -> Result<Vec<Change>, StoreError> {
    let (key, epoch) = (stream_key(client, site), epoch(client, site).await?);
    let mut range = redis::cmd("XRANGE");
    range.arg(&key).arg(format!("({after}-0")).arg("+").arg("COUNT").arg(at_most(limit));
    let found: Vec<Entry> = client.query(&range).await?;
    found.iter().map(|entry| change(&key, &epoch, entry)).collect()
}

fn change(key: &str, epoch: &str, entry: &Entry) -> Result<Change, StoreError> {
    let field = |name: &str| entry.1.get(name).ok_or_else(|| unreadable(key));
    let stock_key = parsed(key, field("key")?, StockKey::parse)?;
    let cause = field("cause")?;
    let cause = match cause.split_once(' ') {
        Some(("order", order)) => EntityName::Order(parsed(key, order, OrderId::parse)?),
        Some(("receipt", reference)) => EntityName::Receipt(ReceiptId {
            key: stock_key.clone(),
            reference: parsed(key, reference, Identifier::parse)?,
        }),
        Some(_) | None => return Err(unreadable(key)),
    };
    Ok(Change {
        sequence: sequence(key, entry)?,
        epoch: epoch.to_owned(),
        at: value::time(key, field("at")?)?,
        key: stock_key,
        cause,
        message_id: value::number(key, field("message")?).map(MessageId)?,
        delta: value::counts(key, field("delta")?)?,
        after: value::counts(key, field("after")?)?,
    })
}

fn sequence(key: &str, entry: &Entry) -> Result<u64, StoreError> {
    let number = entry.0.strip_suffix("-0").ok_or_else(|| unreadable(key))?;
    value::number(key, number)
}

/// Where a site's feed begins.
pub(super) async fn start(client: &Client, site: &Site) -> Result<FeedStart, StoreError> {
    let epoch = epoch(client, site).await?;
    // The last number is read first: what is written in between stands in the stream.
    let last = last_sequence(client, site).await?;
    let oldest = oldest(client, site, 1).await?;
    let trimmed = match oldest.first() {
        Some(entry) => sequence(&stream_key(client, site), entry)?.saturating_sub(1),
        None => last,
    };
    Ok(FeedStart { epoch, trimmed })
}

/// Removes what is older than a time and before any younger entry, from every site. What is not
/// relayed yet stays, unless it is twice as old.
pub(super) async fn trim(client: &Client, before: Timestamp) -> Result<u64, StoreError> {
    let mut removed = 0;
    for site in sites::list(client).await? {
        loop {
            let (count, may_go_on) = trim_step(client, &site, before).await?;
            removed += count;
            if !may_go_on {
                break;
            }
        }
    }
    Ok(removed)
}

/// Entries never change, and new ones come behind: what was looked at is what is removed.
async fn trim_step(
    client: &Client,
    site: &Site,
    before: Timestamp,
) -> Result<(u64, bool), StoreError> {
    let key = stream_key(client, site);
    let oldest = oldest(client, site, TRIM_STEP).await?;
    // Where nothing was ever relayed, nobody listens.
    let relayed = relay::relayed(client, site).await?.map_or(u64::MAX, |relayed| relayed.sequence);
    let twice_as_old = before.plus_micros(before.micros().saturating_sub(clock::now().micros()));
    let mut last = None;
    for entry in &oldest {
        let number = sequence(&key, entry)?;
        let before = if number > relayed { twice_as_old } else { before };
        let at = entry.1.get("at").ok_or_else(|| unreadable(&key))?;
        // Times need not grow with the number: what stands behind a younger entry stays with it,
        // so that the feed has no gap.
        if value::time(&key, at)? >= before {
            break;
        }
        last = Some(number);
    }
    let Some(last) = last else { return Ok((0, false)) };
    let mut trim = redis::cmd("XTRIM");
    trim.arg(&key).arg("MINID").arg("=").arg(format!("{}-0", last.saturating_add(1)));
    let removed = client.query(&trim).await?;
    let is_whole = oldest.last().map(|entry| sequence(&key, entry)).transpose()? == Some(last);
    Ok((removed, is_whole && oldest.len() == TRIM_STEP))
}

async fn oldest(client: &Client, site: &Site, count: usize) -> Result<Vec<Entry>, StoreError> {
    let mut range = redis::cmd("XRANGE");
    range.arg(stream_key(client, site)).arg("-").arg("+").arg("COUNT").arg(count);
    client.query(&range).await
}

async fn last_sequence(client: &Client, site: &Site) -> Result<u64, StoreError> {
    let mut find = redis::cmd("HGET");
    find.arg(client.keys().of_site(site.as_str(), &["site"])).arg("sequence");
    Ok(client.query::<Option<u64>>(&find).await?.unwrap_or_default())
}

/// The epoch that a site was listed in; the Store's, if it was not.
async fn epoch(client: &Client, site: &Site) -> Result<String, StoreError> {
    let mut find = redis::cmd("HGET");
    find.arg(client.keys().of_site(site.as_str(), &["site"])).arg("epoch");
    match client.query(&find).await? {
        Some(epoch) => Ok(epoch),
        None => sites::epoch(client).await,
    }
}

fn stream_key(client: &Client, site: &Site) -> String {
    client.keys().of_site(site.as_str(), &["changes"])
}
