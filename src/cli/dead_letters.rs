//! `dead-letters list`, `groups`, `show` and `body`; the others are in [`dead_letter_commands`](commands).

use std::io;
use std::sync::Arc;

use anyhow::Context;
use comfy_table::Cell;

use super::dead_letter_commands as commands;
use super::dead_letter_edit as edit;
use super::output::Output;
use super::pages::Pages;
use super::table::{Column, Listing, optional, spare, text, write_facts, write_heading};
use super::{DeadLettersCommand, DeadLettersListArgs, ExitStatus};
use crate::broker::{Broker, BrokerError};
use crate::console::views::{BodyView, DeadLetterDetailView, DeadLetterGroupView, DeadLetterView};
use crate::domain::{MessageId, SourceRules, Timestamp, printable};
use crate::store::{DeadLetterFilter, Store};

/// What a list of no dead letters says.
const NONE: &str = "No dead letters: every webhook so far was applied or is still queued.";

/// Runs a `dead-letters` command; ages count back from `now`. The broker is opened only for
/// commands that use the queue; `sources` are the sites that a dry run lets each source write.
pub async fn run(
    store: &dyn Store,
    sources: &SourceRules,
    broker: impl AsyncFnOnce() -> Result<Arc<dyn Broker>, BrokerError>,
    command: &DeadLettersCommand,
    now: Timestamp,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    match command {
        DeadLettersCommand::List(args) => list(store, &filter(args, now), output).await,
        DeadLettersCommand::Groups => groups(store, broker, output).await,
        DeadLettersCommand::Show { id } => show(store, *id, output).await,
        DeadLettersCommand::Replay(args) => {
            let selected = filter(&args.selection, now);
            commands::replay(store, sources, selected, args, now, output).await
        }
        DeadLettersCommand::Export(args) => {
            commands::export(store, &filter(args, now), output).await
        }
        DeadLettersCommand::Import { file } => commands::import(store, file, output).await,
        DeadLettersCommand::Body { id } => body(store, *id, output).await,
        DeadLettersCommand::Edit(args) => edit::run(store, sources, broker, args, output).await,
        DeadLettersCommand::Discard(args) => {
            let broker = broker().await?;
            if let Some(id) = args.message {
                return commands::discard(store, &broker, id, output).await;
            }
            commands::discard_selected(store, &broker, &filter(&args.selection, now), output).await
        }
    }
}

fn filter(args: &DeadLettersListArgs, now: Timestamp) -> DeadLetterFilter {
    DeadLetterFilter {
        reason: args.reason,
        site: args.site.clone(),
        failed_before: args.older_than.map(|time| time.resolve(now)),
        ids: args.id.clone(),
    }
}

/// Lists the dead letters that the filter selects, without their bodies.
async fn list(
    store: &dyn Store,
    filter: &DeadLetterFilter,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let mut listing = Listing::new(COLUMNS);
    let mut pages = Pages::new();
    let failure = "cannot list the dead letters";
    while let Some(letters) =
        pages.next(failure, async |page| store.dead_letters(filter, page).await).await?
    {
        listing.add(letters.iter().map(DeadLetterView::from), output)?;
    }
    let is_filtered = *filter != DeadLetterFilter::default();
    let none = if is_filtered { "No dead letters match." } else { NONE };
    listing.finish_or_say(none, output)
}

const COLUMNS: &[Column<DeadLetterView>] = &[
    spare(4, Column::name("FAILED", |letter| text(&letter.first_failed_at))),
    Column::name("ID", |letter| text(&letter.id)),
    spare(1, Column::name("REASON", |letter| text(letter.reason))),
    spare(2, Column::name("SITE", |letter| optional(letter.site.as_deref()))),
    spare(6, Column::text("EVENT", |letter| optional(letter.event_type.as_deref()))),
    spare(3, Column::name("ORDER", |letter| optional(letter.order.as_deref()))),
    spare(7, Column::number("ATTEMPTS", |letter| Cell::new(letter.attempts))),
    spare(8, Column::number("REPLAYS", |letter| Cell::new(letter.replays))),
    spare(9, Column::text("EDITED", |letter| text(if letter.edited { "yes" } else { "-" }))),
    spare(5, Column::text("DETAIL", |letter| text(&letter.detail))),
];

/// Counts the dead letters of each group.
async fn groups(
    store: &dyn Store,
    broker: impl AsyncFnOnce() -> Result<Arc<dyn Broker>, BrokerError>,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let groups = store.dead_letter_groups().await.context("cannot count the dead letters")?;
    let mut listing = Listing::new(GROUP_COLUMNS);
    listing.add(groups.iter().map(DeadLetterGroupView::from), output)?;
    let status = listing.finish_or_say(NONE, output)?;
    // Parked dead letters are shown even if the queue is away.
    if let Ok(broker) = broker().await
        && let Ok(depth) = broker.depth().await
        && depth.dead_intake > 0
    {
        output.say(format_args!("in the intake, not parked yet: {}", depth.dead_intake))?;
    }
    Ok(status)
}

const GROUP_COLUMNS: &[Column<DeadLetterGroupView>] = &[
    Column::number("DEAD LETTERS", |group| Cell::new(group.letters)),
    Column::name("REASON", |group| text(group.reason)),
    spare(1, Column::name("SITE", |group| optional(group.site.as_deref()))),
    spare(3, Column::text("EVENT", |group| optional(group.event_type.as_deref()))),
    spare(4, Column::name("FIRST FAILED", |group| text(&group.oldest_failed_at))),
    spare(2, Column::name("LAST FAILED", |group| text(&group.newest_failed_at))),
];

/// Shows one dead letter with its body.
async fn show(
    store: &dyn Store,
    id: MessageId,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let Some(letter) = edit::parked(store, id, output).await? else {
        return Ok(ExitStatus::NotHeld);
    };
    let body_bytes = letter.envelope.body.len();
    output.show(&DeadLetterDetailView::from(&letter), |view, output| {
        write_letter(view, body_bytes, output)
    })?;
    Ok(ExitStatus::Done)
}

/// Writes the body of a dead letter, byte for byte.
async fn body(
    store: &dyn Store,
    id: MessageId,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let Some(letter) = edit::parked(store, id, output).await? else {
        return Ok(ExitStatus::NotHeld);
    };
    output.out.write_all(&letter.envelope.body)?;
    output.out.flush()?;
    Ok(ExitStatus::Done)
}

fn write_letter(
    view: &DeadLetterDetailView,
    body_bytes: usize,
    output: &mut Output<'_>,
) -> io::Result<()> {
    let DeadLetterDetailView { letter, headers, body, original_body } = view;
    let mut facts = vec![
        ("id", text(&letter.id)),
        ("reason", text(letter.reason)),
        ("detail", text(&letter.detail)),
        ("site", optional(letter.site.as_deref())),
        ("event", optional(letter.event_type.as_deref())),
        ("order", optional(letter.order.as_deref())),
        ("failed", text(&letter.first_failed_at)),
        ("attempts", Cell::new(letter.attempts)),
        ("replays", Cell::new(letter.replays)),
        ("type", text(headers.kind)),
        ("received", text(&headers.received_at)),
        ("source", text(&headers.source)),
        ("traceparent", optional(headers.traceparent.as_deref())),
    ];
    if original_body.is_some() {
        facts
            .push(("edited", text("yes; `dead-letters edit --revert` restores the original body")));
    }
    write_facts(facts, output)?;
    let (note, body) = match body {
        BodyView::Text(body) => ("", printable(body, true)),
        BodyView::Base64(body) => (", as base64", body.clone()),
    };
    write_heading(&format!("Body, {body_bytes} bytes{note}"), output)?;
    writeln!(output.out, "{body}")
}
