//! `topology declare`: makes what the distributed backend needs of RabbitMQ.

use anyhow::Context;
use clap::Subcommand;

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

/// Does what `topology` was told to.
pub async fn run(
    settings: &Settings,
    command: TopologyCommand,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let TopologyCommand::Declare = command;
    if settings.backend == Backend::Embedded {
        output.say("the embedded backend has no topology: there is nothing to declare")?;
        return Ok(ExitStatus::Done);
    }
    declare_topology(settings).await.context("cannot declare the topology")?;
    let namespace = &settings.rabbitmq.namespace;
    output.say(format_args!("the exchanges, queues and bindings of {namespace} stand"))?;
    Ok(ExitStatus::Done)
}
