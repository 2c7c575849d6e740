//! `topology declare`: makes what the distributed backend needs of RabbitMQ.

use anyhow::Context;
use clap::Subcommand;
use serde::Serialize;

use super::ExitStatus;
use super::output::Output;
use crate::app::declare_topology;
use crate::config::{Backend, Settings};

/// What `topology` can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum TopologyCommand {
    /// Declares exchanges, queues and bindings, as every process does when it connects.
    ///
    /// What stands already stays as it is. A queue that stands with other arguments is named, with
    /// what to do about it.
    Declare,
}

/// What was done, in JSON.
#[derive(Serialize)]
struct View<'a> {
    /// Whether there is a topology, and it stands.
    declared: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
}

/// Does what `topology` was told to.
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
    let sentence = format_args!("the exchanges, queues and bindings of {namespace} stand");
    output.verdict(sentence, &View { declared: true, namespace: Some(namespace) })?;
    Ok(ExitStatus::Done)
}
