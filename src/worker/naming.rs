//! What items are called, for people: noted a moment after the commits that say so, many at a time.
//!
//! No number depends on it. Dies before it is noted: the next event that says a name notes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::{ItemNames, Site, StockKey, Version};
use crate::store::Store;

/// How long names wait for others.
const EVERY: Duration = Duration::from_millis(200);

/// Names that are not noted yet.
#[derive(Debug, Default)]
pub(super) struct Naming {
    waiting: Mutex<Waiting>,
}

type Waiting = BTreeMap<Site, BTreeMap<StockKey, Names>>;

/// What one item is called: the newest of what lines say, and all that people may look for.
#[derive(Debug, Default)]
struct Names {
    line: Option<(Version, String)>,
    also: BTreeSet<StockKey>,
}

impl Naming {
    /// Adds what a commit says.
    pub(super) fn add(&self, site: &Site, names: Vec<ItemNames>) {
        if names.is_empty() {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let of_site = waiting.entry(site.clone()).or_default();
        for ItemNames { key, line, also } in names {
            let known = of_site.entry(key).or_default();
            known.line = known.line.take().max(line);
            known.also.extend(also);
        }
    }

    /// Notes what waits, again and again.
    pub(super) async fn run(&self, store: &dyn Store) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.note(store).await;
        }
    }

    /// Notes what waits. What cannot be noted waits on.
    pub(super) async fn note(&self, store: &dyn Store) {
        let waiting =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for (site, names) in waiting {
            let names: Vec<ItemNames> = names
                .into_iter()
                .map(|(key, Names { line, also })| ItemNames {
                    key,
                    line,
                    also: also.into_iter().collect(),
                })
                .collect();
            if let Err(error) = store.name_items(&site, names.clone()).await {
                tracing::warn!(%site, %error, "cannot note what items are called; trying again");
                self.add(&site, names);
            }
        }
    }
}
