//! Audits the change feed: its numbers have no gaps, each entry continues from the previous entry
//! of its item, and the last entry matches the item's counts.
//!
//! Entries that outlived their retention are removed from the beginning. The audit starts at the
//! first remaining entry. If entries are removed before it has read them, it starts anew after
//! them.

use std::collections::HashMap;

use super::rules::{Difference, Kind};
use crate::domain::{Counts, Quantity, Site, StockKey};
use crate::store::{Change, PageRequest, ReadStore, StoreError};

/// How many entries are read at a time.
const PAGE: usize = 1000;

/// Returns the differences in the feed of a site.
pub(super) async fn differences(
    store: &dyn ReadStore,
    site: &Site,
) -> Result<Vec<Difference>, StoreError> {
    let mut reading = FeedReading::default();
    reading.read_on(store, site).await?;
    let counts = counts(store, site).await?;
    let read = reading.last;
    reading.read_on(store, site).await?;
    // Changes made while the counts were read are left to the next audit.
    let latest = reading.latest.iter().filter(|(_, latest)| Some(latest.sequence) <= read);
    let mut differences = std::mem::take(&mut reading.differences);
    for (key, Latest { after, .. }) in latest {
        let found = counts.get(key).copied().unwrap_or_default();
        if found != *after {
            let difference = Difference::new(Kind::Latest, &in_words(&found), &in_words(after));
            differences.push(difference.of_item(key));
        }
    }
    Ok(differences)
}

/// Returns the counts of every item.
async fn counts(
    store: &dyn ReadStore,
    site: &Site,
) -> Result<HashMap<StockKey, Counts>, StoreError> {
    let mut counts = HashMap::new();
    let mut page = PageRequest::first(PAGE);
    loop {
        let found = store.stock(site, None, &page).await?;
        counts.extend(found.items.into_iter().map(|item| (item.key, item.counts)));
        let Some(next) = found.next else { return Ok(counts) };
        page.after = Some(next);
    }
}

/// How far the feed was read, and what was found.
#[derive(Default)]
pub(super) struct FeedReading {
    last: Option<u64>,
    /// The last change of each item.
    latest: HashMap<StockKey, Latest>,
    differences: Vec<Difference>,
}

/// The last change of an item.
struct Latest {
    sequence: u64,
    /// The counts after it.
    after: Counts,
}

impl FeedReading {
    /// Returns the number of an item's last change, and the counts after it, as far as the feed was
    /// read.
    pub(super) fn latest(&self, key: &StockKey) -> Option<(u64, Counts)> {
        self.latest.get(key).map(|latest| (latest.sequence, latest.after))
    }

    /// Reads to the end of the feed.
    pub(super) async fn read_on(
        &mut self,
        store: &dyn ReadStore,
        site: &Site,
    ) -> Result<(), StoreError> {
        loop {
            let page = store.changes(site, self.last.unwrap_or(0), PAGE).await?;
            let (Some(first), Some(last)) = (page.first(), page.last()) else { return Ok(()) };
            if self.last.is_some_and(|last| first.sequence > last + 1) {
                // Either there is a gap, or the earlier entries were removed just now and none of
                // them is left.
                let oldest = store.changes(site, 0, 1).await?;
                if oldest.first().is_none_or(|oldest| oldest.sequence >= first.sequence) {
                    self.start_anew();
                }
            }
            let end = last.sequence;
            for change in &page {
                self.read(change);
            }
            self.last = Some(end);
        }
    }

    fn start_anew(&mut self) {
        self.last = None;
        self.latest.clear();
    }

    fn read(&mut self, change: &Change) {
        let expected = self.last.map_or(change.sequence, |last| last + 1);
        if change.sequence != expected {
            let gap = Difference::new(Kind::Sequence, &change.sequence, &expected);
            self.add(gap);
            // The effect of the missing entries is unknown: they are one difference, not many.
            self.latest.clear();
        }
        self.last = Some(change.sequence);
        let latest = Latest { sequence: change.sequence, after: change.after };
        if let Some(before) = self.latest.insert(change.key.clone(), latest) {
            let expected = sum(&before.after, &change.delta);
            if expected != change.after {
                let found = in_words(&change.after);
                let difference = Difference::new(Kind::After, &found, &in_words(&expected));
                self.add(difference.of_item(&change.key));
            }
        }
    }

    fn add(&mut self, difference: Difference) {
        if self.differences.len() < super::KEPT_MAX {
            self.differences.push(difference);
        }
    }
}

fn sum(a: &Counts, b: &Counts) -> Counts {
    let add = |part: fn(&Counts) -> Quantity| part(a).saturating_add(part(b));
    Counts {
        received: add(|counts| counts.received),
        committed: add(|counts| counts.committed),
        fulfilled: add(|counts| counts.fulfilled),
    }
}

fn in_words(counts: &Counts) -> String {
    let Counts { received, committed, fulfilled } = counts;
    format!("received {received}, committed {committed}, fulfilled {fulfilled}")
}
