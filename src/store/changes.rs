//! The change feed from a cursor on, for whoever follows a site's stock.
//!
//! A [`Cursor`] names a place in the feed of one Store: its epoch and a sequence number. A reader
//! that keeps the cursor of the last change it has seen misses nothing, or gets an error.
//!
//! # Invariants
//! - What is read begins right after the cursor: there is no silent gap.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::domain::{Site, StockKey, Timestamp};
use crate::store::{Change, ReadStore, StoreError};

/// The longest cursor that is looked at, in bytes.
const CURSOR_BYTES_MAX: usize = 256;

/// A place in a change feed: after a change. Its text is opaque to readers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    sequence: u64,
    epoch: String,
}

/// A text that is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not one of a change feed")]
pub struct CursorError;

impl Cursor {
    /// The place after a change.
    pub fn after(change: &Change) -> Self {
        Self { sequence: change.sequence, epoch: change.epoch.clone() }
    }

    /// Reads what [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Result<Self, CursorError> {
        if text.len() > CURSOR_BYTES_MAX {
            return Err(CursorError);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        let text = str::from_utf8(&bytes).map_err(|_| CursorError)?;
        let (sequence, epoch) = text.split_once('.').ok_or(CursorError)?;
        let sequence = sequence.parse().map_err(|_| CursorError)?;
        if epoch.is_empty() {
            return Err(CursorError);
        }
        Ok(Self { sequence, epoch: epoch.to_owned() })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(format!("{}.{}", self.sequence, self.epoch)))
    }
}

/// Why a feed cannot be read from a cursor.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// Changes after it are no longer kept, or it is of another Store.
    #[error(
        "the cursor is older than what is kept, or of another feed; read the stock anew, then \
         follow the feed without a cursor"
    )]
    CursorGone,
    /// The Store cannot be read.
    #[error("cannot read the change feed")]
    Store(#[from] StoreError),
}

/// Reads at most `limit` changes of a site, oldest first: those after a cursor, or from the
/// oldest that is kept. A cursor ahead of the end is waited for: nothing comes after it yet.
pub async fn read(
    store: &dyn ReadStore,
    site: &Site,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<Vec<Change>, FeedError> {
    let start = store.feed_start(site).await?;
    let sequence = after.map_or(start.trimmed, |cursor| cursor.sequence);
    if after.is_some_and(|cursor| cursor.epoch != start.epoch) || sequence < start.trimmed {
        return Err(FeedError::CursorGone);
    }
    let changes = store.changes(site, sequence, limit).await?;
    // The feed may have been trimmed, or replaced, between the two reads.
    let follows = |first: &Change| {
        first.epoch == start.epoch && first.sequence.checked_sub(1) == Some(sequence)
    };
    if after.is_some() && !changes.first().is_none_or(follows) {
        return Err(FeedError::CursorGone);
    }
    Ok(changes)
}

/// Changes that are read at a time by those who look for some of them.
const STEP: usize = 500;
/// How far the clocks of two workers may differ, in microseconds: the times of a feed grow with its
/// numbers but for that.
const CLOCKS_DIFFER: i64 = 60_000_000;

/// Selects changes; `None` does not restrict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeFilter {
    /// Those of this item.
    pub key: Option<StockKey>,
    /// Those since this time.
    pub since: Option<Timestamp>,
}

impl ChangeFilter {
    fn selects(&self, change: &Change) -> bool {
        self.key.as_ref().is_none_or(|key| *key == change.key)
            && self.since.is_none_or(|since| change.at >= since)
    }
}

/// What was found in a part of a feed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selected {
    /// The changes that the filter selects, oldest first.
    pub changes: Vec<Change>,
    /// The last change that was looked at; `None` if there was none.
    pub last: Option<Cursor>,
    /// Whether the feed goes on after that change, as far as is known.
    pub has_more: bool,
}

/// Reads the changes of a site that a filter selects, oldest first, after a cursor: at most `limit`
/// of the next `looked_at_max` or a few more.
pub async fn select(
    store: &dyn ReadStore,
    site: &Site,
    filter: &ChangeFilter,
    after: Option<&Cursor>,
    (limit, looked_at_max): (usize, usize),
) -> Result<Selected, FeedError> {
    let mut found = Selected { last: after.cloned(), ..Selected::default() };
    if let (None, Some(since)) = (after, filter.since) {
        found.last = place_before(store, site, since).await?;
    }
    let step = if *filter == ChangeFilter::default() { limit } else { STEP };
    let mut looked_at = 0;
    loop {
        let batch = read(store, site, found.last.as_ref(), step).await?;
        found.has_more = batch.len() == step;
        looked_at += batch.len();
        for change in batch {
            found.last = Some(Cursor::after(&change));
            if filter.selects(&change) {
                found.changes.push(change);
                if found.changes.len() == limit {
                    found.has_more = true;
                    return Ok(found);
                }
            }
        }
        if !found.has_more || looked_at >= looked_at_max {
            return Ok(found);
        }
    }
}

/// Reads the newest changes of a site, of one item or of all, newest first: at most `count` of the
/// last `looked_at_max` or a few more.
pub async fn newest(
    store: &dyn ReadStore,
    site: &Site,
    key: Option<&StockKey>,
    (count, looked_at_max): (usize, usize),
) -> Result<Vec<Change>, StoreError> {
    let feed = store.feed_start(site).await?;
    let (mut end, mut found) = (feed.last, Vec::new());
    while end > feed.trimmed && found.len() < count && feed.last - end < looked_at_max as u64 {
        let start = end.saturating_sub(STEP as u64).max(feed.trimmed);
        let batch = store.changes(site, start, STEP).await?;
        let is_wanted = |change: &Change| {
            change.epoch == feed.epoch
                && change.sequence <= end
                && key.is_none_or(|key| *key == change.key)
        };
        let wanted = batch.into_iter().rev().filter(is_wanted);
        found.extend(wanted.take(count - found.len()));
        end = start;
    }
    Ok(found)
}

/// A place with no change since a time before it; `None` if that is the beginning.
async fn place_before(
    store: &dyn ReadStore,
    site: &Site,
    since: Timestamp,
) -> Result<Option<Cursor>, StoreError> {
    let feed = store.feed_start(site).await?;
    let since = since.plus_micros(-CLOCKS_DIFFER);
    let (mut before, mut end) = (feed.trimmed, feed.last);
    while before < end {
        let middle = before + (end - before) / 2;
        let next = store.changes(site, middle, 1).await?.pop();
        match next {
            Some(change) if change.at < since => before = middle + 1,
            Some(_) | None => end = middle,
        }
    }
    let cursor = Cursor { sequence: before, epoch: feed.epoch };
    Ok((before > feed.trimmed).then_some(cursor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_from_its_text() {
        for sequence in [0, 1, u64::MAX] {
            let cursor = Cursor { sequence, epoch: "0f1e.2d".to_owned() };
            let text = cursor.to_string();
            assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
            assert_eq!(Cursor::parse(&text), Ok(cursor));
        }
    }

    #[test]
    fn what_no_feed_gave_out_is_no_cursor() {
        let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let long = encoded(&format!("1.{}", "x".repeat(CURSOR_BYTES_MAX)));
        for text in ["", "1", "!", "_w", &encoded("1"), &encoded("-1.a"), &encoded("1."), &long] {
            assert_eq!(Cursor::parse(text), Err(CursorError), "{text:?}");
        }
    }
}
