//! The lists that orders are in, and the links of their names.

use std::collections::BTreeMap;

use super::call::list_key;
use super::client::Client;
use super::value::{self, page_and_one, parsed};
use super::{failure, sites};
use crate::domain::{Link, List, OrderId, Site, Timestamp};
use crate::store::{Direction, Listed, Page, PageRequest, StoreError};

/// So many members of a list are read at once.
const READ_STEP: usize = 1000;

/// An order's name with the time of its last commit: its place in a list.
type Member = (String, i64);

/// A page of a list: by time, and among equal times by name.
pub(super) async fn listed(
    client: &Client,
    site: &Site,
    list: List,
    direction: Direction,
    page: &PageRequest,
) -> Result<Page<Listed>, StoreError> {
    let key = list_key(client.keys(), site, list);
    let after = page.after.as_deref().map(member_of).transpose()?;
    let members = members(client, &key, direction, after.as_ref(), page_and_one(page.limit));
    let cursor = |(name, at): &Member| format!("{at}.{name}");
    let Page { items, next } = value::page(members.await?, page.limit, cursor);
    let listed = items.into_iter().map(|(name, at)| {
        let order = parsed(&key, &name, OrderId::parse)?;
        Ok(Listed { order, at: Timestamp::from_micros(at) })
    });
    Ok(Page { items: listed.collect::<Result<_, StoreError>>()?, next })
}

fn member_of(cursor: &str) -> Result<Member, StoreError> {
    let parts = cursor.split_once('.');
    let member = parts.and_then(|(at, name)| Some((name.to_owned(), at.parse().ok()?)));
    member.ok_or_else(|| failure::rejected("the cursor is not one of this list"))
}

/// So many members after one.
async fn members(
    client: &Client,
    key: &str,
    direction: Direction,
    after: Option<&Member>,
    limit: usize,
) -> Result<Vec<Member>, StoreError> {
    let start = after.map(|(_, at)| at.to_string());
    let is_after = |(name, at): &Member| {
        after.is_none_or(|(last, last_at)| match direction {
            Direction::OldestFirst => (at, name) > (last_at, last),
            Direction::NewestFirst => (at, name) < (last_at, last),
        })
    };
    let (mut members, mut offset) = (Vec::new(), 0);
    loop {
        let mut range = redis::cmd("ZRANGE");
        range.arg(key);
        match direction {
            Direction::OldestFirst => {
                range.arg(start.as_deref().unwrap_or("-inf")).arg("+inf").arg("BYSCORE");
            }
            Direction::NewestFirst => {
                range.arg(start.as_deref().unwrap_or("+inf")).arg("-inf").arg("BYSCORE").arg("REV");
            }
        }
        let step = limit.min(READ_STEP);
        range.arg("LIMIT").arg(offset).arg(step).arg("WITHSCORES");
        let found: Vec<Member> = client.query(&range).await?;
        offset += found.len();
        let is_whole = found.len() < step;
        // Those of the cursor's own moment are in order of name.
        members.extend(found.into_iter().filter(is_after));
        if is_whole || members.len() >= limit {
            members.truncate(limit);
            return Ok(members);
        }
    }
}

/// How many orders are in a list, over all sites.
pub(super) async fn count_listed(client: &Client, list: List) -> Result<u64, StoreError> {
    sites::sum(client, "ZCARD", |site| list_key(client.keys(), site, list)).await
}

/// A page of a site's links, in order of name.
pub(super) async fn links(
    client: &Client,
    site: &Site,
    page: &PageRequest,
) -> Result<Page<(OrderId, Link)>, StoreError> {
    let key = client.keys().of_site(site.as_str(), &["names"]);
    let mut cursor: u64 = match &page.after {
        Some(after) => {
            after.parse().map_err(|_| failure::rejected("the cursor is not one of this list"))?
        }
        None => 0,
    };
    let mut links = BTreeMap::new();
    loop {
        let mut scan = redis::cmd("HSCAN");
        scan.arg(&key).arg(cursor).arg("COUNT").arg(value::at_most(page.limit));
        let (next, found): (u64, Vec<(String, String)>) = client.query(&scan).await?;
        for (name, link) in found {
            links.insert(parsed(&key, &name, OrderId::parse)?, parsed(&key, &link, Link::parse)?);
        }
        cursor = next;
        if cursor == 0 || !links.is_empty() {
            break;
        }
    }
    let next = (cursor != 0).then(|| cursor.to_string());
    Ok(Page { items: links.into_iter().collect(), next })
}
