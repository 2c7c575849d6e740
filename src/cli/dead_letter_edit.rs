//! `dead-letters edit`, and how it and `discard` report.

use std::io::{self, IsTerminal};
use std::sync::Arc;

use anyhow::{Context, ensure};

use super::forecast::write_forecast;
use super::output::Output;
use super::table::{text, write_facts};
use super::{DeadLettersEditArgs, ExitStatus, Format, editor, input};
use crate::broker::{Broker, BrokerError};
use crate::console::views::DeadLetterCommandView;
use crate::dead_letters::{self, Commanded, EDIT_BYTES_MAX, Progress, Target};
use crate::domain::{MessageId, SourceRules};
use crate::http::problem::ProblemCode;
use crate::store::{DeadLetter, DeadLetterName, Store, StoreError};

/// Gives a dead letter another body, once it was shown what would become of it.
pub(super) async fn run(
    store: &dyn Store,
    sources: &SourceRules,
    broker: impl AsyncFnOnce() -> Result<Arc<dyn Broker>, BrokerError>,
    args: &DeadLettersEditArgs,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let id = args.id;
    let found = dead_letters::find(store, id).await;
    let Some(name) = free(id, found, output)? else { return Ok(ExitStatus::NotHeld) };
    let Some(letter) = parked(store, id, output).await? else { return Ok(ExitStatus::NotHeld) };
    let Some(body) = new_body(&letter, args)? else {
        return output
            .not_held(format_args!("the body of {id} is as it was received: nothing to revert"));
    };
    ensure!(!body.is_empty(), "the body is empty; nothing was changed");
    let is_interactive = args.body.is_none() && !args.revert;
    if is_interactive && body == letter.envelope.body {
        output.say("the body is the same; nothing was changed")?;
        return Ok(ExitStatus::Done);
    }
    let forecast = dead_letters::dry_run_edit(store, sources, &letter, &body).await;
    let forecast = forecast.context("cannot forecast the outcome")?.unwrap_or_default();
    let view = DeadLetterCommandView::of_dry_run(name, &forecast);
    if output.format == Format::Table
        && let Some(forecast) = &view.forecast
    {
        write_forecast(forecast, output)?;
    }
    if args.dry_run {
        if output.format == Format::Json {
            output.json(&view)?;
        }
        return Ok(ExitStatus::Done);
    }
    if is_interactive && !confirm(output)? {
        return output.not_held("nothing was changed");
    }
    let edited = dead_letters::edit(&broker().await?, store, name, &body).await;
    let edited = edited.context("cannot queue the edit")?;
    report(name, edited, |view| view.with_forecast(&forecast), output)
}

/// The new body; `None` if there is nothing to revert.
fn new_body(letter: &DeadLetter, args: &DeadLettersEditArgs) -> anyhow::Result<Option<Vec<u8>>> {
    if args.revert {
        return Ok(letter.original.as_ref().map(|original| original.to_vec()));
    }
    match &args.body {
        Some(file) => input::read(file, EDIT_BYTES_MAX),
        None => editor::edit(&letter.envelope.body, EDIT_BYTES_MAX),
    }
    .map(Some)
}

/// Asks whether the edit is kept. Whoever is not at a terminal has decided already.
fn confirm(output: &mut Output<'_>) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        return Ok(true);
    }
    output.say("Keep this body? [y/N]")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Reports the progress of a command; `complete` adds to what is reported.
pub(super) fn report(
    letter: DeadLetterName,
    Commanded { message_id, progress }: Commanded,
    complete: impl FnOnce(DeadLetterCommandView) -> DeadLetterCommandView,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    if progress == Progress::Ended {
        return output
            .not_held("the dead letter ended before it could be edited; nothing was changed");
    }
    let is_applied = progress == Progress::Applied;
    let view = complete(DeadLetterCommandView::new(letter, message_id, is_applied));
    output.show(&view, |view, output| {
        let facts = vec![
            ("id", text(&view.id)),
            ("state", text(if is_applied { "applied" } else { "queued" })),
            ("message", text(&message_id.to_string())),
        ];
        write_facts(facts, output)
    })?;
    if is_applied {
        return Ok(ExitStatus::Done);
    }
    output.not_held("queued, because the Store did not answer; a worker will apply it")
}

/// The dead letter with its body; `None`, after a message, if none is parked.
pub(super) async fn parked(
    store: &dyn Store,
    id: MessageId,
    output: &mut Output<'_>,
) -> anyhow::Result<Option<DeadLetter>> {
    let letter = store.dead_letter(id).await;
    let letter = letter.with_context(|| format!("cannot read the dead letter {id}"))?;
    if letter.is_none() {
        let reason = format_args!("no message {id} is parked");
        output.not_found(ProblemCode::DeadLetterUnknown, reason)?;
    }
    Ok(letter)
}

/// The dead letter, unless it is in a running replay or gone; then the reason is reported.
pub(super) fn free(
    id: MessageId,
    found: Result<Target, StoreError>,
    output: &mut Output<'_>,
) -> anyhow::Result<Option<DeadLetterName>> {
    match found.with_context(|| format!("cannot read the dead letter {id}"))? {
        Target::Free(letter) => return Ok(Some(letter)),
        Target::InReplay(replay) => {
            let reason = format_args!(
                "{id} is in replay {replay}, and might come back as it was: wait until the replay \
                 is done, or run `storekeeper replays cancel {replay}`"
            );
            output.not_found(ProblemCode::DeadLetterInReplay, reason)?
        }
        Target::Ended(ended) => {
            let reason = dead_letters::why_gone(id, Some(ended));
            output.not_found(ProblemCode::DeadLetterUnknown, reason)?
        }
        Target::Unknown => {
            output.not_found(ProblemCode::DeadLetterUnknown, dead_letters::why_gone(id, None))?
        }
    };
    Ok(None)
}
