//! The change feed: a stream a site, whose entries are numbered by us.
//!
//! A commit is one entry. Its changes have numbers in a row, and its id is the last of them.

use std::collections::HashMap;

use redis::Cmd;

use super::client::Client;
use super::value::{self, parsed, unreadable};
use super::{range, relay, sites};
use crate::clock;
use crate::domain::{Cause, Identifier, MessageId, OrderId, Site, StockKey, Timestamp};
use crate::store::read::at_most;
use crate::store::{Change, FeedStart, StoreError};

/// An entry: its id, and its fields.
type FeedEntry = (String, HashMap<String, String>);

/// Entries that are read at once: one may have thousands of changes.
const READ_STEP: usize = 200;

/// A site's feed after a number, oldest first.
pub(super) async fn changes(
    client: &Client,
    site: &Site,
    after: u64,
    limit: usize,
) -> Result<Vec<Change>, StoreError> {
    let (key, (epoch, _)) = (stream_key(client, site), site_facts(client, site).await?);
    let limit = at_most(limit);
    let (mut changes, mut last) = (Vec::new(), after);
    while changes.len() < limit {
        let step = (limit - changes.len()).min(READ_STEP);
        let found = entries(client, &key, &format!("({last}-0"), step).await?;
        for entry in &found {
            last = sequence(&key, entry)?;
            // The first entry may begin before the number asked for.
            let new = changes_of(&key, &epoch, entry)?.into_iter();
            changes.extend(new.filter(|change| change.sequence > after));
        }
        if found.len() < step {
            break;
        }
    }
    changes.truncate(limit);
    Ok(changes)
}

/// The changes of an entry.
fn changes_of(key: &str, epoch: &str, entry: &FeedEntry) -> Result<Vec<Change>, StoreError> {
    let at = value::time(key, field(key, entry, "at")?)?;
    let message_id = value::number(key, field(key, entry, "message")?).map(MessageId)?;
    let first = first_sequence(key, entry)?;
    let changes = field(key, entry, "changes")?.split(range::SEPARATOR);
    let mut after = field(key, entry, "after")?.split(range::SEPARATOR);
    let changes = (first..).zip(changes).map(|(sequence, change)| {
        let mut parts = change.split('\t');
        let (Some(stock_key), Some(cause), Some(delta)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err(unreadable(key));
        };
        let cause = match cause.split_once(' ') {
            Some(("order", order)) => Cause::Order(parsed(key, order, OrderId::parse)?),
            Some(("receipt", reference)) => {
                Cause::Receipt(parsed(key, reference, Identifier::parse)?)
            }
            Some(("repair", actor)) => Cause::Repair(parsed(key, actor, Identifier::parse)?),
            Some(_) | None => return Err(unreadable(key)),
        };
        Ok(Change {
            sequence,
            epoch: epoch.to_owned(),
            at,
            key: parsed(key, stock_key, StockKey::parse)?,
            cause,
            message_id,
            delta: value::counts(key, delta)?,
            after: value::counts(key, after.next().ok_or_else(|| unreadable(key))?)?,
        })
    });
    changes.collect()
}

fn field<'a>(key: &str, entry: &'a FeedEntry, name: &str) -> Result<&'a str, StoreError> {
    entry.1.get(name).map(String::as_str).ok_or_else(|| unreadable(key))
}

/// The number of an entry's last change.
fn sequence(key: &str, entry: &FeedEntry) -> Result<u64, StoreError> {
    let number = entry.0.strip_suffix("-0").ok_or_else(|| unreadable(key))?;
    value::number(key, number)
}

/// The number of an entry's first change.
fn first_sequence(key: &str, entry: &FeedEntry) -> Result<u64, StoreError> {
    let before = sequence(key, entry)?.checked_sub(count(key, entry)?);
    before.map(|before| before + 1).ok_or_else(|| unreadable(key))
}

/// How many changes an entry has.
fn count(key: &str, entry: &FeedEntry) -> Result<u64, StoreError> {
    let after = field(key, entry, "after")?;
    Ok(after.split(range::SEPARATOR).map(|_| 1).sum())
}

/// Where a site's feed begins and ends.
pub(super) async fn start(client: &Client, site: &Site) -> Result<FeedStart, StoreError> {
    // The last number is read first: what is written in between is in the stream.
    let (epoch, last) = site_facts(client, site).await?;
    let key = stream_key(client, site);
    let trimmed = match entries(client, &key, "-", 1).await?.first() {
        Some(entry) => first_sequence(&key, entry)?.saturating_sub(1),
        None => last,
    };
    Ok(FeedStart { epoch, trimmed, last })
}

/// Removes some entries of a site that are older than a time and before any younger one; returns how
/// many changes that were. What is not relayed yet stays, unless it is
/// twice as old.
///
/// Entries never change, and new ones come last: what was read is what is removed.
pub(super) async fn trim(
    client: &Client,
    site: &Site,
    before: Timestamp,
) -> Result<u64, StoreError> {
    let key = stream_key(client, site);
    let oldest = entries(client, &key, "-", READ_STEP).await?;
    // Where nothing was ever relayed, nobody listens.
    let relayed = relay::relayed(client, site).await?.map_or(u64::MAX, |relayed| relayed.sequence);
    let twice_as_old = before.plus_micros(before.micros().saturating_sub(clock::now().micros()));
    let (mut last, mut removed) = (None, 0);
    for entry in &oldest {
        let number = sequence(&key, entry)?;
        let before = if number > relayed { twice_as_old } else { before };
        let at = field(&key, entry, "at")?;
        // Times need not grow with the number: what comes after a younger entry stays with it,
        // so that the feed has no gap.
        if value::time(&key, at)? >= before {
            break;
        }
        last = Some(number);
        removed += count(&key, entry)?;
    }
    let Some(last) = last else { return Ok(0) };
    let mut trim = redis::cmd("XTRIM");
    trim.arg(&key).arg("MINID").arg("=").arg(format!("{}-0", last.saturating_add(1)));
    client.query::<()>(&trim).await?;
    Ok(removed)
}

/// So many entries from a place on.
async fn entries(
    client: &Client,
    key: &str,
    from: &str,
    count: usize,
) -> Result<Vec<FeedEntry>, StoreError> {
    let mut range = redis::cmd("XRANGE");
    client.query(range.arg(key).arg(from).arg("+").arg("COUNT").arg(count)).await
}

/// The epoch that a site was listed in, or the Store's if it was not, and the number of its last
/// change.
async fn site_facts(client: &Client, site: &Site) -> Result<(String, u64), StoreError> {
    let find = Cmd::hmget(client.key(site, &["stock"]), &["~epoch", "~sequence"]);
    let (epoch, sequence): (Option<String>, Option<u64>) = client.query(&find).await?;
    let epoch = match epoch {
        Some(epoch) => epoch,
        None => sites::epoch(client).await?,
    };
    Ok((epoch, sequence.unwrap_or_default()))
}

fn stream_key(client: &Client, site: &Site) -> String {
    client.key(site, &["changes"])
}
