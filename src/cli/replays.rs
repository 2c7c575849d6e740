//! `replays list`, `show` and `cancel`

use anyhow::Context;
use clap::Subcommand;
use comfy_table::Cell;

use super::output::Output;
use super::table::{Column, Listing, text, write_facts};
use super::{ExitStatus, Format};
use crate::console::views::ReplayView;
use crate::store::{PageRequest, Replay, ReplayId, Store};

/// Replays asked for at a time.
const PAGE: usize = 500;

/// What `replays` can do.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum ReplaysCommand {
    /// Lists replays, oldest first.
    List,
    /// Shows how far a replay is.
    Show {
        /// The replay's id, as `replays list` prints it.
        #[arg(value_name = "ID", value_parser = parse_id)]
        id: ReplayId,
    },
    /// Stops a replay; what was sent already has its outcome, and its other letters are free.
    Cancel {
        /// The replay's id, as `replays list` prints it.
        #[arg(value_name = "ID", value_parser = parse_id)]
        id: ReplayId,
    },
}

fn parse_id(text: &str) -> Result<ReplayId, uuid::Error> {
    text.parse().map(ReplayId)
}

/// Does what `replays` was told to.
pub(super) async fn run(
    store: &dyn Store,
    command: ReplaysCommand,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    match command {
        ReplaysCommand::List => list(store, output).await,
        ReplaysCommand::Show { id } => {
            let found = store.replay(id).await;
            show(id, found.context("cannot read the replay")?, output)
        }
        ReplaysCommand::Cancel { id } => {
            let found = store.cancel_replay(id).await;
            show(id, found.context("cannot cancel the replay")?, output)
        }
    }
}

async fn list(store: &dyn Store, output: &mut Output<'_>) -> anyhow::Result<ExitStatus> {
    let columns = [
        Column::Text("MADE"),
        Column::Text("ID"),
        Column::Text("STATE"),
        Column::Number("SELECTED"),
        Column::Number("SENT"),
        Column::Number("SETTLED"),
        Column::Number("CAME BACK"),
        Column::Number("GONE"),
    ];
    let mut listing = Listing::new(&columns, output.width);
    let mut page = PageRequest::first(PAGE);
    loop {
        let found = store.replays(&page).await.context("cannot list the replays")?;
        let mut replays = found.items.iter().map(ReplayView::from);
        match output.format {
            Format::Table => listing.add(output.out, replays.map(|replay| row(&replay)))?,
            Format::Json => replays.try_for_each(|replay| output.json(&replay))?,
        }
        let Some(next) = found.next else { break };
        page.after = Some(next);
    }
    let is_shown = listing.finish(output.out)?;
    if !is_shown && output.format == Format::Table {
        output.say("no replays")?;
    }
    Ok(ExitStatus::Done)
}

fn row(replay: &ReplayView) -> Vec<Cell> {
    let names = [text(&replay.made_at), text(&replay.id), text(replay.state)];
    names.into_iter().chain(counts(replay).map(|(_, count)| Cell::new(count))).collect()
}

const fn counts(replay: &ReplayView) -> [(&'static str, u64); 5] {
    [
        ("selected", replay.selected),
        ("sent", replay.sent),
        ("settled", replay.settled),
        ("came back", replay.failed),
        ("gone", replay.gone),
    ]
}

fn show(
    id: ReplayId,
    replay: Option<Replay>,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let Some(replay) = replay else {
        output.say(format_args!("there is no replay {id}"))?;
        return Ok(ExitStatus::NotHeld);
    };
    let view = ReplayView::from(&replay);
    if output.format == Format::Json {
        output.json(&view)?;
        return Ok(ExitStatus::Done);
    }
    let mut facts =
        vec![("id", text(&view.id)), ("state", text(view.state)), ("made", text(&view.made_at))];
    facts.extend(counts(&view).map(|(name, count)| (name, Cell::new(count))));
    write_facts(output.out, output.width, facts)?;
    Ok(ExitStatus::Done)
}
