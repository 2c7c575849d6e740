//! Which sites there are, and the policy in force, which each site knows in its own slot.
//!
//! A commit sees its own slot only, so the revision of the policy is there too. It can never be
//! one that was replaced before: whoever puts a policy in force writes it, *then* reads the list of
//! sites, and updates each before it returns; whoever commits for a new site lists the site, *then*
//! reads the policy, and writes it into the slot before the commit. If the list was read without
//! the site, the site was listed after the policy was written, so it reads that one. A site never
//! goes back to an earlier policy.
//!
//! Dies in between: sites that were not updated refuse orders of the new policy, and whoever is
//! refused updates them ([`update_policy`]). A site that was listed, and never committed for, is empty.

use std::collections::BTreeSet;

use redis::Cmd;

use super::client::{Call, Client};
use super::layout::LAYOUT;
use super::range;
use super::script::Script;
use super::value::{self, parsed};
use crate::domain::{Policy, PolicyOrigin, PolicyRevision, Site};
use crate::store::{PolicyInForce, StoreError, state};

static SITE: Script = Script::new("site.lua", &[include_str!("site.lua")]);
static POLICY: Script = Script::new("policy.lua", &[include_str!("policy.lua")]);

/// Every site, in order of name.
pub(super) async fn list(client: &Client) -> Result<Vec<Site>, StoreError> {
    let key = client.keys().global("sites");
    let sites = range::all(client, &key, "").await?;
    sites.iter().map(|site| parsed(&key, site, Site::parse)).collect()
}

/// Lists sites and prepares their slots for the first commit.
pub(super) async fn register(client: &Client, sites: &BTreeSet<Site>) -> Result<(), StoreError> {
    if sites.is_empty() {
        return Ok(());
    }
    record_layout(client).await?;
    let names: Vec<_> = sites.iter().map(|site| (0, site.as_str())).collect();
    client.query::<()>(&Cmd::zadd_multiple(client.keys().global("sites"), &names)).await?;
    let epoch = epoch(client).await?;
    let policy = revision(client).await?;
    update(client, sites, &epoch, policy).await
}

/// Updates sites to the policy in force.
pub(super) async fn update_policy(
    client: &Client,
    sites: &BTreeSet<Site>,
) -> Result<(), StoreError> {
    if sites.is_empty() {
        return Ok(());
    }
    let policy = revision(client).await?;
    update(client, sites, "", policy).await
}

async fn update(
    client: &Client,
    sites: impl IntoIterator<Item = &Site>,
    epoch: &str,
    policy: Option<PolicyRevision>,
) -> Result<(), StoreError> {
    let policy = policy.map(|revision| revision.to_string()).unwrap_or_default();
    let call = |site: &Site| {
        let key = client.key(site, &["stock"]);
        Call::of(&SITE).key(key).arg(epoch).arg(policy.as_str())
    };
    let calls: Vec<Call> = sites.into_iter().map(call).collect();
    client.run_all(&calls).await.map(drop)
}

/// The Store's epoch; the first call draws it.
pub(super) async fn epoch(client: &Client) -> Result<String, StoreError> {
    let key = client.keys().global("epoch");
    let find = Cmd::get(&key);
    if let Some(epoch) = client.query(&find).await? {
        return Ok(epoch);
    }
    record_layout(client).await?;
    client.query::<()>(&Cmd::set_nx(&key, draw_epoch())).await?;
    client.query(&find).await
}

/// Draws another epoch.
pub(super) async fn begin_epoch(client: &Client) -> Result<String, StoreError> {
    let epoch = draw_epoch();
    record_layout(client).await?;
    client.query::<()>(&Cmd::set(client.keys().global("epoch"), &epoch)).await?;
    Ok(epoch)
}

fn draw_epoch() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The policy in force.
pub(super) async fn policy(client: &Client) -> Result<Option<PolicyInForce>, StoreError> {
    let key = client.keys().global("policy");
    match client.query(&Cmd::hmget(&key, &["revision", "policy"])).await? {
        (Some::<String>(revision), Some::<String>(policy)) => {
            in_force(&key, &revision, &policy).map(Some)
        }
        (None, None) => Ok(None),
        (Some(_), None) | (None, Some(_)) => Err(value::unreadable(&key)),
    }
}

/// The revision of the policy in force.
async fn revision(client: &Client) -> Result<Option<PolicyRevision>, StoreError> {
    let key = client.keys().global("policy");
    let found: Option<String> = client.query(&Cmd::hget(&key, "revision")).await?;
    found.map(|text| value::number(&key, &text)).transpose()
}

/// Puts a policy in force, if there is none or `how` is "replace"; every site is updated before
/// this returns.
pub(super) async fn put_in_force(
    client: &Client,
    policy: &Policy,
    origin: &PolicyOrigin,
    how: &str,
) -> Result<PolicyInForce, StoreError> {
    record_layout(client).await?;
    let key = client.keys().global("policy");
    let call = Call::of(&POLICY).key(key.as_str()).arg(state::encode(policy)?).arg(how);
    let call = call.arg(origin.actor.as_str()).arg(origin.at.micros().to_string());
    let (revision, policy): (String, String) = client.run(&call).await?;
    let in_force = in_force(&key, &revision, &policy)?;
    let sites = list(client).await?;
    update(client, &sites, "", Some(in_force.revision)).await?;
    Ok(in_force)
}

fn in_force(key: &str, revision: &str, policy: &str) -> Result<PolicyInForce, StoreError> {
    let revision = value::number(key, revision)?;
    let policy = state::decode(&"the policy", policy)?;
    Ok(PolicyInForce { revision, policy })
}

/// Records the layout, unless it is recorded. That comes before the first key of a new Store: if the
/// process dies in between, the Store has a number and nothing else.
async fn record_layout(client: &Client) -> Result<(), StoreError> {
    client.query(&Cmd::set_nx(client.keys().global("layout"), LAYOUT)).await
}
