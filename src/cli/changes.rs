//! `changes`: prints a site's change feed, and follows it.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use comfy_table::Cell;
use tokio_util::sync::CancellationToken;

use super::output::{self, Output};
use super::table::{Column, Listing, quantity, spare, text};
use super::{ExitStatus, Format, sites};
use crate::app::signals::Signals;
use crate::console::views::ChangeView;
use crate::domain::{Site, causes};
use crate::http::problem::ProblemCode;
use crate::store::Store;
use crate::store::changes::{self, Cursor, FeedError};

/// Changes that are read at a time.
const PAGE: usize = 500;
/// How often the feed is read while it is followed.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// What `changes` takes.
#[derive(Debug, Args)]
pub struct ChangesArgs {
    /// The shop, as Duda names it in `site_name`.
    #[arg(value_name = "SITE", value_parser = Site::parse)]
    pub site: Site,
    /// Only changes after this one: its cursor, as `--format json` prints it.
    #[arg(long, value_name = "C", value_parser = Cursor::parse)]
    pub after: Option<Cursor>,
    /// Keeps printing new changes until Ctrl-C.
    #[arg(long)]
    pub follow: bool,
}

/// Prints the feed; with `--follow`, until a signal arrives.
pub async fn run(
    store: &dyn Store,
    args: &ChangesArgs,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let stop = CancellationToken::new();
    if !args.follow {
        if !sites::is_known(store, &args.site, output).await? {
            return Ok(ExitStatus::NotHeld);
        }
        return write(store, args, &stop, output).await;
    }
    // A site may be followed before its first commit. If the Store is away, reading the feed says so.
    if store.sites().await.is_ok_and(|sites| !sites.contains(&args.site)) {
        output.say(format_args!("no such site yet: {}; waiting for it", args.site))?;
    }
    let signals = Signals::install().context("cannot wait for signals")?;
    tokio::select! {
        written = write(store, args, &stop, output) => written,
        never = signals.watch(stop.clone()) => never,
    }
}

async fn write(
    store: &dyn Store,
    args: &ChangesArgs,
    stop: &CancellationToken,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let mut listing = Listing::new(COLUMNS);
    let mut after = args.after.clone();
    let mut is_waiting = false;
    while !stop.is_cancelled() {
        let found = match changes::read(store, &args.site, after.as_ref(), PAGE).await {
            Ok(found) => found,
            Err(error @ FeedError::CursorGone) => {
                return output.not_found(ProblemCode::ChangesCursorGone, error);
            }
            // A followed feed survives a Store that is away for a while.
            Err(FeedError::Store(error)) if args.follow && error.is_transient() => {
                if !std::mem::replace(&mut is_waiting, true) {
                    output.say(format_args!("{}; waiting for it", causes(&error)))?;
                }
                Vec::new()
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(last) = found.last() {
            is_waiting = false;
            after = Some(Cursor::after(last));
        }
        listing.add(found.iter().map(|change| ChangeView::new(&args.site, change)), output)?;
        if found.len() == PAGE {
            continue;
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
    listing.finish(output)?;
    if let (Format::Table, Some(after)) = (output.format, after) {
        output.say(format_args!("`--after {after}` goes on from here"))?;
    }
    Ok(ExitStatus::Done)
}

/// The first three counts are what was added, the last two are the counts after the change.
const COLUMNS: &[Column<ChangeView>] = &[
    spare(3, Column::number("NUMBER", |change| Cell::new(change.sequence))),
    spare(4, Column::name("AT", |change| text(&change.at))),
    Column::name("KEY", |change| text(&change.key)),
    Column::name("DUE TO", |change| text(&cause(change))),
    spare(1, Column::number("RECEIVED", |change| quantity(&change.delta.received))),
    spare(1, Column::number("COMMITTED", |change| quantity(&change.delta.committed))),
    spare(1, Column::number("FULFILLED", |change| quantity(&change.delta.fulfilled))),
    spare(2, Column::number("ON HAND", |change| quantity(&change.after.on_hand))),
    Column::number("AVAILABLE", |change| quantity(&change.after.available)),
];

fn cause(change: &ChangeView) -> String {
    let repair = change.repair.as_ref().map(|actor| format!("repair by {actor}"));
    let cause = change.order.clone().or_else(|| change.reference.clone()).or(repair);
    cause.unwrap_or_else(|| "-".into())
}
