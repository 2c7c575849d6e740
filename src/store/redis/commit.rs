//! The hot path: one script a commit, all of a call at once.
//!
//! A commit that the script refused was not written, so it is safe to run it again, and that is
//! done in two cases only: its site was not listed, or did not know the policy in force yet.

use std::collections::BTreeSet;

use redis::Value;

use super::call;
use super::client::{Call, Client};
use super::closed;
use super::value::{self, read};
use super::{failure, sites};
use crate::domain::{PolicyRevision, TotalError};
use crate::store::{Commit, Committed, StoreError};

/// A site is listed, or learns the policy, in the first round; a second one may lose a race.
const ROUNDS_MAX: usize = 3;

/// What the script answered.
enum ScriptAnswer {
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
    // What stays open is of a policy that was never in force, or of a site that vanishes again and
    // again; nothing of it is written.
    let refusal =
        |commit: &Commit| commit.policy.map_or(Committed::Conflict, |_| Committed::PolicyChanged);
    let mut committed: Vec<Committed> = commits.iter().map(refusal).collect();
    let calls = commits.iter().map(|commit| call::of(client.keys(), commit));
    let calls: Vec<Call> = calls.collect::<Result<_, _>>()?;
    let mut open: Vec<_> = commits.iter().zip(&calls).zip(&mut committed).collect();
    for _ in 0..ROUNDS_MAX {
        if open.is_empty() {
            break;
        }
        let answers = client.run_all(open.iter().map(|((_, call), _)| *call)).await?;
        let (mut unregistered, mut outdated) = (BTreeSet::new(), BTreeSet::new());
        let mut again = Vec::new();
        for (((commit, call), done), answer) in open.into_iter().zip(answers) {
            match answer_of(commit, call, answer)? {
                ScriptAnswer::Final(answer) => {
                    *done = answer;
                    continue;
                }
                ScriptAnswer::Unregistered => unregistered.insert(commit.site.clone()),
                ScriptAnswer::OtherPolicy(known) if commit.policy > Some(known) => {
                    outdated.insert(commit.site.clone())
                }
                ScriptAnswer::OtherPolicy(_) => continue,
            };
            again.push(((commit, call), done));
        }
        sites::register(client, &unregistered).await?;
        sites::update_policy(client, &outdated).await?;
        open = again;
    }
    Ok(committed)
}

fn answer_of(commit: &Commit, call: &Call, answer: Value) -> Result<ScriptAnswer, StoreError> {
    let words: Vec<String> = read(call.first_key(), answer)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Ok(match words[..] {
        ["written"] => ScriptAnswer::Final(Committed::Written),
        ["conflict"] => ScriptAnswer::Final(Committed::Conflict),
        ["closed", watermark, ref known @ ..] if known.len() == commit.new_names.len() => {
            let watermark = value::time(call.first_key(), watermark)?;
            let names = commit.new_names.iter().zip(known).map(|((name, _), word)| {
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
