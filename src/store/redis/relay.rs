//! What the relay of the change feed keeps: the sites with news, and how far it is.
//!
//! News are noted after a commit, beside it: a process that dies in between leaves a site without
//! its note. So whoever takes the lease looks at every site first, and all do so now and then.

use std::collections::BTreeSet;

use super::RedisStore;
use super::client::{Call, Client};
use super::script::Script;
use super::value::parsed;
use crate::domain::Site;
use crate::store::{Commit, Committed, Fence, StoreError};

static NOTE: Script = Script::new("relay note", &[include_str!("fenced.lua")]);

/// Sites that are taken from the notes at a time.
const NEWS_MAX: usize = 100;

impl RedisStore {
    /// Takes some sites that have news. Whoever takes them looks at their feeds afterwards: a
    /// commit from now on notes its site again.
    pub async fn take_news(&self) -> Result<Vec<Site>, StoreError> {
        let mut take = redis::cmd("SPOP");
        take.arg(news(&self.client)).arg(NEWS_MAX);
        let names: Vec<String> = self.client.query(&take).await?;
        let site = |name: String| parsed("the sites with news", &name, Site::parse);
        names.into_iter().map(site).collect()
    }

    /// Where a site's last change stands that was relayed; `None` before the first.
    pub async fn relayed(&self, site: &Site) -> Result<Option<Relayed>, StoreError> {
        relayed(&self.client, site).await
    }

    /// Notes where a site's last change stands that was relayed; `false`, and nothing is noted, if
    /// a later holder of the lease has noted something.
    pub async fn note_relayed(
        &self,
        site: &Site,
        fence: Fence,
        relayed: &Relayed,
    ) -> Result<bool, StoreError> {
        let call = Call::of(&NOTE)
            .key(place(&self.client, site))
            .arg(fence.0.to_string())
            .arg("sequence")
            .arg(relayed.sequence.to_string())
            .arg("epoch")
            .arg(relayed.epoch.as_str());
        self.client.run(&call).await
    }
}

/// A place in a site's feed that the relay has reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relayed {
    /// The epoch of the feed.
    pub epoch: String,
    /// The number of the change.
    pub sequence: u64,
}

/// See [`RedisStore::relayed`].
pub(super) async fn relayed(client: &Client, site: &Site) -> Result<Option<Relayed>, StoreError> {
    let mut get = redis::cmd("HMGET");
    get.arg(place(client, site)).arg("epoch").arg("sequence");
    let (epoch, sequence): (Option<String>, Option<u64>) = client.query(&get).await?;
    Ok(epoch.zip(sequence).map(|(epoch, sequence)| Relayed { epoch, sequence }))
}

/// Notes which sites have news after these commits. It is a hint: that it fails is no failure of
/// what was committed.
pub(super) async fn note_news(client: &Client, commits: &[Commit], committed: &[Committed]) {
    let written = commits.iter().zip(committed).filter(|(commit, committed)| {
        **committed == Committed::Written && !commit.changes.is_empty()
    });
    let sites: BTreeSet<&Site> = written.map(|(commit, _)| &commit.site).collect();
    if !sites.is_empty() {
        note_news_of(client, sites).await;
    }
}

/// Notes which sites have news.
pub(super) async fn note_news_of(client: &Client, sites: impl IntoIterator<Item = &Site>) {
    let mut note = redis::cmd("SADD");
    note.arg(news(client));
    for site in sites {
        note.arg(site.as_str());
    }
    if let Err(error) = client.query::<()>(&note).await {
        tracing::debug!(%error, "cannot note which sites have news; the relay finds them later");
    }
}

fn news(client: &Client) -> String {
    client.keys().global("dirty")
}

fn place(client: &Client, site: &Site) -> String {
    client.keys().of_site(site.as_str(), &["relay"])
}
