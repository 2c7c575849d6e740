//! `topology declare`: declares what the distributed backend needs at RabbitMQ.

use anyhow::Context;
use clap::Subcommand;
use serde::Serialize;

use super::ExitStatus;
use super::output::Output;
use crate::app::declare_topology;
use crate::config::{Backend, Settings};

/// The commands of `topology`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum TopologyCommand {
    /// Declare exchanges, queues and bindings, as every process does when it connects.
    ///
    /// Existing ones are not changed. A queue that exists with other arguments is reported, with a
    /// remedy.
    Declare,
}

/// The result in JSON.
#[derive(Serialize)]
struct View<'a> {
    /// Whether a topology was declared.
    declared: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
}

/// Runs a `topology` command.
pub async fn run(
    settings: &Settings,
    command: TopologyCommand,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let TopologyCommand::Declare = command;
    if settings.backend == Backend::Embedded {
        let sentence = "the embedded backend has no topology: there is nothing to declare";
        output.verdict(sentence, &View { declared: false, namespace: None })?;
        return Ok(ExitStatus::Done);
    }
    declare_topology(settings).await.context("cannot declare the topology")?;
    let namespace = &settings.rabbitmq.namespace;
    let sentence = format_args!("the exchanges, queues and bindings of {namespace} are declared");
    output.verdict(sentence, &View { declared: true, namespace: Some(namespace) })?;
    Ok(ExitStatus::Done)
}
