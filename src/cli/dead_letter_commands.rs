//! `dead-letters replay`, `edit`, `discard`, `export` and `import`.

use std::io::{self, BufRead, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use comfy_table::Cell;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use super::output::Output;
use super::pages::Pages;
use super::table::{Column, optional, spare, text, write_facts, write_section, write_table};
use super::{DeadLettersReplayArgs, ExitStatus, input, progress};
use crate::broker::{Broker, Envelope, EnvelopeKind};
use crate::console::views::{
    DeadLetterCommandView, DeadLetterForecastView, ReplayView, StockEffectView,
};
use crate::dead_letters::{self, Commanded, EDIT_BYTES_MAX, Progress, Target};
use crate::domain::{MessageId, Rejection, SourceRules, Timestamp};
use crate::http::problem::ProblemCode;
use crate::store::{
    DeadLetter, DeadLetterFilter, DeadLetterName, DeadLetterSummary, NewReplay, Pace, ReplayId,
    ReplayState, Store, StoreError,
};

/// Dead letters that are read or parked at a time.
const PAGE: usize = 100;
/// The longest line that an import reads: a body in base64, and its headers.
const LINE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// What an error begins with if the dead letters cannot be listed.
const LIST_FAILURE: &str = "cannot list the dead letters";
/// How often the progress of a replay is read.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How long the leader may take to begin a replay: longer than the lease of a leader that died.
const TAKEN_TIMEOUT: Duration = Duration::from_secs(15);

/// Starts a replay and watches it; a dry run shows what it would do where `sources` may write.
pub async fn replay(
    store: &dyn Store,
    sources: &SourceRules,
    filter: DeadLetterFilter,
    args: &DeadLettersReplayArgs,
    now: Timestamp,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let id = ReplayId(Uuid::now_v7());
    if args.dry_run {
        let done = dead_letters::dry_run(store, sources, &filter).await;
        let done = done.context("cannot try the replay")?.unwrap_or_default();
        output.show(&ReplayView::of_dry_run(id, now, &done), write_forecast)?;
        return Ok(ExitStatus::Done);
    }
    let ramp_millis =
        args.ramp.map_or(0, |ramp| u64::try_from(ramp.as_millis()).unwrap_or(u64::MAX));
    let has_names = !filter.ids.is_empty();
    let pace = Pace { rate: args.rate, ramp_millis, abort_after: args.abort_after };
    let made = store.make_replay(NewReplay { id, filter, pace, made_at: now }).await;
    let mut replay = made.context("cannot make the replay")?;
    if replay.state == ReplayState::Running {
        output.say(format_args!(
            "replay {id}, dead letters in it: {}; it continues if this command is interrupted",
            replay.selected
        ))?;
    }
    if replay.selected == 0 {
        output.say("No dead letters match.")?;
    }
    let bar = progress::bar("dead letters");
    let mut said = None;
    let taken_by = Instant::now() + TAKEN_TIMEOUT;
    while replay.state == ReplayState::Running || replay.open() > 0 {
        let counts @ (sent, settled, failed) = (replay.sent, replay.settled, replay.failed);
        bar.set_length(replay.selected);
        bar.set_position(settled + failed + replay.gone);
        bar.set_message(format!("sent {sent}, came back {failed}"));
        // Without a terminal there is no bar, so the counts are written as lines.
        if bar.is_hidden() && said != Some(counts) {
            say_counts(counts, output)?;
            said = Some(counts);
        }
        if !replay.is_taken && Instant::now() >= taken_by {
            bar.finish_and_clear();
            output.say(format_args!(
                "no leader has taken replay {id} within {}: is `storekeeper serve` or a leader \
                 running? The replay stays and begins when one does; `storekeeper replays cancel \
                 {id}` frees its dead letters",
                humantime::format_duration(TAKEN_TIMEOUT)
            ))?;
            return Ok(ExitStatus::Unreachable);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
        let found = store.replay(id).await.context("cannot read the replay")?;
        replay = found.context("the replay is gone")?;
    }
    bar.finish_and_clear();
    let counts = (replay.sent, replay.settled, replay.failed);
    if said.is_some_and(|said| said != counts) {
        say_counts(counts, output)?;
    }
    output.show(&ReplayView::from(&replay), |view, output| {
        let ReplayView { state, selected, sent, settled, failed, gone, .. } = view;
        writeln!(
            output.out,
            "{state}: selected {selected}, sent {sent}, settled {settled}, came back {failed}, \
             gone {gone}"
        )
    })?;
    // An empty selection is no failure, unless dead letters were named by their ids.
    let is_found = replay.selected > 0 || !has_names;
    let is_done = replay.state == ReplayState::Done && replay.failed == 0 && is_found;
    Ok(if is_done { ExitStatus::Done } else { ExitStatus::NotHeld })
}

fn say_counts((sent, settled, failed): (u64, u64, u64), output: &mut Output<'_>) -> io::Result<()> {
    output.say(format_args!("sent {sent}, settled {settled}, came back {failed}"))
}

fn write_forecast(view: &ReplayView, output: &mut Output<'_>) -> io::Result<()> {
    let Some(forecast) = &view.forecast else { return Ok(()) };
    write_table(FORECAST_COLUMNS, &forecast.letters, output)?;
    let heading = "What it would add to the stock";
    write_section(heading, EFFECT_COLUMNS, &forecast.stock, "nothing", output)?;
    if forecast.cut_off {
        output.say(format_args!("there are more dead letters than these {}", view.selected))?;
    }
    Ok(())
}

const FORECAST_COLUMNS: &[Column<DeadLetterForecastView>] = &[
    Column::name("ID", |letter| text(&letter.id)),
    Column::name("WOULD BE", |letter| text(letter.outcome)),
    spare(1, Column::name("REASON", |letter| optional(letter.reason))),
    spare(2, Column::text("DETAIL", |letter| optional(letter.detail.as_deref()))),
];

const EFFECT_COLUMNS: &[Column<StockEffectView>] = &[
    Column::name("SITE", |effect| text(&effect.site)),
    Column::name("KEY", |effect| text(&effect.key)),
    spare(1, Column::number("RECEIVED", |effect| Cell::new(&effect.received))),
    Column::number("COMMITTED", |effect| Cell::new(&effect.committed)),
    Column::number("FULFILLED", |effect| Cell::new(&effect.fulfilled)),
];

/// Gives a dead letter another body, from a file or, for `-`, from stdin.
pub async fn edit(
    store: &dyn Store,
    broker: &Arc<dyn Broker>,
    id: MessageId,
    body: &Path,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let found = dead_letters::find(store, id).await;
    let Some(letter) = free(id, found, output)? else { return Ok(ExitStatus::NotHeld) };
    let bytes = input::read(body, EDIT_BYTES_MAX)?;
    anyhow::ensure!(!bytes.is_empty(), "the body is empty");
    let done = dead_letters::edit(broker, store, letter, &bytes).await;
    report(letter, done.context("cannot queue the edit")?, output)
}

/// Discards a dead letter.
pub async fn discard(
    store: &dyn Store,
    broker: &Arc<dyn Broker>,
    id: MessageId,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let found = dead_letters::find_to_discard(store, id).await;
    let Some(letter) = free(id, found, output)? else { return Ok(ExitStatus::NotHeld) };
    let done = dead_letters::discard(broker, store, letter).await;
    report(letter, done.context("cannot queue the discard")?, output)
}

/// Discards every dead letter that the filter selects, except those in a running replay.
pub async fn discard_selected(
    store: &dyn Store,
    broker: &Arc<dyn Broker>,
    filter: &DeadLetterFilter,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let (mut discarded, mut queued, mut in_replay) = (0_u64, 0_u64, 0_u64);
    let mut pages = Pages::of(PAGE);
    while let Some(letters) =
        pages.next(LIST_FAILURE, async |page| store.dead_letters(filter, page).await).await?
    {
        for DeadLetterSummary { id, generation, .. } in letters {
            if store.replay_of(id).await.context("cannot read the replays")?.is_some() {
                in_replay += 1;
                continue;
            }
            let letter = DeadLetterName { message_id: id, generation };
            let done = dead_letters::discard(broker, store, letter).await;
            match done.context("cannot queue a discard")?.progress {
                Progress::Applied | Progress::Ended => discarded += 1,
                Progress::Queued => queued += 1,
            }
        }
    }
    let counts = [("discarded", discarded), ("queued", queued), ("in a replay", in_replay)];
    let shown = counts.iter().filter(|(name, count)| *count > 0 || *name == "discarded");
    let sentence = shown.map(|(name, count)| format!("{name}: {count}")).collect::<Vec<_>>();
    let object = serde_json::json!({
        "discarded": discarded, "queued": queued, "in_replay": in_replay,
    });
    output.verdict(sentence.join(", "), &object)?;
    let is_done = queued == 0 && in_replay == 0;
    Ok(if is_done { ExitStatus::Done } else { ExitStatus::NotHeld })
}

/// Reports the progress of a command.
fn report(
    letter: DeadLetterName,
    Commanded { message_id, progress }: Commanded,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    if progress == Progress::Ended {
        return output
            .not_held("the dead letter ended before it could be edited; nothing was changed");
    }
    let is_applied = progress == Progress::Applied;
    let view = DeadLetterCommandView::new(letter, message_id, is_applied);
    output.show(&view, |view, output| {
        let facts = vec![
            ("id", text(&view.id)),
            ("state", text(if is_applied { "applied" } else { "queued" })),
            ("message", text(&view.message_id)),
        ];
        write_facts(facts, output)
    })?;
    if is_applied {
        return Ok(ExitStatus::Done);
    }
    output.not_held("queued, because the Store did not answer; a worker will apply it")
}

/// The dead letter, unless it is in a running replay; then the reason is reported.
fn free(
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
        Target::Unknown => {
            let reason = format_args!("no message {id} is parked");
            output.not_found(ProblemCode::DeadLetterUnknown, reason)?
        }
    };
    Ok(None)
}

/// A dead letter as a line of an export; bodies are always base64, so that nothing is lost.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exported {
    message_id: MessageId,
    replays: u32,
    #[serde(rename = "type")]
    kind: EnvelopeKind,
    received_at_micros: i64,
    source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tracestate: Option<String>,
    rejection: Rejection,
    failed_at_micros: i64,
    attempts: u32,
    body_base64: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    original_base64: Option<String>,
}

impl From<&DeadLetter> for Exported {
    fn from(letter: &DeadLetter) -> Self {
        let envelope = &letter.envelope;
        Self {
            message_id: envelope.message_id,
            replays: envelope.replays,
            kind: envelope.kind,
            received_at_micros: envelope.received_at.micros(),
            source: envelope.source.clone(),
            traceparent: envelope.traceparent.clone(),
            tracestate: envelope.tracestate.clone(),
            rejection: letter.rejection.clone(),
            failed_at_micros: letter.failed_at.micros(),
            attempts: letter.attempts,
            body_base64: STANDARD.encode(&envelope.body),
            original_base64: letter.original.as_deref().map(|body| STANDARD.encode(body)),
        }
    }
}

impl Exported {
    fn letter(self) -> Option<DeadLetter> {
        let bytes = |base64: &str| STANDARD.decode(base64).map(Bytes::from).ok();
        let original = match &self.original_base64 {
            Some(base64) => Some(bytes(base64)?),
            None => None,
        };
        Some(DeadLetter {
            envelope: Envelope {
                message_id: self.message_id,
                kind: self.kind,
                received_at: Timestamp::from_micros(self.received_at_micros),
                source: self.source,
                replays: self.replays,
                traceparent: self.traceparent,
                tracestate: self.tracestate,
                body: bytes(&self.body_base64)?,
            },
            rejection: self.rejection,
            failed_at: Timestamp::from_micros(self.failed_at_micros),
            attempts: self.attempts,
            original,
        })
    }
}

/// Exports every dead letter that the filter selects, one a line.
pub async fn export(
    store: &dyn Store,
    filter: &DeadLetterFilter,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let mut pages = Pages::of(PAGE);
    while let Some(letters) =
        pages.next(LIST_FAILURE, async |page| store.dead_letters(filter, page).await).await?
    {
        for summary in letters {
            let letter = store.dead_letter(summary.id).await;
            // One that has ended since it was listed is not exported.
            if let Some(letter) = letter.context("cannot read a dead letter")? {
                output.json(&Exported::from(&letter))?;
            }
        }
    }
    Ok(ExitStatus::Done)
}

/// Parks the dead letters of an export. One that is parked already, or has ended here, stays as it
/// is.
pub async fn import(
    store: &dyn Store,
    file: &Path,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let mut lines = io::BufReader::new(input::open(file)?);
    let (mut number, mut letters) = (0_u64, Vec::new());
    loop {
        let mut line = Vec::new();
        let read = lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        let length = read.with_context(|| format!("cannot read {}", file.display()))?;
        if length == 0 || letters.len() == PAGE {
            let parked = store.park(std::mem::take(&mut letters)).await;
            parked.context("cannot park the dead letters")?;
        }
        if length == 0 {
            break;
        }
        number += 1;
        // Neither the line nor serde's words, which quote it: it may hold personal data.
        let exported: Exported = serde_json::from_slice(&line).map_err(|error| {
            let column = error.column();
            anyhow::anyhow!("line {number} is no exported dead letter: column {column} is wrong")
        })?;
        let letter = exported.letter().with_context(|| {
            format!("line {number} is no exported dead letter: its body is no base64")
        });
        letters.push(letter?);
    }
    let sentence = format_args!("dead letters read: {number}");
    output.verdict(sentence, &serde_json::json!({ "read": number }))?;
    Ok(ExitStatus::Done)
}
