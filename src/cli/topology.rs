//! `topology declare` and `topology delete`: what the distributed backend needs at RabbitMQ.

use std::io::{self, BufRead as _, IsTerminal as _};

use anyhow::{Context, bail};
use clap::Subcommand;
use comfy_table::Cell;
use serde::Serialize;

use super::output::Output;
use super::plural::counted;
use super::table::{Column, text, write_table};
use super::{ExitStatus, Format};
use crate::app::{StandingQueue, declare_topology, delete_topology, standing_queues};
use crate::config::{Backend, Settings};

/// The commands of `topology`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum TopologyCommand {
    /// Declare exchanges, queues and bindings, as every process does when it connects.
    ///
    /// Existing ones are not changed. A queue that exists with other arguments is reported, with a
    /// remedy.
    Declare,
    /// Delete the exchanges and queues of `rabbitmq.namespace`, with everything in them.
    ///
    /// Exits 1 if a process still consumes, or if a queue or the journal has messages and `--force`
    /// is not given. Retry queues are those of the configured `retry.ladder`.
    Delete {
        /// Delete messages too: webhooks that are not applied yet, and the journal.
        #[arg(long)]
        force: bool,
        /// Do not ask; needed where there is no terminal.
        #[arg(long)]
        yes: bool,
    },
}

/// The result in JSON.
#[derive(Serialize)]
struct View<'a> {
    /// Whether a topology was declared.
    declared: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
}

/// The result of a deletion in JSON.
#[derive(Serialize)]
struct DeletedView<'a> {
    deleted: bool,
    namespace: &'a str,
    /// Messages that were, or would be, lost.
    messages: u64,
}

const COLUMNS: &[Column<StandingQueue>] = &[
    Column::name("QUEUE", |queue| text(&queue.name)),
    Column::number("MESSAGES", |queue| Cell::new(queue.messages)),
    Column::number("CONSUMERS", |queue| Cell::new(queue.consumers)),
];

/// Runs a `topology` command.
pub async fn run(
    settings: &Settings,
    command: &TopologyCommand,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    if settings.backend == Backend::Embedded {
        let sentence = match command {
            TopologyCommand::Declare => {
                "the embedded backend has no topology: there is nothing to declare"
            }
            TopologyCommand::Delete { .. } => {
                "the embedded backend has no topology: there is nothing to delete"
            }
        };
        output.verdict(sentence, &View { declared: false, namespace: None })?;
        return Ok(ExitStatus::Done);
    }
    match command {
        TopologyCommand::Declare => declare(settings, output).await,
        TopologyCommand::Delete { force, yes } => delete(settings, (*force, *yes), output).await,
    }
}

async fn declare(settings: &Settings, output: &mut Output<'_>) -> anyhow::Result<ExitStatus> {
    declare_topology(settings).await.context("cannot declare the topology")?;
    let namespace = &settings.rabbitmq.namespace;
    let sentence = format_args!("the exchanges, queues and bindings of {namespace} are declared");
    output.verdict(sentence, &View { declared: true, namespace: Some(namespace) })?;
    Ok(ExitStatus::Done)
}

async fn delete(
    settings: &Settings,
    (force, yes): (bool, bool),
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let namespace = settings.rabbitmq.namespace.as_str();
    let is_terminal = io::stdin().is_terminal();
    if !yes && !is_terminal {
        bail!("deleting the topology of {namespace} needs --yes where there is no terminal");
    }
    let queues = standing_queues(settings).await.context("cannot look at the topology")?;
    let messages = queues.iter().map(|queue| queue.messages).sum();
    let is_used = |queue: &&StandingQueue| queue.messages > 0 || queue.consumers > 0;
    let used: Vec<StandingQueue> = queues.iter().filter(is_used).cloned().collect();
    if !used.is_empty() && output.format == Format::Table {
        write_table(COLUMNS, &used, output)?;
    }
    let kept = DeletedView { deleted: false, namespace, messages };
    if queues.iter().any(|queue| queue.consumers > 0) {
        output.verdict("nothing was deleted: stop the processes that consume first", &kept)?;
        return Ok(ExitStatus::NotHeld);
    }
    if messages > 0 && !force {
        let sentence = format!(
            "nothing was deleted: {} would be lost; --force deletes that too",
            counted(messages, "message", "messages")
        );
        output.verdict(sentence, &kept)?;
        return Ok(ExitStatus::NotHeld);
    }
    if !yes && !is_confirmed(namespace, output)? {
        output.verdict("nothing was deleted", &kept)?;
        return Ok(ExitStatus::NotHeld);
    }
    delete_topology(settings).await.context("cannot delete the whole topology; run it again")?;
    let sentence = format_args!("the exchanges and queues of {namespace} are deleted");
    output.verdict(sentence, &DeletedView { deleted: true, namespace, messages })?;
    Ok(ExitStatus::Done)
}

/// Whether the person types the namespace.
fn is_confirmed(namespace: &str, output: &mut Output<'_>) -> io::Result<bool> {
    output.say(format_args!("Type {namespace} to delete its exchanges and queues:"))?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim() == namespace)
}
