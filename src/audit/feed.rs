//! The change feed: its numbers have no gaps, and each entry goes on where the last of its item
//! ended.
//!
//! Entries that outlived their retention are gone from the beginning; the audit starts at the
//! first that is there, and starts anew behind what is removed while it reads.

use std::collections::HashMap;

use super::rules::{Difference, Kind};
use crate::domain::{Counts, Quantity, Site, StockKey};
use crate::store::{Change, Store, StoreError};

/// Entries that are read at a time.
const PAGE: usize = 1000;

/// What does not fit together in the feed of a site.
pub(super) async fn differences(
    store: &dyn Store,
    site: &Site,
) -> Result<Vec<Difference>, StoreError> {
    let mut reading = Reading::default();
    loop {
        let page = store.changes(site, reading.last.unwrap_or(0), PAGE).await?;
        let (Some(first), Some(last)) = (page.first(), page.last()) else { break };
        if reading.last.is_some_and(|last| first.sequence > last + 1) {
            // Either a gap, or what came before was removed just now: then nothing is left of it.
            let oldest = store.changes(site, 0, 1).await?;
            if oldest.first().is_none_or(|oldest| oldest.sequence >= first.sequence) {
                reading.start_anew();
            }
        }
        let end = last.sequence;
        for change in &page {
            reading.read(change);
        }
        reading.last = Some(end);
    }
    Ok(reading.differences)
}

/// How far the feed was read.
#[derive(Default)]
struct Reading {
    last: Option<u64>,
    /// The counts after the last change of each item.
    after: HashMap<StockKey, Counts>,
    differences: Vec<Difference>,
}

impl Reading {
    fn start_anew(&mut self) {
        self.last = None;
        self.after.clear();
    }

    fn read(&mut self, change: &Change) {
        let expected = self.last.map_or(change.sequence, |last| last + 1);
        if change.sequence != expected {
            let gap = Difference::new(Kind::Sequence, &change.sequence, &expected);
            self.note(gap);
            // What the missing entries did is not known: they are one difference, not many.
            self.after.clear();
        }
        self.last = Some(change.sequence);
        if let Some(before) = self.after.insert(change.key.clone(), change.after) {
            let expected = sum(&before, &change.delta);
            if expected != change.after {
                let found = in_words(&change.after);
                let difference = Difference::new(Kind::After, &found, &in_words(&expected));
                self.note(difference.of_item(&change.key));
            }
        }
    }

    fn note(&mut self, difference: Difference) {
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
