//! The relay: publishes stock changes in RabbitMQ, for whoever listens there.
//!
//! Changes of a site are published in order and at least once. Where it may die:
//! 1. before a publication is confirmed or recorded: the next holder publishes it again; listeners
//!    recognise an event by its id;
//! 2. after it removed a site from the list of changed sites: the next leader starts with all
//!    sites.
//!
//! Unpublished changes are kept for twice `changes.retention`. If they are gone all the same, or if
//! Redis lost published ones, an event asks listeners to read the site's stock afresh.

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
use crate::store::redis::{RedisStore, Relayed, SITES_MAX};
use crate::store::{Change, FeedStart, Fence, ReadStore};

/// The pause between two turns: what changes meanwhile is read and published together.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How often all sites are read: that finds what a process that died did not list.
const ALL_EVERY: Duration = Duration::from_mins(1);
/// Changes published at a time.
const PAGE: usize = 500;

/// Publishes the changes of all sites.
#[derive(Debug)]
pub(super) struct Relay {
    broker: Arc<RabbitBroker>,
    store: Arc<RedisStore>,
    /// When all sites were read last. That finds sites taken from the list whose changes were not
    /// published.
    read_all_at: Option<Instant>,
}

impl Relay {
    pub(super) fn new(broker: Arc<RabbitBroker>, store: Arc<RedisStore>) -> Self {
        Self { broker, store, read_all_at: None }
    }

    /// Publishes the changes of one site.
    async fn publish(&self, site: &Site, fence: Fence) -> Result<(), DutyError> {
        loop {
            let start = self.store.feed_start(site).await?;
            let published = self.store.relayed(site).await?;
            let is_other =
                published.as_ref().is_some_and(|published| published.epoch != start.epoch);
            let published = published.map_or(0, |published| published.sequence);
            let mut changes = self.store.changes(site, published, PAGE).await?;
            let read = changes.len();
            // The feed may have been replaced, or trimmed, since its start was read.
            changes.retain(|change| change.epoch == start.epoch);
            let is_last = read < PAGE && changes.len() == read;
            let first = changes.first().map(|first| first.sequence);
            let next = first.unwrap_or_else(|| start.trimmed.max(published) + 1);
            let resync =
                (is_other || next > published + 1).then(|| resync(site, published, next, &start));
            if resync.is_none() && changes.is_empty() {
                return Ok(());
            }
            let sequence = changes.last().map_or(next - 1, |last| last.sequence);
            let announcements =
                resync.into_iter().chain(changes.iter().map(|change| changed(site, change)));
            self.broker.announce(announcements.collect()).await?;
            let relayed = Relayed { epoch: start.epoch, sequence };
            if !self.store.record_relayed(site, fence, &relayed).await? {
                return Err(DutyError::Superseded);
            }
            // A commit that came later has listed the site again.
            if is_last {
                return Ok(());
            }
        }
    }
}

#[async_trait]
impl Duty for Relay {
    async fn turn(&mut self, fence: Fence) -> Result<Next, DutyError> {
        let is_due = self.read_all_at.is_none_or(|looked| looked.elapsed() >= ALL_EVERY);
        let sites = if is_due {
            self.store.sites().await?
        } else {
            self.store.take_changed_sites().await?
        };
        // More may be listed than are taken at a time.
        let rest = if sites.len() < SITES_MAX || is_due { POLL_INTERVAL } else { Duration::ZERO };
        // Until all of them are published.
        let looked = if is_due { Some(Instant::now()) } else { self.read_all_at };
        self.read_all_at = None;
        let mut failed = None;
        for site in sites {
            match self.publish(&site, fence).await {
                Ok(()) => {}
                Err(DutyError::Superseded) => return Err(DutyError::Superseded),
                // One site that fails must not hold up the others.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        self.read_all_at = looked;
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

/// What is published in place of changes that are gone.
#[derive(Serialize)]
struct Resync<'a> {
    site: &'a str,
    epoch: &'a str,
    /// The number of the last published change.
    after: u64,
    /// The number of the next existing change.
    next: u64,
}

/// An event that changes before the next one are gone, or are not those that were published.
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
