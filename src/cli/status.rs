//! `status`: how the service stands, on one screen.

use std::io;

use anyhow::Context;
use comfy_table::Cell;

use super::ExitStatus;
use super::output::Output;
use super::queues::age;
use super::table::{Column, text, write_facts, write_section, write_warning};
use crate::broker::QueueDepth;
use crate::clock;
use crate::console::status;
use crate::console::views::{
    DeadLetterGroupView, DutyView, ProcessView, QueuesView, SiteSeenView, StatusView,
};
use crate::domain::Timestamp;
use crate::store::Store;

/// How many processes are shown.
const PROCESSES_SHOWN: usize = 8;

/// Shows how the service stands; the depth is `None` if the queue does not answer.
pub(super) async fn run(
    store: &dyn Store,
    depth: Option<&QueueDepth>,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let now = clock::now();
    let view = status::read(store, depth, now).await.context("cannot read the status")?;
    output.show(&view, |view, output| write(view, now, output))?;
    Ok(if view.problems.is_empty() { ExitStatus::Done } else { ExitStatus::NotHeld })
}

fn write(view: &StatusView, now: Timestamp, output: &mut Output<'_>) -> io::Result<()> {
    if view.problems.is_empty() {
        writeln!(output.out, "{}", view.verdict)?;
    } else {
        write_warning(&view.verdict, output)?;
        for problem in view.problems.iter().filter(|_| view.problems.len() > 1) {
            write_warning(&format!("- {problem}"), output)?;
        }
    }
    writeln!(output.out)?;
    let ago = |at: &str| ago(at, now);
    let audit = match &view.audit {
        Some(audit) if audit.differences == 0 => format!("no differences, {}", ago(&audit.at)),
        Some(audit) => format!("differences: {}, {}", audit.differences, ago(&audit.at)),
        None => "none yet".to_owned(),
    };
    let facts = vec![
        ("last audit", text(&audit)),
        ("queue", text(&queue(view.queues.as_ref()))),
        ("webhooks, last hour", text(&webhooks(view))),
        ("dead letters", text(&dead_letters(view))),
    ];
    write_facts(facts, output)?;
    if !view.dead_letters.groups.is_empty() {
        write_section(
            "LARGEST GROUPS OF DEAD LETTERS",
            GROUPS,
            &view.dead_letters.groups,
            "",
            output,
        )?;
    }
    let sites: Vec<SiteRow> = rows_of_sites(view, now);
    write_section(&format!("SITES ({})", view.sites.known), SITES, &sites, "None yet.", output)?;
    let processes = view.processes.iter().take(PROCESSES_SHOWN);
    let processes: Vec<ProcessRow> =
        processes.map(|process| ProcessRow::new(process, now)).collect();
    let heading = format!("PROCESSES ({})", view.processes.len());
    write_section(&heading, PROCESSES, &processes, "None was heard from within a day.", output)?;
    let duties: Vec<DutyRow> = view.duties.iter().map(|duty| DutyRow::new(duty, now)).collect();
    write_section("DUTIES", DUTIES, &duties, "No process leads.", output)
}

fn queue(queues: Option<&QueuesView>) -> String {
    let Some(QueuesView { work, retry, paused, .. }) = queues else {
        return "it does not answer".to_owned();
    };
    let oldest = work.oldest_age_seconds.map(|seconds| format!(", oldest {}", age(seconds)));
    let paused = if paused.is_some() { "; paused" } else { "" };
    format!(
        "{} ready, {} in flight, {} to be retried{}{paused}",
        work.ready,
        work.in_flight,
        retry.ready,
        oldest.unwrap_or_default()
    )
}

fn webhooks(view: &StatusView) -> String {
    let refused: Vec<String> =
        view.webhooks.refused.iter().map(|(code, count)| format!("{code} {count}")).collect();
    let refused = if refused.is_empty() { "none".to_owned() } else { refused.join(", ") };
    format!("{} accepted, refused: {refused}", view.webhooks.accepted)
}

fn dead_letters(view: &StatusView) -> String {
    let intake = view.queues.as_ref().map_or(0, |queues| queues.dead.intake);
    let (parked, bytes) = (view.dead_letters.parked, view.dead_letters.bytes);
    let waiting = if intake > 0 { format!(", {intake} not parked yet") } else { String::new() };
    if parked == 0 { format!("none{waiting}") } else { format!("{parked}, {bytes} bytes{waiting}") }
}

const GROUPS: &[Column<DeadLetterGroupView>] = &[
    Column::number("COUNT", |group| Cell::new(group.letters)),
    Column::text("REASON", |group| text(group.reason)),
    Column::name("SITE", |group| text(group.site.as_deref().unwrap_or("-"))),
];

struct SiteRow {
    site: String,
    last: String,
}

/// The shops that heard nothing for longest and those that heard something last, each once.
fn rows_of_sites(view: &StatusView, now: Timestamp) -> Vec<SiteRow> {
    let is_new = |site: &&SiteSeenView| !view.sites.oldest.contains(site);
    let newest: Vec<&SiteSeenView> = view.sites.newest.iter().filter(is_new).collect();
    let all = view.sites.oldest.iter().chain(newest.into_iter().rev());
    all.map(|seen| SiteRow {
        site: seen.site.clone(),
        last: seen.last_webhook_at.as_deref().map_or_else(|| "-".to_owned(), |at| ago(at, now)),
    })
    .collect()
}

const SITES: &[Column<SiteRow>] = &[
    Column::name("SITE", |row| text(&row.site)),
    Column::text("LAST WEBHOOK", |row| text(&row.last)),
];

struct ProcessRow {
    process: String,
    role: String,
    state: String,
    heard: String,
}

impl ProcessRow {
    fn new(process: &ProcessView, now: Timestamp) -> Self {
        let leads = if process.leads { ", leads" } else { "" };
        Self {
            process: process.process.clone(),
            role: process.role.clone(),
            state: format!("{}{leads}", process.state),
            heard: ago(&process.heard_at, now),
        }
    }
}

const PROCESSES: &[Column<ProcessRow>] = &[
    Column::name("PROCESS", |row| text(&row.process)),
    Column::text("ROLE", |row| text(&row.role)),
    Column::text("STATE", |row| text(&row.state)),
    Column::text("HEARD FROM", |row| text(&row.heard)),
];

struct DutyRow {
    duty: String,
    last: String,
    problem: String,
}

impl DutyRow {
    fn new(duty: &DutyView, now: Timestamp) -> Self {
        let last = duty.last_success.as_deref();
        Self {
            duty: duty.duty.clone(),
            last: last.map_or_else(|| "-".to_owned(), |at| ago(at, now)),
            problem: duty.problem.clone().unwrap_or_default(),
        }
    }
}

const DUTIES: &[Column<DutyRow>] = &[
    Column::name("DUTY", |row| text(&row.duty)),
    Column::text("LAST DONE", |row| text(&row.last)),
    Column::text("PROBLEM", |row| text(&row.problem)),
];

/// How long ago a time of a view was.
fn ago(at: &str, now: Timestamp) -> String {
    let micros = Timestamp::parse_rfc3339(at).map(|at| now.micros().saturating_sub(at.micros()));
    let seconds = micros.and_then(|micros| u64::try_from(micros / 1_000_000).ok());
    format!("{} ago", age(seconds.unwrap_or_default()))
}
