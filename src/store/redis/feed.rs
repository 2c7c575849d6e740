//! The change feed: a stream a site, whose entries are numbered by us.
//!
//! A commit is one entry. Its changes have numbers in a row, and its id is the last of them.

use std::collections::HashMap;

use super::client::Client;
use super::value::{self, at_most, parsed, unreadable};
use super::{lex, relay, sites};
use crate::clock;
use crate::domain::{Cause, Identifier, MessageId, OrderId, Site, StockKey, Timestamp};
use crate::store::{Change, FeedStart, StoreError};

/// An entry: its id, and its fields.
type Entry = (String, HashMap<String, String>);

/// Entries that are read at once: one may have thousands of changes.
const READ_STEP: usize = 200;

/// A site's feed from behind a number, oldest first.
pub(super) async fn changes(
    client: &Client,
    site: &Site,
    after: u64,
    limit: usize,
) -> Result<Vec<Change>, StoreError> {
    let (key, epoch) = (stream_key(client, site), epoch(client, site).await?);
    let limit = at_most(limit);
    let (mut changes, mut last) = (Vec::new(), after);
    while changes.len() < limit {
        let step = (limit - changes.len()).min(READ_STEP);
        let mut range = redis::cmd("XRANGE");
        range.arg(&key).arg(format!("({last}-0")).arg("+").arg("COUNT").arg(step);
        let found: Vec<Entry> = client.query(&range).await?;
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
fn changes_of(key: &str, epoch: &str, entry: &Entry) -> Result<Vec<Change>, StoreError> {
    let at = value::time(key, field(key, entry, "at")?)?;
    let message_id = value::number(key, field(key, entry, "message")?).map(MessageId)?;
    let first = first_sequence(key, entry)?;
    let changes = field(key, entry, "changes")?.split(lex::BETWEEN);
    let mut after = field(key, entry, "after")?.split(lex::BETWEEN);
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

fn field<'a>(key: &str, entry: &'a Entry, name: &str) -> Result<&'a str, StoreError> {
    entry.1.get(name).map(String::as_str).ok_or_else(|| unreadable(key))
}

/// The number of an entry's last change.
fn sequence(key: &str, entry: &Entry) -> Result<u64, StoreError> {
    let number = entry.0.strip_suffix("-0").ok_or_else(|| unreadable(key))?;
    value::number(key, number)
}

/// The number of an entry's first change.
fn first_sequence(key: &str, entry: &Entry) -> Result<u64, StoreError> {
    let before = sequence(key, entry)?.checked_sub(count(key, entry)?);
    before.map(|before| before + 1).ok_or_else(|| unreadable(key))
}

/// How many changes an entry has.
fn count(key: &str, entry: &Entry) -> Result<u64, StoreError> {
    let after = field(key, entry, "after")?;
    Ok(after.split(lex::BETWEEN).map(|_| 1).sum())
}

/// Where a site's feed begins.
pub(super) async fn start(client: &Client, site: &Site) -> Result<FeedStart, StoreError> {
    let epoch = epoch(client, site).await?;
    // The last number is read first: what is written in between stands in the stream.
    let last = last_sequence(client, site).await?;
    let oldest = oldest(client, site, 1).await?;
    let trimmed = match oldest.first() {
        Some(entry) => first_sequence(&stream_key(client, site), entry)?.saturating_sub(1),
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
    let oldest = oldest(client, site, READ_STEP).await?;
    // Where nothing was ever relayed, nobody listens.
    let relayed = relay::relayed(client, site).await?.map_or(u64::MAX, |relayed| relayed.sequence);
    let twice_as_old = before.plus_micros(before.micros().saturating_sub(clock::now().micros()));
    let (mut last, mut removed) = (None, 0);
    for entry in &oldest {
        let number = sequence(&key, entry)?;
        let before = if number > relayed { twice_as_old } else { before };
        let at = field(&key, entry, "at")?;
        // Times need not grow with the number: what stands behind a younger entry stays with it,
        // so that the feed has no gap.
        if value::time(&key, at)? >= before {
            break;
        }
        last = Some(number);
        removed += count(&key, entry)?;
    }
    let Some(last) = last else { return Ok((0, false)) };
    let mut trim = redis::cmd("XTRIM");
    trim.arg(&key).arg("MINID").arg("=").arg(format!("{}-0", last.saturating_add(1)));
    client.query::<()>(&trim).await?;
    let is_whole = oldest.last().map(|entry| sequence(&key, entry)).transpose()? == Some(last);
    Ok((removed, is_whole && oldest.len() == READ_STEP))
}

async fn oldest(client: &Client, site: &Site, count: usize) -> Result<Vec<Entry>, StoreError> {
    let mut range = redis::cmd("XRANGE");
    range.arg(stream_key(client, site)).arg("-").arg("+").arg("COUNT").arg(count);
    client.query(&range).await
}

async fn last_sequence(client: &Client, site: &Site) -> Result<u64, StoreError> {
    let mut find = redis::cmd("HGET");
    find.arg(client.keys().of_site(site.as_str(), &["stock"])).arg("~sequence");
    Ok(client.query::<Option<u64>>(&find).await?.unwrap_or_default())
}

/// The epoch that a site was listed in; the Store's, if it was not.
async fn epoch(client: &Client, site: &Site) -> Result<String, StoreError> {
    let mut find = redis::cmd("HGET");
    find.arg(client.keys().of_site(site.as_str(), &["stock"])).arg("~epoch");
    match client.query(&find).await? {
        Some(epoch) => Ok(epoch),
        None => sites::epoch(client).await,
    }
}

fn stream_key(client: &Client, site: &Site) -> String {
    client.keys().of_site(site.as_str(), &["changes"])
}
