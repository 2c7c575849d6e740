//! The hot path: one script a commit, all of a call at once.
//!
//! A commit that the script refused was not written, so it is safe to run it again, and that is
//! done in two cases only: its site was not listed, or did not know the policy in force yet.

use std::collections::BTreeSet;
use std::fmt::Display;

use redis::Value;

use super::client::{Call, Client};
use super::closed::{self, Mark};
use super::keys::Keys;
use super::packed::Packer;
use super::script::Script;
use super::value::{self, hold_text, read};
use super::{entity, failure, lex, sites};
use crate::domain::{
    CatalogueEntry, CatalogueId, OrderId, OrderState, PolicyRevision, Quantity, Receipt, Site,
    StockChange, TotalError,
};
use crate::store::{Commit, Committed, EntityName, EntityState, StoreError, state};

static COMMIT: Script =
    Script::new("commit.lua", &["#!lua\n", include_str!("exact.lua"), include_str!("commit.lua")]);

/// A site is listed, or learns the policy, in the first round; a second one may lose a race.
const ROUNDS_MAX: usize = 3;

/// What the script answered.
enum Answer {
    Final(Committed),
    /// Nothing was ever committed for the site.
    Unregistered,
    /// The site knows this policy, which is not the commit's.
    OtherPolicy(PolicyRevision),
}

/// Writes commits, each whole or not at all.
pub(super) async fn commit(
    client: &Client,
    commits: &[Commit],
) -> Result<Vec<Committed>, StoreError> {
    let mut packer = Packer::new();
    let calls = commits.iter().map(|commit| call(client.keys(), commit, &mut packer));
    let calls: Vec<Call> = calls.collect::<Result<_, _>>()?;
    let mut committed: Vec<Option<Committed>> = vec![None; commits.len()];
    for _ in 0..ROUNDS_MAX {
        let open: Vec<(usize, &Commit, &Call)> = commits
            .iter()
            .zip(&calls)
            .enumerate()
            .filter(|(place, _)| committed.get(*place).is_some_and(Option::is_none))
            .map(|(place, (commit, call))| (place, commit, call))
            .collect();
        if open.is_empty() {
            break;
        }
        let answers = client.run_all(open.iter().map(|(_, _, call)| *call)).await?;
        let mut unregistered = BTreeSet::new();
        let mut behind = BTreeSet::new();
        for ((place, commit, call), answer) in open.into_iter().zip(answers) {
            let done = match answer_of(call, answer)? {
                Answer::Final(done) => Some(done),
                Answer::Unregistered => {
                    unregistered.insert(commit.entity.site.clone());
                    None
                }
                Answer::OtherPolicy(known) if policy_of(commit) > Some(known) => {
                    behind.insert(commit.entity.site.clone());
                    None
                }
                Answer::OtherPolicy(_) => Some(Committed::PolicyChanged),
            };
            if let Some(slot) = committed.get_mut(place) {
                *slot = done;
            }
        }
        sites::register(client, &unregistered).await?;
        sites::tell_policy(client, &behind).await?;
    }
    // What is open still is of a policy that was never in force, or of a site that vanishes again
    // and again; nothing of it is written.
    let undone = commits.iter().zip(committed).map(|(commit, done)| {
        let refusal = policy_of(commit).map_or(Committed::Conflict, |_| Committed::PolicyChanged);
        done.unwrap_or(refusal)
    });
    Ok(undone.collect())
}

fn answer_of(call: &Call, answer: Value) -> Result<Answer, StoreError> {
    let words: Vec<String> = read(call.first_key(), answer)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Ok(match words[..] {
        ["written", conflict] => {
            Answer::Final(Committed::Written { alias_conflict: conflict == "1" })
        }
        ["conflict"] => Answer::Final(Committed::Conflict),
        ["closed", watermark] => {
            let watermark = value::time(call.first_key(), watermark)?;
            Answer::Final(Committed::Closed { watermark })
        }
        ["too-large"] => Answer::Final(Committed::Overflow(TotalError::TooLarge)),
        ["negative"] => Answer::Final(Committed::Overflow(TotalError::Negative)),
        ["unregistered"] => Answer::Unregistered,
        ["policy", known] => Answer::OtherPolicy(value::number(call.first_key(), known)?),
        _ => return Err(failure::corrupt(format!("{call} answered {words:?}"))),
    })
}

const fn policy_of(commit: &Commit) -> Option<PolicyRevision> {
    match &commit.state {
        EntityState::Order(order) => Some(order.policy),
        EntityState::Catalogue(_) | EntityState::Receipt(_) => None,
    }
}

/// Checks a commit's form and makes the run of the script that writes it.
fn call(keys: &Keys, commit: &Commit, packer: &mut Packer) -> Result<Call, StoreError> {
    commit.check_form()?;
    let site = &commit.entity.site;
    let of_site = |name| keys.of_site(site.as_str(), &[name]);
    let (kind, name, index) = match &commit.entity.name {
        EntityName::Order(order) => ("order", order.to_string(), of_site("orders")),
        EntityName::Catalogue(entry) => ("catalogue", entry.to_string(), of_site("catalogue")),
        EntityName::Receipt(receipt) => {
            let index = keys.of_site(site.as_str(), &["receipts", &receipt.key.to_string()]);
            ("receipt", receipt.reference.to_string(), index)
        }
    };
    let mut call = Call::of(&COMMIT).key(of_site("site")).key(entity::key(keys, &commit.entity));
    call.push_key(index);
    for name in ["stock", "items", "changes", "oversold"] {
        call.push_key(of_site(name));
    }
    call.push_arg(kind);
    call.push_arg(name);
    push_known(&mut call, commit.loaded.map(|revision| revision.0));
    call.push_shown(&rand::random::<u64>());
    call.push_arg(packer.pack(&state::encode_entity(&commit.state)?));
    push_known(&mut call, policy_of(commit));
    call.push_shown(&commit.at.micros());
    push_known(&mut call, is_settled(&commit.state).then(|| commit.at.micros()));
    call.push_shown(&commit.message_id);
    push_changes(&mut call, keys, site, &commit.changes);
    match (&commit.entity.name, &commit.state) {
        (EntityName::Order(order), EntityState::Order(state)) => {
            call.push_key(of_site("settled"));
            push_names(&mut call, keys, site, order, state);
        }
        (_, EntityState::Receipt(receipt)) => push_received(&mut call, receipt),
        (EntityName::Catalogue(id), EntityState::Catalogue(entry)) => {
            call.push_key(of_site("names"));
            call.push_key(of_site("named"));
            push_given(&mut call, id, entry);
        }
        _ => {}
    }
    Ok(call)
}

/// Adds what there is; '' stands for nothing.
fn push_known(call: &mut Call, known: Option<impl Display>) {
    match known {
        Some(known) => call.push_shown(&known),
        None => call.push_arg(""),
    }
}

fn push_changes(call: &mut Call, keys: &Keys, site: &Site, changes: &[StockChange]) {
    call.push_shown(&changes.len());
    for change in changes {
        let key = change.key.to_string();
        call.push_key(keys.of_site(site.as_str(), &["holds", &key]));
        call.push_arg(key);
        let delta = [change.delta.received, change.delta.committed, change.delta.fulfilled];
        for count in delta.map(Quantity::millionths) {
            call.push_shown(&count);
        }
        call.push_arg(change.hold.as_ref().map(hold_text).unwrap_or_default());
    }
}

/// The names of an order that no other may bear.
fn push_names(call: &mut Call, keys: &Keys, site: &Site, order: &OrderId, state: &OrderState) {
    call.push_key(closed::key(keys, site, order));
    call.push_arg(closed::member(Mark::Closed, order));
    let names = exclusive_names(order, state);
    call.push_shown(&names.len());
    for name in names {
        call.push_arg(if name == order { "1" } else { "0" });
        for key in name_keys(keys, site, name) {
            call.push_key(key);
        }
        call.push_arg(closed::member(Mark::Closed, name));
        call.push_arg(closed::member(Mark::Borne, name));
    }
}

/// The exclusive names of an order, its own among them if it is one, each once.
pub(super) fn exclusive_names<'a>(
    order: &'a OrderId,
    state: &'a OrderState,
) -> BTreeSet<&'a OrderId> {
    let all = state.aliases.iter().chain([order]);
    all.filter(|name| name.kind.is_exclusive()).collect()
}

/// Where it stands who bears a name: the first order, more orders, the order that it names, and
/// closed orders.
pub(super) fn name_keys(keys: &Keys, site: &Site, name: &OrderId) -> [String; 4] {
    let (kind, identifier) = (name.kind.as_str(), name.identifier.as_str());
    [
        keys.of_site(site.as_str(), &["alias", kind, identifier]),
        keys.of_site(site.as_str(), &["aliases", kind, identifier]),
        entity::order_key(keys, site, name),
        closed::key(keys, site, name),
    ]
}

fn push_received(call: &mut Call, receipt: &Receipt) {
    call.push_shown(&receipt.content.received().millionths());
}

/// The names that a catalogue entry gives to items, in the form in which an item finds its own, and
/// in the form in which a prefix finds items.
fn push_given(call: &mut Call, id: &CatalogueId, entry: &CatalogueEntry) {
    let keys: BTreeSet<_> = entry.description.stock_keys.iter().collect();
    let Some(name) = &entry.description.name else {
        call.push_arg("0");
        return;
    };
    call.push_shown(&keys.len());
    let rank = if entry.is_deleted() { "1" } else { "0" };
    for key in keys {
        let (key, entry) = (key.to_string(), id.to_string());
        let lowercase = name.to_lowercase();
        call.push_arg([&*key, rank, &*entry, &**name].join(lex::BETWEEN));
        call.push_arg([&*lowercase, &*key, rank, &*entry].join(lex::BETWEEN));
    }
}

fn is_settled(state: &EntityState) -> bool {
    matches!(state, EntityState::Order(order) if order.is_settled())
}
