//! `changes`: prints the change feeds of sites, and follows them.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use comfy_table::Cell;
use tokio_util::sync::CancellationToken;

use super::output::{self, Output};
use super::table::{Column, Listing, quantity, spare, text};
use super::{ExitStatus, Format, failure, sites};
use crate::app::signals::Signals;
use crate::clock::PastTime;
use crate::console::views::ChangeView;
use crate::domain::{Site, Timestamp, causes};
use crate::http::problem::ProblemCode;
use crate::requests::items::{self, Create, ItemError};
use crate::store::Store;
use crate::store::changes::{self, ChangeFilter, Cursor, FeedError};

/// Changes that are read at a time.
const PAGE: usize = 500;
/// Changes that are looked at for `--last`, or at once for the others.
const LOOKED_AT_MAX: usize = 1_000_000;
/// How often the feed is read while it is followed.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// What `changes` takes.
#[derive(Debug, Default, Args)]
pub struct ChangesArgs {
    /// The shop, as Duda names it in `site_name`; without it, all shops, one after the other.
    #[arg(value_name = "SITE", value_parser = Site::parse)]
    pub site: Option<Site>,
    /// Only changes of this item, by any of its names.
    #[arg(long, value_name = "KEY", requires = "site")]
    pub key: Option<String>,
    /// Only changes since this: a time in RFC 3339, or an age such as `2h`.
    #[arg(long, value_name = "T", value_parser = PastTime::parse, conflicts_with_all = ["after", "last"])]
    pub since: Option<PastTime>,
    /// Only changes after this one: its cursor, as `--format json` prints it.
    #[arg(long, value_name = "C", value_parser = Cursor::parse, requires = "site", conflicts_with = "last")]
    pub after: Option<Cursor>,
    /// Only the last changes, so many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub last: Option<u32>,
    /// Keeps printing new changes until Ctrl-C.
    #[arg(long)]
    pub follow: bool,
}

/// The changes that are printed.
struct Wanted {
    filter: ChangeFilter,
    /// Each site, and the last change that was looked at.
    sites: Vec<(Site, Option<Cursor>)>,
}

/// Prints the feed; with `--follow`, until a signal arrives. Ages count back from `now`.
pub async fn run(
    store: &dyn Store,
    args: &ChangesArgs,
    now: Timestamp,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let Some(sites) = sites(store, args, output).await? else { return Ok(ExitStatus::NotHeld) };
    let key = match (&args.site, &args.key) {
        (Some(site), Some(name)) => match items::resolve(store, site, name, Create::Never).await {
            Ok(key) => Some(key),
            Err(ItemError::Store(error)) => return Err(error.into()),
            Err(error) => return failure::not_found(error, output),
        },
        (None, _) | (_, None) => None,
    };
    let since = args.since.map(|since| since.resolve(now));
    let sites = sites.into_iter().map(|site| (site, args.after.clone())).collect();
    let wanted = Wanted { filter: ChangeFilter { key, since }, sites };
    let stop = CancellationToken::new();
    if !args.follow {
        return write(store, args, wanted, &stop, output).await;
    }
    let signals = Signals::install().context("cannot wait for signals")?;
    tokio::select! {
        written = write(store, args, wanted, &stop, output) => written,
        never = signals.watch(stop.clone()) => never,
    }
}

/// The sites whose changes are wanted; `None`, after a message, if there is no such site.
async fn sites(
    store: &dyn Store,
    args: &ChangesArgs,
    output: &mut Output<'_>,
) -> anyhow::Result<Option<Vec<Site>>> {
    let Some(site) = args.site.as_ref().filter(|_| args.follow) else {
        return sites::chosen(store, args.site.as_ref(), output).await;
    };
    // A site may be followed before its first commit. If the Store is away, reading the feed says so.
    if store.sites().await.is_ok_and(|sites| !sites.contains(site)) {
        output.say(format_args!("no such site yet: {site}; waiting for it"))?;
    }
    Ok(Some(vec![site.clone()]))
}

async fn write(
    store: &dyn Store,
    args: &ChangesArgs,
    mut wanted: Wanted,
    stop: &CancellationToken,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let columns = if args.site.is_some() { OF_SITE } else { OF_ALL };
    let mut listing = Listing::new(columns);
    if let Some(count) = args.last {
        listing.add(newest(store, &mut wanted, count as usize).await?, output)?;
    }
    let mut is_waiting = false;
    while !stop.is_cancelled() && (args.follow || args.last.is_none()) {
        for (site, last) in &mut wanted.sites {
            let mut has_more = true;
            while has_more && !stop.is_cancelled() {
                let bounds = (PAGE, LOOKED_AT_MAX);
                let found =
                    match changes::select(store, site, &wanted.filter, last.as_ref(), bounds).await
                    {
                        Ok(found) => found,
                        Err(error @ FeedError::CursorGone) => {
                            return output.not_found(ProblemCode::ChangesCursorGone, error);
                        }
                        // A followed feed survives a Store that is away for a while.
                        Err(FeedError::Store(error)) if args.follow && error.is_transient() => {
                            if !std::mem::replace(&mut is_waiting, true) {
                                output.say(format_args!("{}; waiting for it", causes(&error)))?;
                            }
                            break;
                        }
                        Err(error) => return Err(error.into()),
                    };
                is_waiting = false;
                (*last, has_more) = (found.last, found.has_more);
                let views = found.changes.iter().map(|change| ChangeView::new(site, change));
                listing.add(views, output)?;
            }
        }
        if !args.follow {
            break;
        }
        listing.flush(output)?;
        if output::has_lost_its_reader() {
            return Ok(ExitStatus::Done);
        }
        stop.run_until_cancelled(tokio::time::sleep(POLL_INTERVAL)).await;
    }
    listing.finish_or_say("No changes.", output)?;
    if let (Format::Table, [(_, Some(after))]) = (output.format, &wanted.sites[..])
        && args.site.is_some()
    {
        output.say(format_args!("`--after {after}` continues from here"))?;
    }
    Ok(ExitStatus::Done)
}

/// The newest changes of all wanted sites together, oldest first.
async fn newest(
    store: &dyn Store,
    wanted: &mut Wanted,
    count: usize,
) -> anyhow::Result<Vec<ChangeView>> {
    let (mut found, key) = (Vec::new(), wanted.filter.key.as_ref());
    for (site, last) in &mut wanted.sites {
        let newest = changes::newest(store, site, key, (count, LOOKED_AT_MAX)).await;
        let newest = newest.with_context(|| format!("cannot read the changes of {site}"))?;
        *last = newest.first().map(Cursor::after);
        found.extend(newest.into_iter().map(|change| (change.at, site.clone(), change)));
    }
    found.sort_by(|(at, site, change), other| {
        (at, site, change.sequence).cmp(&(&other.0, &other.1, other.2.sequence))
    });
    let last = found.len().saturating_sub(count);
    Ok(found.iter().skip(last).map(|(_, site, change)| ChangeView::new(site, change)).collect())
}

const SITE: Column<ChangeView> = Column::name("SITE", |change| text(&change.site));
const NUMBER: Column<ChangeView> =
    spare(7, Column::number("NUMBER", |change| Cell::new(change.sequence)));
const AT: Column<ChangeView> = spare(3, Column::name("AT", |change| text(&change.at)));
const KEY: Column<ChangeView> = Column::name("KEY", |change| text(&change.key));
const DUE_TO: Column<ChangeView> = spare(1, Column::name("DUE TO", |change| text(&cause(change))));
const RECEIVED: Column<ChangeView> =
    spare(4, Column::number("RECEIVED", |change| text(&signed(&change.delta.received))));
const COMMITTED: Column<ChangeView> =
    spare(2, Column::number("COMMITTED", |change| text(&signed(&change.delta.committed))));
const FULFILLED: Column<ChangeView> =
    spare(6, Column::number("FULFILLED", |change| text(&signed(&change.delta.fulfilled))));
const ON_HAND: Column<ChangeView> =
    spare(5, Column::number("ON HAND AFTER", |change| quantity(&change.after.on_hand)));
const AVAILABLE: Column<ChangeView> =
    Column::number("AVAILABLE AFTER", |change| quantity(&change.after.available));

const OF_ALL: &[Column<ChangeView>] =
    &[SITE, NUMBER, AT, KEY, DUE_TO, RECEIVED, COMMITTED, FULFILLED, ON_HAND, AVAILABLE];
const OF_SITE: &[Column<ChangeView>] =
    &[NUMBER, AT, KEY, DUE_TO, RECEIVED, COMMITTED, FULFILLED, ON_HAND, AVAILABLE];
/// The columns for the changes of one item.
pub(super) const OF_ITEM: &[Column<ChangeView>] =
    &[AT, DUE_TO, RECEIVED, COMMITTED, FULFILLED, ON_HAND, AVAILABLE];

/// A difference with its sign; nothing is nothing.
pub(super) fn signed(difference: &str) -> String {
    if difference == "0" || difference.starts_with('-') {
        return difference.to_owned();
    }
    format!("+{difference}")
}

fn cause(change: &ChangeView) -> String {
    let repair = change.repair.as_ref().map(|actor| format!("repair by {actor}"));
    let cause = change.order.clone().or_else(|| change.reference.clone()).or(repair);
    cause.unwrap_or_else(|| "-".into())
}
