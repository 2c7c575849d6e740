//! `dead-letters replay`, `edit`, `discard`, `export` and `import`

use std::io::{BufRead, Read};
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
use super::table::{Column, Listing, optional, text, write_facts, write_heading, write_table};
use super::{DeadLettersReplayArgs, ExitStatus, Format, input, progress};
use crate::broker::{Broker, Envelope, EnvelopeKind};
use crate::console::views::{LetterOrderView, ReplayView};
use crate::dead_letters::{self, Commanded, EDIT_BYTES_MAX, Progress, Target};
use crate::domain::{MessageId, Rejection, SourceRules, Timestamp};
use crate::store::{
    DeadLetter, DeadLetterFilter, DeadLetterName, DeadLetterSummary, NewReplay, Pace, PageRequest,
    ReplayId, ReplayState, Store, StoreError,
};

/// Letters that are read or filed at a time.
const PAGE: usize = 100;
/// The longest line that an import reads: a body in base64 and what was noted of it.
const LINE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// How often is looked how far a replay is.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// How long the leader may take to begin with a replay: longer than the lease of one that died.
const TAKEN_WITHIN: Duration = Duration::from_secs(15);

/// Makes a replay and watches it, or says what it would do where `sources` write.
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
        return dry_run(store, sources, id, &filter, now, output).await;
    }
    let ramp_millis =
        args.ramp.map_or(0, |ramp| u64::try_from(ramp.as_millis()).unwrap_or(u64::MAX));
    let has_names = !filter.ids.is_empty();
    let pace = Pace { rate: args.rate, ramp_millis, abort_after: args.abort_after };
    let made = store.make_replay(NewReplay { id, filter, pace, made_at: now }).await;
    let mut replay = made.context("cannot make the replay")?;
    if replay.state == ReplayState::Running {
        output.say(format_args!(
            "replay {id}, letters in it: {}; it goes on without this command",
            replay.selected
        ))?;
    }
    if replay.selected == 0 {
        output.say("no such dead letter is parked")?;
    }
    let bar = progress::bar("letters");
    let mut said = None;
    let taken_by = Instant::now() + TAKEN_WITHIN;
    while replay.state == ReplayState::Running || replay.open() > 0 {
        let counts @ (sent, settled, failed) = (replay.sent, replay.settled, replay.failed);
        bar.set_length(replay.selected);
        bar.set_position(settled + failed + replay.gone);
        bar.set_message(format!("sent {sent}, came back {failed}"));
        // Where nobody sees the bar, somebody may read the lines.
        if bar.is_hidden() && said != Some(counts) {
            say_counts(counts, output)?;
            said = Some(counts);
        }
        if !replay.is_taken && Instant::now() >= taken_by {
            bar.finish_and_clear();
            output.say(format_args!(
                "no leader has taken replay {id} within {}: is `storekeeper serve` or a leader \
                 running? The replay stays and begins when one does; `storekeeper replays cancel \
                 {id}` frees its letters",
                humantime::format_duration(TAKEN_WITHIN)
            ))?;
            return Ok(ExitStatus::Unreachable);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        let found = store.replay(id).await.context("cannot read the replay")?;
        replay = found.context("the replay is gone")?;
    }
    bar.finish_and_clear();
    let counts = (replay.sent, replay.settled, replay.failed);
    if said.is_some_and(|said| said != counts) {
        say_counts(counts, output)?;
    }
    let view = ReplayView::from(&replay);
    match output.format {
        Format::Json => output.json(&view)?,
        Format::Table => writeln!(
            output.out,
            "{}: selected {}, sent {}, settled {}, came back {}, gone {}",
            view.state, view.selected, view.sent, view.settled, view.failed, view.gone
        )?,
    }
    // That nothing is there to be selected is no failure, unless it was named.
    let is_found = replay.selected > 0 || !has_names;
    let is_whole = replay.state == ReplayState::Done && replay.failed == 0 && is_found;
    Ok(if is_whole { ExitStatus::Done } else { ExitStatus::NotHeld })
}

fn say_counts(
    (sent, settled, failed): (u64, u64, u64),
    output: &mut Output<'_>,
) -> std::io::Result<()> {
    output.say(format_args!("sent {sent}, settled {settled}, came back {failed}"))
}

async fn dry_run(
    store: &dyn Store,
    sources: &SourceRules,
    id: ReplayId,
    filter: &DeadLetterFilter,
    now: Timestamp,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let done =
        dead_letters::dry_run(store, sources, filter).await.context("cannot try the replay")?;
    let view = ReplayView::of_dry_run(id, now, &done.unwrap_or_default());
    if output.format == Format::Json {
        output.json(&view)?;
        return Ok(ExitStatus::Done);
    }
    let Some(forecast) = &view.forecast else { return Ok(ExitStatus::Done) };
    let columns = ["ID", "WOULD BE", "REASON", "DETAIL"].map(Column::Text);
    let mut listing = Listing::new(&columns, output.width);
    let rows = forecast.letters.iter().map(|letter| {
        vec![
            text(&letter.id),
            text(letter.outcome),
            optional(letter.reason),
            optional(letter.detail.as_deref()),
        ]
    });
    listing.add(output.out, rows)?;
    listing.finish(output.out)?;
    write_heading(output.out, "What it would add to the stock")?;
    if forecast.stock.is_empty() {
        writeln!(output.out, "nothing")?;
    }
    let columns = [
        Column::Text("SITE"),
        Column::Text("KEY"),
        Column::Number("RECEIVED"),
        Column::Number("COMMITTED"),
        Column::Number("FULFILLED"),
    ];
    let rows = forecast.stock.iter().map(|effect| {
        let counts = [&effect.received, &effect.committed, &effect.fulfilled];
        let names = [text(&effect.site), text(&effect.key)];
        names.into_iter().chain(counts.map(Cell::new)).collect()
    });
    write_table(output.out, output.width, &columns, rows)?;
    if forecast.cut_off {
        output.say(format_args!("there are more letters than these {}", view.selected))?;
    }
    Ok(ExitStatus::Done)
}

/// Gives a letter another body, from a file or, for `-`, from stdin.
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
    commanded(letter, done.context("cannot queue the edit")?, output)
}

/// Drops a letter for good.
pub async fn discard(
    store: &dyn Store,
    broker: &Arc<dyn Broker>,
    id: MessageId,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let found = dead_letters::find_to_discard(store, id).await;
    let Some(letter) = free(id, found, output)? else { return Ok(ExitStatus::NotHeld) };
    let done = dead_letters::discard(broker, store, letter).await;
    commanded(letter, done.context("cannot queue the discard")?, output)
}

/// Drops every letter that the filter selects, but for those that a running replay has.
pub async fn discard_selected(
    store: &dyn Store,
    broker: &Arc<dyn Broker>,
    filter: &DeadLetterFilter,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let (mut discarded, mut queued, mut in_replay) = (0_u64, 0_u64, 0_u64);
    let mut page = PageRequest::first(PAGE);
    loop {
        let found = store.dead_letters(filter, &page).await;
        let found = found.context("cannot list the dead letters")?;
        for DeadLetterSummary { id, generation, .. } in found.items {
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
        let Some(next) = found.next else { break };
        page.after = Some(next);
    }
    let counts = [("discarded", discarded), ("queued", queued), ("in a replay", in_replay)];
    let shown = counts.iter().filter(|(name, count)| *count > 0 || *name == "discarded");
    let sentence = shown.map(|(name, count)| format!("{name}: {count}")).collect::<Vec<_>>();
    let object = serde_json::json!({
        "discarded": discarded, "queued": queued, "in_replay": in_replay,
    });
    output.verdict(sentence.join(", "), &object)?;
    let is_whole = queued == 0 && in_replay == 0;
    Ok(if is_whole { ExitStatus::Done } else { ExitStatus::NotHeld })
}

/// Says how far a command is.
fn commanded(
    letter: DeadLetterName,
    Commanded { message_id, progress }: Commanded,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    if progress == Progress::Ended {
        output.say("the letter ended before it could get the body; nothing was changed")?;
        return Ok(ExitStatus::NotHeld);
    }
    let is_applied = progress == Progress::Applied;
    let view = LetterOrderView::new(letter, message_id, is_applied);
    match output.format {
        Format::Json => output.json(&view)?,
        Format::Table => {
            let facts = vec![
                ("id", text(&view.id)),
                ("state", text(if is_applied { "applied" } else { "queued" })),
                ("message", text(&view.message_id)),
            ];
            write_facts(output.out, output.width, facts)?;
        }
    }
    if is_applied {
        return Ok(ExitStatus::Done);
    }
    output.say("queued, as the Store did not answer; a worker will do it")?;
    Ok(ExitStatus::NotHeld)
}

/// The dead letter that a command is about; without one, it is said why.
fn free(
    id: MessageId,
    found: Result<Target, StoreError>,
    output: &mut Output<'_>,
) -> anyhow::Result<Option<DeadLetterName>> {
    match found.with_context(|| format!("cannot read the dead letter {id}"))? {
        Target::Free(letter) => return Ok(Some(letter)),
        Target::InReplay(replay) => output.say(format_args!(
            "{id} is in replay {replay}, and might come back as it was: wait until that is done, or \
             `storekeeper replays cancel {replay}`"
        ))?,
        Target::Unknown => output.say(format_args!("no message {id} is parked"))?,
    }
    Ok(None)
}

/// A whole letter as a line of an export; bodies are always base64, so that nothing is lost.
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

/// Writes every letter that the filter selects, whole, one a line.
pub async fn export(
    store: &dyn Store,
    filter: &DeadLetterFilter,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let mut page = PageRequest::first(PAGE);
    loop {
        let found = store.dead_letters(filter, &page).await;
        let found = found.context("cannot list the dead letters")?;
        for summary in found.items {
            let letter = store.dead_letter(summary.id).await;
            // One that ended meanwhile is not there to be exported.
            if let Some(letter) = letter.context("cannot read a dead letter")? {
                output.json(&Exported::from(&letter))?;
            }
        }
        let Some(next) = found.next else { return Ok(ExitStatus::Done) };
        page.after = Some(next);
    }
}

/// Files the letters of an export. One that is parked already, or has ended here, stays as it is.
pub async fn import(
    store: &dyn Store,
    file: &Path,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let mut lines = std::io::BufReader::new(input::open(file)?);
    let (mut number, mut letters) = (0_u64, Vec::new());
    loop {
        let mut line = Vec::new();
        let read = lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        let length = read.with_context(|| format!("cannot read {}", file.display()))?;
        if length == 0 || letters.len() == PAGE {
            let filed = store.park(std::mem::take(&mut letters)).await;
            filed.context("cannot file dead letters")?;
        }
        if length == 0 {
            break;
        }
        number += 1;
        let exported: Option<Exported> = serde_json::from_slice(&line).ok();
        // What is wrong is not quoted: it may be personal.
        let letter = exported.and_then(Exported::letter);
        letters.push(letter.with_context(|| format!("line {number} is no exported dead letter"))?);
    }
    let sentence = format_args!("letters read: {number}");
    output.verdict(sentence, &serde_json::json!({ "read": number }))?;
    Ok(ExitStatus::Done)
}
