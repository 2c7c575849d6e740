//! `changes`: a site's change feed, and what comes.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use comfy_table::Cell;
use tokio_util::sync::CancellationToken;

use super::output::Output;
use super::table::{Column, Listing, quantity, text};
use super::{ExitStatus, Format, sites};
use crate::app::signals::Signals;
use crate::console::views::ChangeView;
use crate::domain::Site;
use crate::store::Store;
use crate::store::changes::{self, Cursor, FeedError};

/// Changes asked for at a time.
const PAGE: usize = 500;
/// How often news are looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// What `changes` takes.
#[derive(Debug, Args)]
pub struct ChangesArgs {
    /// The shop, as Duda names it in `site_name`.
    #[arg(value_name = "SITE", value_parser = Site::parse)]
    pub site: Site,
    /// Only what came behind this change: its cursor, as `--format json` prints it.
    #[arg(long, value_name = "C", value_parser = Cursor::parse)]
    pub after: Option<Cursor>,
    /// Goes on until Ctrl-C with what comes.
    #[arg(long)]
    pub follow: bool,
}

/// Writes the feed; with `follow`, until a signal comes.
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
    // A site may be followed before its first commit. Should its Store be away, the feed says so.
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
    let mut listing = Listing::new(&COLUMNS, output.width);
    let mut after = args.after.clone();
    let mut is_waiting = false;
    while !stop.is_cancelled() {
        let found = match changes::read(store, &args.site, after.as_ref(), PAGE).await {
            Ok(found) => found,
            Err(FeedError::CursorGone) => {
                output.say(FeedError::CursorGone)?;
                return Ok(ExitStatus::NotHeld);
            }
            // A feed that is followed is waited for, also when its Store is away for a while.
            Err(FeedError::Store(error)) if args.follow && error.is_transient() => {
                if !std::mem::replace(&mut is_waiting, true) {
                    output.say(format_args!("{error}; waiting for it"))?;
                }
                Vec::new()
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(last) = found.last() {
            is_waiting = false;
            after = Some(Cursor::after(last));
        }
        let mut views = found.iter().map(|change| ChangeView::new(&args.site, change));
        match output.format {
            Format::Table => listing.add(output.out, views.map(|change| row(&change)))?,
            Format::Json => views.try_for_each(|change| output.json(&change))?,
        }
        if found.len() == PAGE {
            continue;
        }
        if !args.follow {
            break;
        }
        listing.flush(output.out)?;
        stop.run_until_cancelled(tokio::time::sleep(LOOK_AGAIN)).await;
    }
    listing.finish(output.out)?;
    if let (Format::Table, Some(after)) = (output.format, after) {
        output.say(format_args!("`--after {after}` goes on from here"))?;
    }
    Ok(ExitStatus::Done)
}

const COLUMNS: [Column; 9] = [
    Column::Number("NUMBER"),
    Column::Text("AT"),
    Column::Text("KEY"),
    Column::Text("DUE TO"),
    Column::Number("RECEIVED"),
    Column::Number("COMMITTED"),
    Column::Number("FULFILLED"),
    Column::Number("ON HAND"),
    Column::Number("AVAILABLE"),
];

/// The counts are what was added, the last two what there is behind it.
fn row(change: &ChangeView) -> Vec<Cell> {
    let repair = change.repair.as_ref().map(|actor| format!("repair by {actor}"));
    let cause = change.order.as_deref().or(change.reference.as_deref()).or(repair.as_deref());
    vec![
        Cell::new(change.sequence),
        text(&change.at),
        text(&change.key),
        text(cause.unwrap_or("-")),
        quantity(&change.delta.received),
        quantity(&change.delta.committed),
        quantity(&change.delta.fulfilled),
        quantity(&change.after.on_hand),
        quantity(&change.after.available),
    ]
}
