//! What the relay of the change feed keeps: its lease, the sites with news, and how far it is.
//!
//! News are noted after a commit, beside it: a process that dies in between leaves a site without
//! its note. So whoever takes the lease looks at every site first, and all do so now and then.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::RedisStore;
use super::client::{Call, Client};
use super::script::Script;
use super::value::parsed;
use crate::domain::{Site, Timestamp};
use crate::store::{Commit, Committed, Fence, StoreError};

static LEASE: Script = Script::new("relay lease", &[include_str!("relay/lease.lua")]);
static NOTE: Script = Script::new("relay note", &[include_str!("relay/note.lua")]);

/// Sites that are taken from the notes at a time.
const NEWS_MAX: usize = 100;

impl RedisStore {
    /// Takes or renews the lease of whoever relays; `None` while another holds it. The number is
    /// another for every holder.
    pub async fn lease_relay(
        &self,
        owner: Uuid,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Fence>, StoreError> {
        let call = Call::of(&LEASE)
            .key(self.client.keys().global("relay"))
            .arg(owner.to_string())
            .arg(now.micros().to_string())
            .arg(until.micros().to_string());
        let fence: Option<u64> = self.client.run(&call).await?;
        Ok(fence.map(Fence))
    }

    /// Takes some sites that have news. Whoever takes them looks at their feeds afterwards: a
    /// commit from now on notes its site again.
    pub async fn take_news(&self) -> Result<Vec<Site>, StoreError> {
        let mut take = redis::cmd("SPOP");
        take.arg(news(&self.client)).arg(NEWS_MAX);
        let names: Vec<String> = self.client.query(&take).await?;
        let site = |name: String| parsed("the sites with news", &name, Site::parse);
        names.into_iter().map(site).collect()
    }

    /// The number of a site's last change that was relayed; 0 before the first.
    pub async fn relayed(&self, site: &Site) -> Result<u64, StoreError> {
        let mut get = redis::cmd("HGET");
        get.arg(place(&self.client, site)).arg("sequence");
        let sequence: Option<u64> = self.client.query(&get).await?;
        Ok(sequence.unwrap_or(0))
    }

    /// Notes the number of a site's last change that was relayed; `false`, and nothing is noted, if
    /// a later holder of the lease has noted something.
    pub async fn note_relayed(
        &self,
        site: &Site,
        fence: Fence,
        sequence: u64,
    ) -> Result<bool, StoreError> {
        let call = Call::of(&NOTE)
            .key(place(&self.client, site))
            .arg(fence.0.to_string())
            .arg(sequence.to_string());
        self.client.run(&call).await
    }
}

/// Notes which sites have news after these commits. It is a hint: that it fails is no failure of
/// what was committed.
pub(super) async fn note_news(client: &Client, commits: &[Commit], committed: &[Committed]) {
    let written = commits.iter().zip(committed).filter(|(commit, committed)| {
        matches!(committed, Committed::Written { .. }) && !commit.changes.is_empty()
    });
    let sites: BTreeSet<&Site> = written.map(|(commit, _)| &commit.entity.site).collect();
    if sites.is_empty() {
        return;
    }
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
