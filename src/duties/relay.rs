//! The relay: what changes in stock is announced in RabbitMQ, for whoever listens there.
//!
//! Changes of a site go out in their order and at least once. Where it may die:
//! 1. before an announcement is confirmed, or before it is noted: the next holder tells it again;
//!    listeners know an event by its id;
//! 2. after it took the note that a site has news: whoever leads next looks at all sites first.
//!
//! Changes that are not told are kept for twice `changes.retention`. If they went all the same, or if
//! Redis lost changes that were told, an event says that the site's stock is to be read anew.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use tokio::time::Instant;

use super::{Duty, DutyError, Next};
use crate::broker::rabbitmq::{Announcement, RabbitBroker};
use crate::clock;
use crate::console::views::ChangeView;
use crate::domain::{Site, Timestamp};
use crate::store::redis::{RedisStore, Relayed};
use crate::store::{Change, FeedStart, Fence, ReadStore};

/// How often is looked for news while there are none.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How often all sites are looked at: what a process that died did not note is told then.
const ALL_EVERY: Duration = Duration::from_mins(1);
/// Changes that are told at a time.
const PAGE: usize = 500;

/// Tells the changes of all sites.
#[derive(Debug)]
pub(super) struct Relay {
    broker: Arc<RabbitBroker>,
    store: Arc<RedisStore>,
    /// When all sites were looked at. What was taken from the notes and not relayed is found so.
    looked_at_all: Option<Instant>,
}

impl Relay {
    pub(super) fn new(broker: Arc<RabbitBroker>, store: Arc<RedisStore>) -> Self {
        Self { broker, store, looked_at_all: None }
    }

    /// Tells the changes of one site.
    async fn tell(&self, site: &Site, fence: Fence) -> Result<(), DutyError> {
        loop {
            let start = self.store.feed_start(site).await?;
            let told = self.store.relayed(site).await?;
            let is_other = told.as_ref().is_some_and(|told| told.epoch != start.epoch);
            let told = told.map_or(0, |told| told.sequence);
            let mut changes = self.store.changes(site, told, PAGE).await?;
            // The feed may have been replaced, or trimmed, since its start was read.
            changes.retain(|change| change.epoch == start.epoch);
            let first = changes.first().map(|first| first.sequence);
            let next = first.unwrap_or_else(|| start.trimmed.max(told) + 1);
            let resync = (is_other || next > told + 1).then(|| resync(site, told, next, &start));
            if resync.is_none() && changes.is_empty() {
                return Ok(());
            }
            let sequence = changes.last().map_or(next - 1, |last| last.sequence);
            let news = resync.into_iter().chain(changes.iter().map(|change| changed(site, change)));
            self.broker.announce(news.collect()).await?;
            let relayed = Relayed { epoch: start.epoch, sequence };
            if !self.store.record_relayed(site, fence, &relayed).await? {
                return Err(DutyError::Superseded);
            }
        }
    }
}

#[async_trait]
impl Duty for Relay {
    async fn turn(&mut self, fence: Fence) -> Result<Next, DutyError> {
        let is_due = self.looked_at_all.is_none_or(|looked| looked.elapsed() >= ALL_EVERY);
        let sites = if is_due {
            self.store.sites().await?
        } else {
            self.store.take_changed_sites().await?
        };
        let rest = if sites.is_empty() { LOOK_AGAIN } else { Duration::ZERO };
        // Until all of them are told.
        let looked = if is_due { Some(Instant::now()) } else { self.looked_at_all };
        self.looked_at_all = None;
        let mut failed = None;
        for site in sites {
            match self.tell(&site, fence).await {
                Ok(()) => {}
                Err(DutyError::Superseded) => return Err(DutyError::Superseded),
                // The other sites need not wait for it.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        self.looked_at_all = looked;
        Ok(Next::After(rest))
    }
}

/// A change of one stock item.
fn changed(site: &Site, change: &Change) -> Announcement {
    let key = change.key.to_string();
    let id = format!("{}-{}", change.epoch, change.sequence);
    let kind = "storekeeper.stock.changed";
    event(kind, id, site, &key, change.sequence, change.at, &ChangeView::new(site, change))
}

/// What is told in place of changes that are gone.
#[derive(Serialize)]
struct Resync<'a> {
    site: &'a str,
    epoch: &'a str,
    /// The number of the last change that was told.
    after: u64,
    /// The number of the next one that is there.
    next: u64,
}

/// Says that changes before the next one are gone, or are others than were told.
fn resync(site: &Site, after: u64, next: u64, start: &FeedStart) -> Announcement {
    let data = Resync { site: site.as_str(), epoch: &start.epoch, after, next };
    let id = format!("{}-{next}-resync", start.epoch);
    event("storekeeper.stock.resync", id, site, "resync", next, clock::now(), &data)
}

fn event(
    kind: &'static str,
    id: String,
    site: &Site,
    subject: &str,
    sequence: u64,
    at: Timestamp,
    data: &impl Serialize,
) -> Announcement {
    let data = serde_json::to_vec(data).expect("texts and numbers are always JSON");
    Announcement {
        topic: vec!["stock".to_owned(), site.to_string(), subject.to_owned()],
        attributes: vec![
            ("id", id),
            ("source", format!("/v1/sites/{}", crate::domain::identifier::encode(site.as_str()))),
            ("type", kind.to_owned()),
            ("subject", subject.to_owned()),
            ("time", at.to_string()),
            ("sequence", sequence.to_string()),
        ],
        data: data.into(),
    }
}
