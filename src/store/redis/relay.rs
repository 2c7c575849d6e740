//! What the relay of the change feed keeps: the sites with new changes, and how far it has read.
//!
//! A site is recorded after a commit, not with it: a process that dies in between, or a call that
//! fails after it has written some, leaves it out. So
//! whoever acquires the lease reads every site first, and again now and then.

use std::collections::BTreeSet;

use redis::Cmd;

use super::RedisStore;
use super::client::{Call, Client};
use super::script::Script;
use super::value::parsed;
use crate::domain::Site;
use crate::store::{Commit, Committed, Fence, StoreError};

static NOTE: Script = Script::new("relay note", &[include_str!("fenced.lua")]);

/// How many sites with new changes are taken at a time.
pub const SITES_MAX: usize = 100;

impl RedisStore {
    /// Takes some sites that have new changes. The caller reads their feeds afterwards: a commit from
    /// now on records its site again.
    pub async fn take_changed_sites(&self) -> Result<Vec<Site>, StoreError> {
        let mut take = Cmd::spop(changed_sites(&self.client));
        let names: Vec<String> = self.client.query(take.arg(SITES_MAX)).await?;
        let site = |name: String| parsed("the sites with new changes", &name, Site::parse);
        names.into_iter().map(site).collect()
    }

    /// The place of a site's last relayed change; `None` before the first.
    pub async fn relayed(&self, site: &Site) -> Result<Option<Relayed>, StoreError> {
        relayed(&self.client, site).await
    }

    /// Records the place of a site's last relayed change; `false`, and nothing is recorded, if a
    /// later holder of the lease has recorded something.
    pub async fn record_relayed(
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
    let find = Cmd::hmget(place(client, site), &["epoch", "sequence"]);
    let (epoch, sequence): (Option<String>, Option<u64>) = client.query(&find).await?;
    Ok(epoch.zip(sequence).map(|(epoch, sequence)| Relayed { epoch, sequence }))
}

/// Records which sites have new changes after these commits. It is a hint: its failure does not
/// affect what was committed.
pub(super) async fn record_changed(client: &Client, commits: &[Commit], committed: &[Committed]) {
    let written = commits.iter().zip(committed).filter(|(commit, committed)| {
        **committed == Committed::Written && !commit.changes.is_empty()
    });
    let sites: BTreeSet<&Site> = written.map(|(commit, _)| &commit.site).collect();
    if !sites.is_empty() {
        record_changed_sites(client, sites).await;
    }
}

/// Records that sites have new changes.
pub(super) async fn record_changed_sites(client: &Client, sites: impl IntoIterator<Item = &Site>) {
    let names: Vec<&str> = sites.into_iter().map(Site::as_str).collect();
    if let Err(error) = client.query::<()>(&Cmd::sadd(changed_sites(client), names)).await {
        tracing::debug!(%error, "cannot record which sites have new changes; the relay finds them later");
    }
}

fn changed_sites(client: &Client) -> String {
    client.keys().global("dirty")
}

fn place(client: &Client, site: &Site) -> String {
    client.key(site, &["relay"])
}
