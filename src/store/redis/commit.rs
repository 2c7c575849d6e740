//! The hot path: commits of a site are written together, and all of a call at once.
//!
//! A commit that the script refused was not written, so it is safe to run it again. That is done if
//! its site was not listed, or did not know the policy in force yet; and if it was refused together
//! with others: then each is run by itself, and only those are refused that have to be. What came
//! after them was refused for their sake, perhaps, and is run again too.

use std::collections::{BTreeSet, HashSet};

use redis::Value;

use super::call;
use super::client::{Call, Client};
use super::closed;
use super::value::{self, read};
use super::{failure, sites};
use crate::domain::{OrderId, PolicyRevision, TotalError};
use crate::store::{Commit, Committed, EntityName, StoreError};

/// A site is listed, or learns the policy, in the first round; what was refused together is run singly
/// in another; one more may lose a race.
const ROUNDS_MAX: usize = 4;
/// Redis does nothing else while it runs a script: so many commits share one, and they write so many
/// things together. A commit that writes more is run by itself.
const JOINED_MAX: usize = 16;
const JOINED_STEPS_MAX: usize = 200;

/// What the script answered.
enum ScriptAnswer {
    Final(Committed),
    /// One of several would be refused, so all were.
    OneRefused,
    /// Nothing was ever committed for the site.
    Unregistered,
    /// The site knows this policy, which is not the commit's.
    OtherPolicy(PolicyRevision),
}

/// Commits of one site that are written together, by their places, or all refused.
struct Joined<'a> {
    first: &'a Commit,
    places: Vec<usize>,
    commits: Vec<&'a Commit>,
    steps: usize,
}

/// About how long a commit takes in Redis.
const fn steps(commit: &Commit) -> usize {
    commit.writes.len() + commit.changes.len() + commit.item_names.len()
}

impl<'a> Joined<'a> {
    fn alone((place, commit): (usize, &'a Commit)) -> Self {
        Self { first: commit, places: vec![place], commits: vec![commit], steps: steps(commit) }
    }

    /// Commits in as few groups as may be; those of one site stay in order.
    fn all_of(commits: &'a [Commit]) -> Vec<Self> {
        let mut by_site: Vec<(usize, &Commit)> = commits.iter().enumerate().collect();
        by_site.sort_by(|(_, one), (_, other)| one.site.cmp(&other.site));
        let mut groups: Vec<Self> = Vec::new();
        let mut written = Written::default();
        for (place, commit) in by_site {
            match groups.last_mut() {
                Some(group) if group.takes(commit) && !written.has_read_of(commit) => {
                    group.places.push(place);
                    group.commits.push(commit);
                    group.steps += steps(commit);
                }
                Some(_) | None => {
                    groups.push(Self::alone((place, commit)));
                    written = Written::default();
                }
            }
            written.add(commit);
        }
        groups
    }

    /// Whether a commit may be written with these. Those of receipts and catalogue entries are rare, and
    /// written alone. One that closes an order has to be: it may run on a server that is out of memory,
    /// and what it marks is checked by commits after it.
    fn takes(&self, commit: &Commit) -> bool {
        let is_plain = |it: &Commit| {
            let mut writes = it.writes.iter();
            it.closing.is_none() && writes.all(|write| matches!(write.name, EntityName::Order(_)))
        };
        self.commits.len() < JOINED_MAX
            && self.steps + steps(commit) <= JOINED_STEPS_MAX
            && (&self.first.site, self.first.policy) == (&commit.site, commit.policy)
            && is_plain(self.first)
            && is_plain(commit)
    }
}

/// What commits write. One that has read some of it was computed from what was there before.
#[derive(Default)]
struct Written<'a> {
    entities: HashSet<&'a EntityName>,
    links: HashSet<&'a OrderId>,
}

impl<'a> Written<'a> {
    fn add(&mut self, commit: &'a Commit) {
        self.entities.extend(commit.writes.iter().map(|write| &write.name));
        self.links.extend(commit.links.iter().map(|(name, _)| name));
    }

    fn has_read_of(&self, commit: &Commit) -> bool {
        commit.read.iter().any(|(name, _)| self.entities.contains(name))
            || commit.links_read.iter().any(|(name, _)| self.links.contains(name))
    }
}

/// Writes commits, each whole or not at all.
pub(super) async fn commit(
    client: &Client,
    commits: &[Commit],
) -> Result<Vec<Committed>, StoreError> {
    for commit in commits {
        commit.validate()?;
    }
    // What stays open is of a policy that was never in force, or of a site that vanishes again and
    // again; nothing of it is written.
    let refusal =
        |commit: &Commit| commit.policy.map_or(Committed::Conflict, |_| Committed::PolicyChanged);
    let mut committed: Vec<Committed> = commits.iter().map(refusal).collect();
    let mut open = Joined::all_of(commits);
    for _ in 0..ROUNDS_MAX {
        if open.is_empty() {
            break;
        }
        let calls =
            open.iter().map(|group| call::of(client.keys(), &group.first.site, &group.commits));
        let calls: Vec<Call> = calls.collect::<Result<_, _>>()?;
        let answers = client.run_all(&calls).await?;
        let (mut unregistered, mut outdated) = (BTreeSet::new(), BTreeSet::new());
        let (mut again, mut parted) = (Vec::new(), BTreeSet::new());
        for ((group, call), answer) in open.into_iter().zip(&calls).zip(answers) {
            let first = group.first;
            match answer_of(&group.commits, call, answer)? {
                ScriptAnswer::Final(answer) => {
                    set(&mut committed, &group.places, &answer);
                    if answer == Committed::Conflict && parted.contains(&first.site) {
                        again.push(group);
                    }
                    continue;
                }
                ScriptAnswer::OneRefused => {
                    parted.insert(&first.site);
                    set(&mut committed, &group.places, &Committed::Conflict);
                    let members = group.places.into_iter().zip(group.commits);
                    again.extend(members.map(Joined::alone));
                    continue;
                }
                ScriptAnswer::Unregistered => unregistered.insert(first.site.clone()),
                ScriptAnswer::OtherPolicy(known) if first.policy > Some(known) => {
                    outdated.insert(first.site.clone())
                }
                ScriptAnswer::OtherPolicy(_) => continue,
            };
            again.push(group);
        }
        sites::register(client, &unregistered).await?;
        sites::update_policy(client, &outdated).await?;
        open = again;
    }
    Ok(committed)
}

/// Notes what became of commits, unless another round changes it.
fn set(committed: &mut [Committed], places: &[usize], answer: &Committed) {
    for place in places {
        if let Some(done) = committed.get_mut(*place) {
            done.clone_from(answer);
        }
    }
}

fn answer_of(commits: &[&Commit], call: &Call, answer: Value) -> Result<ScriptAnswer, StoreError> {
    let words: Vec<String> = read(call.first_key(), answer)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let new_names = || commits.iter().flat_map(|commit| &commit.new_names);
    Ok(match words[..] {
        ["written"] => ScriptAnswer::Final(Committed::Written),
        ["conflict" | "too-large" | "negative"] | ["closed", ..] if commits.len() > 1 => {
            ScriptAnswer::OneRefused
        }
        ["conflict"] => ScriptAnswer::Final(Committed::Conflict),
        ["closed", watermark, ref known @ ..] if known.len() == new_names().count() => {
            let watermark = value::time(call.first_key(), watermark)?;
            let names = new_names().zip(known).map(|((name, _), word)| {
                Ok((name.clone(), closed::of_word(call.first_key(), word)?))
            });
            let names = names.collect::<Result<_, StoreError>>()?;
            ScriptAnswer::Final(Committed::Closed { names, watermark })
        }
        ["too-large"] => ScriptAnswer::Final(Committed::Overflow(TotalError::TooLarge)),
        ["negative"] => ScriptAnswer::Final(Committed::Overflow(TotalError::Negative)),
        ["unregistered"] => ScriptAnswer::Unregistered,
        ["policy", known] => ScriptAnswer::OtherPolicy(value::number(call.first_key(), known)?),
        _ => return Err(failure::corrupt(format!("{call} answered {words:?}"))),
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{ItemNames, MessageId, Site, StockKey, Timestamp};

    /// The numbers of commits of one site that are written together, by how much each writes.
    fn joined(steps: &[usize]) -> Vec<usize> {
        let commit = |steps: &usize| {
            let site = Site::parse("shop").unwrap();
            let key = StockKey::parse("sku:A").unwrap();
            let names = ItemNames { key, line: None, also: Vec::new() };
            let nothing = Commit::nothing(site, MessageId(Uuid::nil()), Timestamp::from_millis(1));
            Commit { item_names: vec![names; *steps], ..nothing }
        };
        let commits: Vec<Commit> = steps.iter().map(commit).collect();
        Joined::all_of(&commits).iter().map(|group| group.commits.len()).collect()
    }

    #[test]
    fn what_is_written_together_is_bounded_in_number_and_in_size() {
        assert_eq!(joined(&[3; 20]), [16, 4]);
        assert_eq!(joined(&[100, 100, 1, 1000, 1, 199]), [2, 1, 1, 2]);
    }
}
