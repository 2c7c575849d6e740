//! `dead-letters list`, `groups` and `show`; the others are in [`letters`]

use std::sync::Arc;

use anyhow::Context;
use comfy_table::Cell;

use super::letters;
use super::output::Output;
use super::table::{
    Column, Listing, optional, printable, text, write_facts, write_heading, write_table,
};
use super::{DeadLettersCommand, DeadLettersListArgs, ExitStatus, Format};
use crate::broker::{Broker, BrokerError};
use crate::console::views::{BodyView, DeadLetterDetailView, DeadLetterGroupView, DeadLetterView};
use crate::domain::{MessageId, SourceRules, Timestamp};
use crate::store::{DeadLetterFilter, PageRequest, Store};

/// Dead letters asked for at a time.
const PAGE: usize = 500;

/// Does what `dead-letters` was told to; ages count back from `now`. The broker is opened for
/// what goes through the queue only; `sources` says what a dry run lets each of them write.
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
            letters::replay(store, sources, selected, args, now, output).await
        }
        DeadLettersCommand::Export(args) => {
            letters::export(store, &filter(args, now), output).await
        }
        DeadLettersCommand::Import { file } => letters::import(store, file, output).await,
        DeadLettersCommand::Edit { id, body } => {
            letters::edit(store, &broker().await?, *id, body, output).await
        }
        DeadLettersCommand::Discard(args) => {
            let broker = broker().await?;
            if let Some(id) = args.message {
                return letters::discard(store, &broker, id, output).await;
            }
            letters::discard_selected(store, &broker, &filter(&args.selection, now), output).await
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

/// Writes every dead letter that the filter selects, page by page, without bodies.
async fn list(
    store: &dyn Store,
    filter: &DeadLetterFilter,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let mut listing = Listing::new(&LIST_COLUMNS, output.width);
    let mut page = PageRequest::first(PAGE);
    loop {
        let found = store.dead_letters(filter, &page).await;
        let found = found.context("cannot list the dead letters")?;
        let mut letters = found.items.iter().map(DeadLetterView::from);
        match output.format {
            Format::Table => listing.add(output.out, letters.map(|letter| list_row(&letter)))?,
            Format::Json => letters.try_for_each(|letter| output.json(&letter))?,
        }
        let Some(next) = found.next else { break };
        page.after = Some(next);
    }
    let is_shown = listing.finish(output.out)?;
    if !is_shown && output.format == Format::Table {
        output.say("no such dead letter is parked")?;
    }
    Ok(ExitStatus::Done)
}

const LIST_COLUMNS: [Column; 8] = [
    Column::Text("FAILED"),
    Column::Text("ID"),
    Column::Text("REASON"),
    Column::Text("SITE"),
    Column::Text("EVENT"),
    Column::Text("ORDER"),
    Column::Number("ATTEMPTS"),
    Column::Text("DETAIL"),
];

fn list_row(letter: &DeadLetterView) -> Vec<Cell> {
    vec![
        text(&letter.first_failed_at),
        text(&letter.id),
        text(letter.reason),
        optional(letter.site.as_deref()),
        optional(letter.event_type.as_deref()),
        optional(letter.order.as_deref()),
        Cell::new(letter.attempts),
        text(&letter.detail),
    ]
}

/// Writes how many dead letters there are of each kind.
async fn groups(
    store: &dyn Store,
    broker: impl AsyncFnOnce() -> Result<Arc<dyn Broker>, BrokerError>,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let groups = store.dead_letter_groups().await.context("cannot count the dead letters")?;
    let mut views = groups.iter().map(DeadLetterGroupView::from);
    match output.format {
        Format::Json => views.try_for_each(|group| output.json(&group))?,
        Format::Table if groups.is_empty() => output.say("no dead letter is parked")?,
        Format::Table => {
            let rows = views.map(|group| group_row(&group));
            write_table(output.out, output.width, &GROUP_COLUMNS, rows)?;
        }
    }
    // What is parked is shown also while the queue is away.
    if let Ok(broker) = broker().await
        && let Ok(depth) = broker.depth().await
        && depth.dead_intake > 0
    {
        output.say(format_args!("in the intake, not parked yet: {}", depth.dead_intake))?;
    }
    Ok(ExitStatus::Done)
}

const GROUP_COLUMNS: [Column; 6] = [
    Column::Number("LETTERS"),
    Column::Text("REASON"),
    Column::Text("SITE"),
    Column::Text("EVENT"),
    Column::Text("FIRST FAILED"),
    Column::Text("LAST FAILED"),
];

fn group_row(group: &DeadLetterGroupView) -> Vec<Cell> {
    vec![
        Cell::new(group.letters),
        text(group.reason),
        optional(group.site.as_deref()),
        optional(group.event_type.as_deref()),
        text(&group.oldest_failed_at),
        text(&group.newest_failed_at),
    ]
}

/// Writes one dead letter with its body.
async fn show(
    store: &dyn Store,
    id: MessageId,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let letter = store.dead_letter(id).await;
    let Some(letter) = letter.with_context(|| format!("cannot read the dead letter {id}"))? else {
        output.say(format_args!("no message {id} is parked"))?;
        return Ok(ExitStatus::NotHeld);
    };
    let view = DeadLetterDetailView::from(&letter);
    match output.format {
        Format::Table => write_letter(&view, letter.envelope.body.len(), output)?,
        Format::Json => output.json(&view)?,
    }
    Ok(ExitStatus::Done)
}

fn write_letter(
    view: &DeadLetterDetailView,
    body_bytes: usize,
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
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
        facts.push(("edited", text("yes; `--format json` has the first body")));
    }
    write_facts(output.out, output.width, facts)?;
    match body {
        BodyView::Text(body) => {
            write_heading(output.out, &format!("Body, {body_bytes} bytes"))?;
            writeln!(output.out, "{}", printable(body, true))?;
        }
        BodyView::Base64(body) => {
            write_heading(output.out, &format!("Body, {body_bytes} bytes, as base64"))?;
            writeln!(output.out, "{body}")?;
        }
    }
    Ok(())
}
