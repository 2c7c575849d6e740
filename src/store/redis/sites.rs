//! Which sites there are, and the policy in force, which each site knows in its own slot.
//!
//! A commit sees its own slot only, so the revision of the policy stands there too. It can never be
//! one that was replaced before: whoever puts a policy in force writes it, *then* reads the list of
//! sites, and tells each before answering; whoever commits for a new site lists the site, *then*
//! reads the policy, and writes it into the slot before the commit. If the list was read without
//! the site, the site was listed after the policy was written, so it reads that one. A site never
//! goes back to an earlier policy.
//!
//! Dies in between: sites that were not told refuse orders of the new policy, and whoever is
//! refused tells them ([`tell_policy`]). A site that was listed, and never committed for, is empty.

use std::collections::BTreeSet;

use redis::Value;

use super::client::{Call, Client};
use super::layout::LAYOUT;
use super::lex;
use super::script::Script;
use super::value::{self, parsed};
use crate::domain::{Policy, PolicyOrigin, PolicyRevision, Site};
use crate::store::{PolicyInForce, StoreError, state};

static SITE: Script = Script::new("site.lua", &[include_str!("site.lua")]);
static POLICY: Script = Script::new("policy.lua", &[include_str!("policy.lua")]);

/// So many sites are read at once.
const SITES_PAGE: usize = 1000;

/// Every site, in order of name.
pub(super) async fn list(client: &Client) -> Result<Vec<Site>, StoreError> {
    let key = client.keys().global("sites");
    let mut sites: Vec<Site> = Vec::new();
    loop {
        let after = sites.last().map(Site::as_str);
        let found: Vec<String> = client.query(&lex::after(&key, after, SITES_PAGE)).await?;
        for site in &found {
            sites.push(parsed(&key, site, Site::parse)?);
        }
        if found.len() < SITES_PAGE {
            return Ok(sites);
        }
    }
}

/// Lists sites and prepares their slots for the first commit.
pub(super) async fn register(client: &Client, sites: &BTreeSet<Site>) -> Result<(), StoreError> {
    if sites.is_empty() {
        return Ok(());
    }
    note_layout(client).await?;
    let mut list = redis::cmd("ZADD");
    list.arg(client.keys().global("sites"));
    for site in sites {
        list.arg(0).arg(site.as_str());
    }
    client.query::<()>(&list).await?;
    let epoch = epoch(client).await?;
    let policy = revision(client).await?;
    tell(client, sites, &epoch, policy).await
}

/// Tells sites the policy in force.
pub(super) async fn tell_policy(client: &Client, sites: &BTreeSet<Site>) -> Result<(), StoreError> {
    if sites.is_empty() {
        return Ok(());
    }
    let policy = revision(client).await?;
    tell(client, sites, "", policy).await
}

async fn tell(
    client: &Client,
    sites: impl IntoIterator<Item = &Site>,
    epoch: &str,
    policy: Option<PolicyRevision>,
) -> Result<(), StoreError> {
    let policy = policy.map(|revision| revision.to_string()).unwrap_or_default();
    let call = |site: &Site| {
        let key = client.keys().of_site(site.as_str(), &["stock"]);
        Call::of(&SITE).key(key).arg(epoch).arg(policy.as_str())
    };
    let calls: Vec<Call> = sites.into_iter().map(call).collect();
    client.run_all(&calls).await.map(drop)
}

/// The Store's epoch: drawn when it is asked for first.
pub(super) async fn epoch(client: &Client) -> Result<String, StoreError> {
    let key = client.keys().global("epoch");
    let mut find = redis::cmd("GET");
    find.arg(&key);
    if let Some(epoch) = client.query(&find).await? {
        return Ok(epoch);
    }
    note_layout(client).await?;
    let mut draw = redis::cmd("SET");
    draw.arg(&key).arg(draw_epoch()).arg("NX");
    client.query::<Value>(&draw).await?;
    client.query(&find).await
}

/// Draws another epoch.
pub(super) async fn begin_epoch(client: &Client) -> Result<String, StoreError> {
    let epoch = draw_epoch();
    note_layout(client).await?;
    let mut set = redis::cmd("SET");
    set.arg(client.keys().global("epoch")).arg(&epoch);
    client.query::<()>(&set).await?;
    Ok(epoch)
}

fn draw_epoch() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The policy in force.
pub(super) async fn policy(client: &Client) -> Result<Option<PolicyInForce>, StoreError> {
    let key = client.keys().global("policy");
    let mut find = redis::cmd("HMGET");
    find.arg(&key).arg("revision").arg("policy");
    let found: (Option<String>, Option<String>) = client.query(&find).await?;
    match found {
        (Some(revision), Some(policy)) => in_force(&key, &revision, &policy).map(Some),
        (None, None) => Ok(None),
        (Some(_), None) | (None, Some(_)) => Err(value::unreadable(&key)),
    }
}

/// The revision of the policy in force.
async fn revision(client: &Client) -> Result<Option<PolicyRevision>, StoreError> {
    let key = client.keys().global("policy");
    let mut find = redis::cmd("HGET");
    find.arg(&key).arg("revision");
    let found: Option<String> = client.query(&find).await?;
    found.map(|text| value::number(&key, &text)).transpose()
}

/// Puts a policy in force unless there is one.
pub(super) async fn adopt_policy(
    client: &Client,
    proposed: &Policy,
    origin: &PolicyOrigin,
) -> Result<PolicyInForce, StoreError> {
    // Not only for speed: a worker then starts also while nothing can be written.
    if let Some(in_force) = policy(client).await? {
        return Ok(in_force);
    }
    put_in_force(client, proposed, origin, "adopt").await
}

/// Puts a policy in force, and tells every site before it answers. The sites are told also if
/// nothing was replaced: whoever did so may have died before they were.
pub(super) async fn replace_policy(
    client: &Client,
    policy: &Policy,
    origin: &PolicyOrigin,
) -> Result<PolicyInForce, StoreError> {
    put_in_force(client, policy, origin, "replace").await
}

/// Who put the policy in force, and when.
pub(super) async fn policy_origin(client: &Client) -> Result<Option<PolicyOrigin>, StoreError> {
    let key = client.keys().global("policy");
    let mut find = redis::cmd("HMGET");
    find.arg(&key).arg("actor").arg("at");
    let found: (Option<String>, Option<String>) = client.query(&find).await?;
    let (Some(actor), Some(at)) = found else { return Ok(None) };
    Ok(Some(PolicyOrigin { actor, at: value::time(&key, &at)? }))
}

async fn put_in_force(
    client: &Client,
    policy: &Policy,
    origin: &PolicyOrigin,
    how: &str,
) -> Result<PolicyInForce, StoreError> {
    note_layout(client).await?;
    let key = client.keys().global("policy");
    let call = Call::of(&POLICY).key(key.as_str()).arg(state::encode(policy)?).arg(how);
    let call = call.arg(origin.actor.as_str()).arg(origin.at.micros().to_string());
    let (revision, policy): (String, String) = client.run(&call).await?;
    let in_force = in_force(&key, &revision, &policy)?;
    let sites = list(client).await?;
    tell(client, &sites, "", Some(in_force.revision)).await?;
    Ok(in_force)
}

fn in_force(key: &str, revision: &str, policy: &str) -> Result<PolicyInForce, StoreError> {
    let revision = value::number(key, revision)?;
    let policy = state::decode(&"the policy", policy)?;
    Ok(PolicyInForce { revision, policy })
}

/// Sums a number over all sites: of each what a command answers of a key.
pub(super) async fn sum(
    client: &Client,
    command: &str,
    key: impl Fn(&Site) -> String,
) -> Result<u64, StoreError> {
    let sites = list(client).await?;
    let commands = sites.iter().map(|site| {
        let key = key(site);
        let mut count = redis::cmd(command);
        count.arg(&key);
        (key, count)
    });
    let answers = client.query_all(commands.collect()).await?;
    answers.into_iter().map(|answer| value::read::<u64>(command, answer)).sum()
}

/// Notes the layout, unless it is noted. That comes before the first key of a new Store: one that
/// dies in between has a number and nothing else.
async fn note_layout(client: &Client) -> Result<(), StoreError> {
    let mut note = redis::cmd("SET");
    note.arg(client.keys().global("layout")).arg(LAYOUT).arg("NX");
    client.query::<Value>(&note).await.map(drop)
}
