//! `policy show` and `policy apply`

use anyhow::Context;
use comfy_table::Cell;
use serde::Serialize;

use super::actor::ActorArgs;
use super::output::Output;
use super::plural::{counted, word};
use super::table::{Column, Listing, optional, quantity, text, write_facts};
use super::{ExitStatus, Format, PolicyCommand, progress};
use crate::clock;
use crate::console::views::PolicyView;
use crate::domain::{MessageId, Policy, PolicyInForce, PolicyOrigin, ProposedPolicy, Site};
use crate::store::Store;
use crate::upkeep::recompute::{self, Effect, Mode};

/// Runs a `policy` command.
pub async fn run(
    store: &dyn Store,
    command: &PolicyCommand,
    proposed: &ProposedPolicy,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    match command {
        PolicyCommand::Show => show(store, output).await,
        PolicyCommand::Apply { dry_run, by } => {
            apply(store, proposed, (*dry_run, by), output).await
        }
    }
}

const COLUMNS: &[Column<EffectView>] = &[
    Column::name("SITE", |effect| text(&effect.site)),
    Column::name("KEY", |effect| text(&effect.key)),
    Column::number("COMMITTED", |effect| quantity(&effect.delta.committed)),
    Column::number("FULFILLED", |effect| quantity(&effect.delta.fulfilled)),
];

/// The effect of a policy on one item, in JSON.
#[derive(Serialize)]
struct EffectView {
    site: String,
    key: String,
    /// What is added to its counts.
    delta: DeltaView,
}

#[derive(Serialize)]
struct DeltaView {
    committed: String,
    fulfilled: String,
}

/// The totals in JSON: the last line.
#[derive(Serialize)]
struct Summary {
    /// The revision of the policy.
    revision: u64,
    dry_run: bool,
    /// Orders that were recomputed.
    orders: u64,
    /// Orders that now hold something else.
    changed: u64,
    /// Orders that keep their holds, because a total would exceed a limit.
    overflowed: usize,
}

/// Puts the configured policy in force and recomputes every order; a dry run does neither. Both
/// report the net effect on each stock item.
///
/// If the process dies after the policy is in force, the next run continues with the orders of an
/// older revision.
async fn apply(
    store: &dyn Store,
    proposed: &ProposedPolicy,
    (dry_run, by): (bool, &ActorArgs),
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let before = store.policy().await.context("cannot read the policy in force")?;
    let foreseen = foreseen(before.as_ref(), proposed);
    let (in_force, mode) = if dry_run {
        (foreseen, Mode::DryRun)
    } else {
        let at = clock::now();
        let origin = PolicyOrigin { actor: by.name().to_string(), at };
        let in_force = store.replace_policy(&foreseen.policy, &origin).await;
        let in_force = in_force.context("cannot put the policy in force")?;
        let message_id = MessageId(uuid::Uuid::now_v7());
        (in_force, Mode::Write { message_id, at })
    };
    let sites = store.sites().await.context("cannot list the sites")?;
    let mut listing = Listing::new(COLUMNS);
    let (mut orders, mut changed, mut overflowed) = (0, 0, 0);
    let bar = progress::count("orders computed");
    for site in &sites {
        let effect = recompute::site(store, site, &in_force, mode, |read| bar.inc(read)).await;
        let effect = effect.with_context(|| {
            format!("stopped at {site}; run `storekeeper policy apply` again to go on")
        })?;
        bar.suspend(|| write_effect(site, &effect, &mut listing, output))?;
        orders += effect.orders;
        changed += effect.orders_changed;
        overflowed += effect.overflowed.len();
    }
    bar.finish_and_clear();
    listing.finish(output)?;
    let revision = in_force.revision;
    let counted = counted(orders, "order", "orders");
    let sentence = if dry_run {
        format!(
            "policy revision {revision} would compute {counted} again; {changed} would hold \
             something else"
        )
    } else {
        let were = word(orders, "was", "were");
        let hold = word(changed, "holds", "hold");
        format!(
            "policy revision {revision} is in force; {counted} {were} computed again, {changed} \
             {hold} something else"
        )
    };
    output.verdict(sentence, &Summary { revision, dry_run, orders, changed, overflowed })?;
    let differing = before.map(|before| in_force.policy.differing(&before.policy));
    if output.format == Format::Table
        && let Some(settings) = differing.filter(|settings| !settings.is_empty())
    {
        let (settings, will) = (settings.join(", "), if dry_run { "would stop" } else { "stop" });
        output.say(format_args!(
            "workers (`serve` too) that are configured with another {settings} {will} consuming \
             within seconds: set it there as here and restart them; workers without it go on"
        ))?;
    }
    Ok(if overflowed == 0 { ExitStatus::Done } else { ExitStatus::NotHeld })
}

fn write_effect(
    site: &Site,
    effect: &Effect,
    listing: &mut Listing<'_, EffectView>,
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    for (key, delta) in &effect.items {
        let view = EffectView {
            site: site.to_string(),
            key: key.to_string(),
            delta: DeltaView {
                committed: delta.committed.to_string(),
                fulfilled: delta.fulfilled.to_string(),
            },
        };
        listing.add([view], output)?;
    }
    for order in &effect.overflowed {
        output.say(format_args!("{order} of {site} is unchanged: a total would exceed a limit"))?;
    }
    Ok(())
}

/// The policy that would be in force and its revision: the current policy, overridden by the
/// proposed settings.
fn foreseen(in_force: Option<&PolicyInForce>, proposed: &ProposedPolicy) -> PolicyInForce {
    match in_force {
        None => PolicyInForce { revision: 1, policy: proposed.over(&Policy::default()) },
        Some(in_force) => {
            let policy = proposed.over(&in_force.policy);
            let is_other = policy != in_force.policy;
            PolicyInForce { revision: in_force.revision + u64::from(is_other), policy }
        }
    }
}

/// Shows the policy in force, by the names of its settings.
async fn show(store: &dyn Store, output: &mut Output<'_>) -> anyhow::Result<ExitStatus> {
    let in_force = store.policy().await.context("cannot read the policy in force")?;
    let Some(in_force) = in_force else {
        return output
            .not_held("no policy is in force yet; the first `storekeeper serve` records its own");
    };
    let origin = store.policy_origin().await.context("cannot read who put the policy in force")?;
    output.show(&PolicyView::new(&in_force, origin.as_ref()), |view, output| {
        let facts = vec![
            ("revision", Cell::new(view.revision)),
            ("put in force by", optional(view.actor.as_deref())),
            ("put in force at", optional(view.at.as_deref())),
            ("stock.key_precedence", text(&view.key_precedence.join(", "))),
            ("orders.test_mode", text(&view.test_mode)),
            ("orders.cancelled", text(&view.cancelled)),
            ("orders.deleted", text(&view.deleted)),
            ("refunds.restock", text(&view.restock)),
        ];
        write_facts(facts, output)
    })?;
    Ok(ExitStatus::Done)
}
