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

use crate::domain::Site;
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
