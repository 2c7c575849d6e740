//! Which replication histories the data belongs to.
//!
//! A server that was restored, promoted from a replica or restarted may have lost the last writes,
//! and then has a new replication id. The Store records the ids under which its data was written,
//! and a time before which everything that was received is in it. That record goes back in time with
//! the data, so it shows from when on the journal has what is missing.

use std::collections::BTreeSet;

use redis::Cmd;

use super::RedisStore;
use super::client::{Call, Client};
use super::script::Script;
use super::sites;
use super::value;
use crate::domain::Timestamp;
use crate::store::{Fence, StoreError};

static NOTE: Script = Script::new("history note", &[include_str!("fenced.lua")]);

/// What is recorded beside the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHistory {
    /// The names of the histories of all servers.
    pub names: BTreeSet<String>,
    /// What was received before is in the data.
    pub settled_before: Timestamp,
    /// When data was last found to be lost, of what was brought back since; see
    /// [`RedisStore::data_lost_at`].
    pub lost_at: u64,
}

impl RedisStore {
    /// The names of the servers' current histories; none where `INFO` is not allowed.
    pub async fn histories(&self) -> Result<BTreeSet<String>, StoreError> {
        self.client.check_servers().await?;
        Ok(self.client.servers().histories())
    }

    /// What is recorded beside the data; `None` if it begins empty.
    pub async fn known_history(&self) -> Result<Option<KnownHistory>, StoreError> {
        let key = key(&self.client);
        let find = Cmd::hmget(&key, &["names", "settled_before", "lost_at"]);
        let (names, settled_before, lost_at): (Option<String>, Option<String>, Option<u64>) =
            self.client.query(&find).await?;
        let Some(settled_before) = settled_before else { return Ok(None) };
        let names = names.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        let settled_before = value::time(&key, &settled_before)?;
        Ok(Some(KnownHistory { names, settled_before, lost_at: lost_at.unwrap_or_default() }))
    }

    /// Writes what is recorded beside the data; `false`, and nothing is written, if a later leader
    /// has written something.
    pub async fn record_history(
        &self,
        known: &KnownHistory,
        fence: Fence,
    ) -> Result<bool, StoreError> {
        let names: Vec<&str> = known.names.iter().map(String::as_str).collect();
        let call = Call::of(&NOTE)
            .key(key(&self.client))
            .arg(fence.0.to_string())
            .arg("names")
            .arg(names.join(" "))
            .arg("settled_before")
            .arg(known.settled_before.micros().to_string())
            .arg("lost_at")
            .arg(known.lost_at.to_string());
        self.client.run(&call).await
    }

    /// Begins a new epoch of all change feeds: numbers that were used before may be used again, for
    /// other changes.
    pub async fn begin_epoch(&self) -> Result<(), StoreError> {
        let epoch = sites::begin_epoch(&self.client).await?;
        for site in sites::list(&self.client).await? {
            let set = Cmd::hset(self.client.key(&site, &["stock"]), "~epoch", &epoch);
            self.client.query::<()>(&set).await?;
        }
        Ok(())
    }
}

/// Where it is kept.
pub(super) fn key(client: &Client) -> String {
    client.keys().global("history")
}
