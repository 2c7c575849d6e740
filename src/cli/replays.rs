//! `replays list`, `show` and `cancel`

use anyhow::Context;
use clap::Subcommand;
use comfy_table::Cell;

use super::ExitStatus;
use super::output::Output;
use super::pages::Pages;
use super::table::{Column, Listing, optional, spare, text, write_facts};
use crate::console::views::ReplayView;
use crate::http::problem::ProblemCode;
use crate::store::{Replay, ReplayId, Store};

/// The commands of `replays`.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum ReplaysCommand {
    /// List replays, oldest first.
    List,
    /// Show the progress of a replay.
    Show {
        /// The replay's id, as `replays list` prints it.
        #[arg(value_name = "ID", value_parser = parse_id)]
        id: ReplayId,
    },
    /// Cancel a replay. Dead letters that it has sent already are not affected; the others are free
    /// again.
    Cancel {
        /// The replay's id, as `replays list` prints it.
        #[arg(value_name = "ID", value_parser = parse_id)]
        id: ReplayId,
    },
}

fn parse_id(text: &str) -> Result<ReplayId, uuid::Error> {
    text.parse().map(ReplayId)
}

/// Runs a `replays` command.
pub(super) async fn run(
    store: &dyn Store,
    command: ReplaysCommand,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    match command {
        ReplaysCommand::List => list(store, output).await,
        ReplaysCommand::Show { id } => {
            let found = store.replay(id).await;
            show(id, found.context("cannot read the replay")?.as_ref(), output)
        }
        ReplaysCommand::Cancel { id } => {
            let found = store.cancel_replay(id).await;
            show(id, found.context("cannot cancel the replay")?.as_ref(), output)
        }
    }
}

const COLUMNS: &[Column<ReplayView>] = &[
    spare(3, Column::name("MADE", |replay| text(&replay.made_at))),
    Column::name("ID", |replay| optional(replay.id.as_deref())),
    Column::name("STATE", |replay| text(replay.state)),
    spare(2, Column::number("SELECTED", |replay| Cell::new(replay.selected))),
    spare(4, Column::number("SENT", |replay| Cell::new(replay.sent))),
    spare(1, Column::number("SETTLED", |replay| Cell::new(replay.settled))),
    Column::number("CAME BACK", |replay| Cell::new(replay.failed)),
    spare(5, Column::number("GONE", |replay| Cell::new(replay.gone))),
];

async fn list(store: &dyn Store, output: &mut Output<'_>) -> anyhow::Result<ExitStatus> {
    let mut listing = Listing::new(COLUMNS);
    let mut pages = Pages::new();
    let failure = "cannot list the replays";
    while let Some(replays) = pages.next(failure, async |page| store.replays(page).await).await? {
        listing.add(replays.iter().map(ReplayView::from), output)?;
    }
    listing.finish_or_say("No replays. `storekeeper dead-letters replay` starts one.", output)
}

fn show(
    id: ReplayId,
    replay: Option<&Replay>,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let Some(replay) = replay else {
        return output
            .not_found(ProblemCode::ReplayUnknown, format_args!("there is no replay {id}"));
    };
    output.show(&ReplayView::from(replay), |view, output| {
        let facts = vec![
            ("id", optional(view.id.as_deref())),
            ("state", text(view.state)),
            ("made", text(&view.made_at)),
            ("selected", Cell::new(view.selected)),
            ("sent", Cell::new(view.sent)),
            ("settled", Cell::new(view.settled)),
            ("came back", Cell::new(view.failed)),
            ("gone", Cell::new(view.gone)),
        ];
        write_facts(facts, output)
    })?;
    Ok(ExitStatus::Done)
}
