//! The relay: what changes in stock is announced in RabbitMQ, for whoever listens there.
//!
//! Every worker's process has one; the one with the lease works. Changes of a site go out in their
//! order and at least once. Where it may die:
//! 1. before an announcement is confirmed, or before it is noted: the next holder tells it again;
//!    listeners know an event by its id;
//! 2. after it took the note that a site has news: whoever takes the lease looks at all sites.
//!
//! Changes that outlived `changes.retention` before they were told are gone: then an event says that
//! the site's stock is to be read anew.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::broker::BrokerError;
use crate::broker::rabbitmq::{Announcement, RabbitBroker};
use crate::clock;
use crate::console::views::ChangeView;
use crate::domain::Site;
use crate::store::redis::RedisStore;
use crate::store::{Change, Fence, Store, StoreError};

/// How long a lease lasts, and so how long nothing is told after its holder died.
const LEASE: Duration = Duration::from_secs(10);
/// A lease that is older is renewed.
const RENEW_AFTER: Duration = Duration::from_secs(2);
/// How often is looked for news while there are none.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How often all sites are looked at: what a process that died did not note is told then.
const ALL_EVERY: Duration = Duration::from_mins(1);
/// How long nothing is tried after a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// Changes that are told at a time.
const PAGE: usize = 500;

/// Tells the changes of all sites.
#[derive(Debug)]
pub(super) struct Relay {
    broker: Arc<RabbitBroker>,
    store: Arc<RedisStore>,
    owner: Uuid,
    lease: Option<Held>,
}

#[derive(Debug)]
struct Held {
    fence: Fence,
    renewed_at: Instant,
    /// When all sites were looked at under this lease.
    looked_at_all: Option<Instant>,
}

/// Why a step was not made.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    #[error("the broker failed: {0}")]
    Broker(#[from] BrokerError),
}

impl Relay {
    pub(super) fn new(broker: Arc<RabbitBroker>, store: Arc<RedisStore>) -> Self {
        Self { broker, store, owner: Uuid::now_v7(), lease: None }
    }

    /// Tells what there is until `stop`. Cancel safe: what is not noted is told again.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut failing = false;
        let turns = async {
            loop {
                let rest = match self.turn().await {
                    Ok(rest) => {
                        failing = false;
                        rest
                    }
                    Err(error) => {
                        // Once an outage: the backends' own probes say how long it lasts.
                        if !failing {
                            tracing::warn!(%error, "cannot tell changes of stock; trying again");
                        }
                        failing = true;
                        // What was taken from the notes is found by looking at all sites.
                        self.lease = None;
                        PAUSE
                    }
                };
                sleep(rest).await;
            }
        };
        stop.run_until_cancelled(turns).await;
    }

    /// Tells what is new; answers how long to rest.
    async fn turn(&mut self) -> Result<Duration, StepError> {
        if self.lease().await?.is_none() {
            return Ok(LOOK_AGAIN);
        }
        let looked = self.lease.as_ref().and_then(|held| held.looked_at_all);
        let is_due = looked.is_none_or(|looked| looked.elapsed() >= ALL_EVERY);
        let sites = if is_due { self.store.sites().await? } else { self.store.take_news().await? };
        let rest = if sites.is_empty() { LOOK_AGAIN } else { Duration::ZERO };
        for site in sites {
            if !self.tell(&site).await? {
                self.lease = None;
                return Ok(LOOK_AGAIN);
            }
        }
        if let Some(held) = self.lease.as_mut().filter(|_| is_due) {
            held.looked_at_all = Some(Instant::now());
        }
        Ok(rest)
    }

    /// The lease's number, renewed in time; `None` while it is another's.
    async fn lease(&mut self) -> Result<Option<Fence>, StoreError> {
        if let Some(held) = &self.lease
            && held.renewed_at.elapsed() < RENEW_AFTER
        {
            return Ok(Some(held.fence));
        }
        let (renewed_at, now) = (Instant::now(), clock::now());
        let until = now.plus_micros(i64::try_from(LEASE.as_micros()).unwrap_or(i64::MAX));
        let fence = self.store.lease_relay(self.owner, now, until).await?;
        let before = self.lease.take();
        self.lease = fence.map(|fence| {
            // Under another number, somebody else may have taken notes meanwhile.
            let same = before.filter(|held| held.fence == fence);
            Held { fence, renewed_at, looked_at_all: same.and_then(|held| held.looked_at_all) }
        });
        Ok(fence)
    }

    /// Tells the changes of one site; `false` if the lease is another's by now.
    async fn tell(&mut self, site: &Site) -> Result<bool, StepError> {
        let mut told = self.store.relayed(site).await?;
        loop {
            let Some(fence) = self.lease().await? else { return Ok(false) };
            let changes = self.store.changes(site, told, PAGE).await?;
            let (Some(first), Some(last)) = (changes.first(), changes.last()) else {
                return Ok(true);
            };
            let gap = (first.sequence > told + 1).then(|| resync(site, told, first));
            let last = last.sequence;
            let news = gap.into_iter().chain(changes.iter().map(|change| changed(site, change)));
            self.broker.announce(news.collect()).await?;
            if !self.store.note_relayed(site, fence, last).await? {
                return Ok(false);
            }
            told = last;
        }
    }
}

/// A change of one stock item.
fn changed(site: &Site, change: &Change) -> Announcement {
    let key = change.key.to_string();
    let id = format!("{}-{}", change.epoch, change.sequence);
    let kind = "storekeeper.stock.changed";
    event(kind, id, site, &key, change, &ChangeView::new(site, change))
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

/// Says that changes before this one are gone.
fn resync(site: &Site, after: u64, next: &Change) -> Announcement {
    let data = Resync { site: site.as_str(), epoch: &next.epoch, after, next: next.sequence };
    let id = format!("{}-{}-resync", next.epoch, next.sequence);
    event("storekeeper.stock.resync", id, site, "resync", next, &data)
}

fn event(
    kind: &'static str,
    id: String,
    site: &Site,
    subject: &str,
    change: &Change,
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
            ("time", change.at.to_string()),
            ("sequence", change.sequence.to_string()),
        ],
        data: data.into(),
    }
}
