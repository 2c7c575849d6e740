//! `audit`: recomputes every number, reports what differs, and repairs it on request.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::actor::ActorArgs;
use super::output::Output;
use super::plural::{counted, word};
use super::table::{Column, Listing, optional, text};
use super::{ExitStatus, Format, progress, sites};
use crate::clock;
use crate::domain::{MessageId, Site, printable};
use crate::store::Store;
use crate::upkeep::audit::{self, Repair, Repaired};

/// The options of `audit`.
#[derive(Debug, Default, Args)]
pub struct AuditArgs {
    /// Audit only this site.
    #[arg(long, value_name = "SITE", value_parser = Site::parse)]
    pub site: Option<Site>,
    /// Set the counts to what orders and receipts say, where they differ.
    ///
    /// The change feed gets an entry for each, with your name. Works beside a running service;
    /// concurrent commits are not overwritten.
    #[arg(long)]
    pub repair: bool,
    /// With `--repair`: change nothing, and show what would be repaired.
    #[arg(long, requires = "repair")]
    pub dry_run: bool,
    /// Who repairs.
    #[command(flatten)]
    pub actor: ActorArgs,
}

/// The kind of a damaged file.
const DAMAGED: &str = "file.damaged";

/// What is said of entries of the change feed that do not add up.
const FEED_ADVICE: &str = "no count is wrong; a commit was broken off between its writes, and its \
                           entry stays until changes.retention has passed";

const COLUMNS: &[Column<View>] = &[
    Column::name("SITE", |view| text(&view.site)),
    Column::name("DIFFERS", |view| text(view.kind)),
    Column::name("KEY", |view| optional(view.key.as_deref())),
    Column::name("ORDER", |view| optional(view.order.as_deref())),
    Column::text("FOUND", |view| text(&view.found)),
    Column::text("EXPECTED", |view| text(&view.expected)),
    Column::name("REPAIR", |view| optional(view.repair)),
];

/// A difference in JSON.
#[derive(Serialize)]
struct View {
    site: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<String>,
    found: String,
    expected: String,
    /// Whether it is repaired or, by a dry run, would be; only with `--repair`.
    #[serde(skip_serializing_if = "Option::is_none")]
    repair: Option<&'static str>,
}

/// Damage of a file in JSON.
#[derive(Serialize)]
struct DamageView<'a> {
    kind: &'static str,
    file: &'a str,
    found: &'a str,
}

/// The totals in JSON: the last line.
#[derive(Default, Serialize)]
struct Summary {
    /// Stock items that were checked.
    items: u64,
    /// Orders that were recomputed.
    orders: u64,
    /// Differences; if there are very many, not all of them are listed.
    differences: u64,
    /// Second names that were seen beside several ids, and lead to none; they are no differences.
    names_contested: u64,
    /// Differences that remain after a repair.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<u64>,
}

/// Reports damaged files of the state; returns whether there are none.
pub fn report_damage(
    damage: &[(PathBuf, String)],
    output: &mut Output<'_>,
) -> anyhow::Result<bool> {
    for (file, found) in damage {
        let file = &*file.to_string_lossy();
        match output.format {
            Format::Table => {
                writeln!(
                    output.out,
                    "{DAMAGED} {}",
                    printable(&format!("{file}: {found}"), false)
                )?;
            }
            Format::Json => output.json(&DamageView { kind: DAMAGED, file, found })?,
        }
    }
    if let Some((file, _)) = damage.first() {
        let file = file.display();
        output.say(format_args!(
            "{file} is damaged: stop the service, keep a copy of its directory, and put back the \
             file of a backup (`storekeeper backup` makes them); then `storekeeper journal replay` \
             applies what came since"
        ))?;
    }
    Ok(damage.is_empty())
}

/// Audits the sites, and reports the differences and the totals.
pub async fn run(
    store: &dyn Store,
    args: &AuditArgs,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let Some(sites) = sites::chosen(store, args.site.as_ref(), output).await? else {
        return Ok(ExitStatus::NotHeld);
    };
    let without_repair = COLUMNS.split_last().map_or(COLUMNS, |(_, others)| others);
    let mut listing = Listing::new(if args.repair { COLUMNS } else { without_repair });
    let repair = Repair {
        actor: args.actor.name(),
        message_id: MessageId(uuid::Uuid::now_v7()),
        at: clock::now(),
    };
    let mut all = Summary::default();
    let (mut remaining, mut of_feed) = (0, 0);
    let bar = progress::count("orders audited");
    for site in &sites {
        let progress = |read| bar.inc(read);
        let repaired = if args.repair && !args.dry_run {
            let repaired = audit::repair(store, site, &repair, progress).await;
            repaired.with_context(|| format!("cannot audit or repair {site}"))?
        } else {
            let found = audit::site(store, site, progress).await;
            let before = found.with_context(|| format!("cannot audit {site}"))?;
            Repaired { after: before.clone(), before }
        };
        bar.suspend(|| write_findings(site, &repaired, args, &mut listing, output))?;
        let Repaired { before, after } = repaired;
        all.differences += before.differences_count;
        all.orders += before.orders;
        all.items += before.items;
        all.names_contested += before.names_contested;
        remaining += after.differences_count;
        of_feed += after.of_feed();
    }
    bar.finish_and_clear();
    listing.finish(output)?;
    let contested = all.names_contested;
    if contested > 0 {
        let names = counted(contested, "name was", "names were");
        let lead = word(contested, "leads", "lead");
        output.say(format_args!(
            "note: {names} seen beside several ids, and {lead} to none of them; `orders list \
             --contested` shows the orders"
        ))?;
    }
    all.remaining = (args.repair && !args.dry_run).then_some(remaining);
    let verdict = verdict(&all, of_feed);
    let Summary { items, orders, .. } = all;
    let items = counted(items, "stock item", "stock items");
    let orders = counted(orders, "order", "orders");
    output.verdict(format_args!("{items} and {orders}: {verdict}"), &all)?;
    Ok(if remaining == 0 { ExitStatus::Done } else { ExitStatus::NotHeld })
}

/// Says what differs and what to do, where so many of it are entries of the change feed.
fn verdict(all: &Summary, of_feed: u64) -> String {
    match (all.differences, all.remaining) {
        (0, _) => "nothing differs".to_owned(),
        (found, None) if of_feed == found => {
            format!("{found} differ, all of them entries of the change feed: {FEED_ADVICE}")
        }
        (found, Some(left)) if left > 0 && of_feed == left => format!(
            "{found} differed, and what is left ({left}) are entries of the change feed: \
             {FEED_ADVICE}"
        ),
        (found, None) => format!(
            "{}; `storekeeper audit --repair` sets the counts right, or restore a backup and \
             replay the journal",
            counted(found, "differs", "differ")
        ),
        (found, Some(0)) => format!("{found} differed, and all is repaired"),
        (found, Some(left)) => format!(
            "{found} differed, and {} left; restore a backup and replay the journal, or \
             report it",
            counted(left, "is", "are")
        ),
    }
}

fn write_findings(
    site: &Site,
    Repaired { before, after }: &Repaired,
    args: &AuditArgs,
    listing: &mut Listing<'_, View>,
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    for difference in &before.differences {
        let repair = args.repair.then(|| match args.dry_run {
            true if difference.kind.is_repairable() => "possible",
            false if !after.differences.iter().any(|it| it.is_of_same(difference)) => "done",
            true | false => "none",
        });
        let view = View {
            site: site.to_string(),
            kind: difference.kind.as_str(),
            key: difference.key.as_ref().map(ToString::to_string),
            order: difference.order.as_ref().map(ToString::to_string),
            found: difference.found.clone(),
            expected: difference.expected.clone(),
            repair,
        };
        listing.add([view], output)?;
    }
    Ok(())
}
