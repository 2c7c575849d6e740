//! Which history of the data is the Store's own.
//!
//! A server that was restored, promoted from a replica or started again may be without the last
//! writes, and its history has another name then. Beside the data stands under which names it was
//! written, and a time before which everything that was received is in it. That goes back in time
//! with the data: so it tells from when on the journal has what is missing.

use std::collections::BTreeSet;

use super::RedisStore;
use super::client::{Call, Client};
use super::script::Script;
use super::sites;
use super::value;
use crate::domain::Timestamp;
use crate::store::{Fence, StoreError};

static NOTE: Script = Script::new("history note", &[include_str!("fenced.lua")]);

/// What stands beside the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHistory {
    /// The names of the histories of all servers.
    pub names: BTreeSet<String>,
    /// What was received before is in the data.
    pub settled_before: Timestamp,
}

impl RedisStore {
    /// The names of the histories that the servers have now; none where they may not be asked.
    pub async fn histories(&self) -> Result<BTreeSet<String>, StoreError> {
        self.client.look_again().await?;
        Ok(self.client.histories())
    }

    /// What stands beside the data; `None` if it begins empty.
    pub async fn known_history(&self) -> Result<Option<KnownHistory>, StoreError> {
        find(&self.client).await
    }

    /// Writes what stands beside the data; `false`, and nothing is written, if a later leader has
    /// written something.
    pub async fn note_history(
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
            .arg(known.settled_before.micros().to_string());
        self.client.run(&call).await
    }

    /// Begins a new epoch of all change feeds: numbers that were given out before may be given out
    /// again, for other changes.
    pub async fn begin_epoch(&self) -> Result<(), StoreError> {
        let epoch = sites::begin_epoch(&self.client).await?;
        for site in sites::list(&self.client).await? {
            let mut set = redis::cmd("HSET");
            set.arg(self.client.keys().of_site(site.as_str(), &["stock"]))
                .arg("~epoch")
                .arg(&epoch);
            self.client.query::<()>(&set).await?;
        }
        Ok(())
    }
}

/// Whether the data is there from its beginning on, as far as is known.
pub(super) async fn is_whole(client: &Client) -> Result<bool, StoreError> {
    Ok(find(client).await?.is_some())
}

/// Notes that it is, unless something is noted.
pub(super) async fn note_whole(client: &Client) -> Result<(), StoreError> {
    let mut note = redis::cmd("HSETNX");
    note.arg(key(client)).arg("settled_before").arg(0);
    client.query::<()>(&note).await
}

async fn find(client: &Client) -> Result<Option<KnownHistory>, StoreError> {
    let key = key(client);
    let mut find = redis::cmd("HMGET");
    find.arg(&key).arg("names").arg("settled_before");
    let (names, settled_before): (Option<String>, Option<String>) = client.query(&find).await?;
    let Some(settled_before) = settled_before else { return Ok(None) };
    let names = names.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    Ok(Some(KnownHistory { names, settled_before: value::time(&key, &settled_before)? }))
}

fn key(client: &Client) -> String {
    client.keys().global("history")
}
