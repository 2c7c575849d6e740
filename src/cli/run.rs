//! From a command line that was read to the way the process ends.

use std::io::Write;

use super::audit::AuditArgs;
use super::journal::JournalCommand;
use super::orders::CorrectionCommand;
use super::output::Output;
use super::receipts::ReceiptCommand;
use super::{
    Cli, Command, ConfigCommand, ExitStatus, OrdersCommands, StockCommands, audit, backup, changes,
    completions, config, dead_letters, demo, failure, health, journal, orders, policy, receipts,
    replays, serve, simulate, stock, topology,
};
use crate::app::{
    Role, Roles, StartError, damaged_files, open_broker, open_or_create_store, open_store,
};
use crate::clock;
use crate::config::{Settings, SettingsError};
use crate::simulate::SimulateError;
use crate::store::{Store, StoreError};

/// Does what the command line says. Results go to `out`, sentences for a person to `err`.
pub async fn run(cli: Cli, out: &mut dyn Write, err: &mut dyn Write) -> ExitStatus {
    let mut output = Output::new(out, err, cli.format);
    // Boxed: the future of every command together is large.
    match Box::pin(dispatch(cli, &mut output)).await {
        Ok(status) => status,
        Err(error) => {
            let status = exit_status(&error);
            if status != ExitStatus::Done {
                // Should stderr be gone too, there is nobody left to tell.
                output.say(format_args!("error: {error:#}")).ok();
            }
            status
        }
    }
}

async fn dispatch(cli: Cli, output: &mut Output<'_>) -> anyhow::Result<ExitStatus> {
    let settings = || Settings::load(cli.config.as_deref());
    match cli.command {
        Command::Serve(args) => serve::run(settings()?, Roles::All, &args).await,
        Command::Ingress(args) => serve::run(settings()?, Roles::Only(Role::Ingress), &args).await,
        Command::Worker(args) => serve::run(settings()?, Roles::Only(Role::Worker), &args).await,
        Command::Console(args) => serve::run(settings()?, Roles::Only(Role::Console), &args).await,
        Command::Leader(args) => serve::run(settings()?, Roles::Only(Role::Leader), &args).await,
        Command::Demo(args) => Box::pin(demo::run(&args, output)).await,
        Command::Simulate(args) => simulate::run(args, output).await,
        Command::Health(args) => health::run(&args, output).await,
        Command::Completions { shell } => Ok(completions::run(shell, output.out)?),
        Command::Config(ConfigCommand::Show) => {
            Ok(config::show(&settings()?, output.format, output.out)?)
        }
        Command::Config(ConfigCommand::Check) => {
            Ok(config::check(&settings()?, output.format, output.out)?)
        }
        Command::Stock(StockCommands::Read(command)) => {
            let store = open_store(&settings()?).await?;
            ended(&*store, stock::run(&*store, &command, output).await).await
        }
        Command::Stock(StockCommands::Change(command)) => {
            change_stock(&settings()?, &command, output).await
        }
        Command::Orders(OrdersCommands::Read(command)) => {
            let store = open_store(&settings()?).await?;
            ended(&*store, orders::run(&*store, &command, clock::now(), output).await).await
        }
        Command::Orders(OrdersCommands::Change(command)) => {
            correct_order(&settings()?, &command, output).await
        }
        Command::Changes(args) => {
            let store = open_store(&settings()?).await?;
            ended(&*store, changes::run(&*store, &args, output).await).await
        }
        Command::DeadLetters(command) => {
            let (settings, now) = (settings()?, clock::now());
            let store = open_store(&settings).await?;
            let broker = async || open_broker(&settings).await;
            let sources = settings.ingress.source_rules();
            let done = dead_letters::run(&*store, &sources, broker, &command, now, output).await;
            ended(&*store, done).await
        }
        Command::Replays(command) => {
            let store = open_store(&settings()?).await?;
            ended(&*store, replays::run(&*store, command, output).await).await
        }
        Command::Policy(command) => {
            let settings = settings()?;
            let store = open_store(&settings).await?;
            let proposed = settings.policy();
            ended(&*store, policy::run(&*store, &command, &proposed, output).await).await
        }
        Command::Journal(command) => journal(&settings()?, command, output).await,
        Command::Topology(command) => topology::run(&settings()?, command, output).await,
        Command::Backup(args) => backup::run(&settings()?, &args, output).await,
        Command::Audit(args) => audit_counts(&settings()?, &args, output).await,
    }
}

async fn journal(
    settings: &Settings,
    command: JournalCommand,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let broker = open_broker(settings).await;
    // Of files of an older release, the store says the way out.
    if broker.is_err()
        && let Err(error @ StoreError::Older { .. }) = open_store(settings).await
    {
        return Err(error.into());
    }
    let (broker, store) = (broker?, open_or_create_store(settings).await?);
    let (overlap, now) = (settings.journal.overlap, clock::now());
    let done = journal::run(&*broker, &*store, command, overlap, now, output).await;
    broker.close().await;
    ended(&*store, done).await
}

async fn audit_counts(
    settings: &Settings,
    args: &AuditArgs,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let is_whole = audit::report_damage(&damaged_files(settings)?, output)?;
    let store = open_store(settings).await?;
    let audited = ended(&*store, audit::run(&*store, args, output).await).await?;
    Ok(if is_whole { audited } else { ExitStatus::NotHeld })
}

async fn change_stock(
    settings: &Settings,
    command: &ReceiptCommand,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let store = open_store(settings).await?;
    let broker = open_broker(settings).await?;
    let changed = receipts::run(&*broker, &*store, command, output).await;
    broker.close().await;
    ended(&*store, changed).await
}

async fn correct_order(
    settings: &Settings,
    command: &CorrectionCommand,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let store = open_store(settings).await?;
    let broker = open_broker(settings).await?;
    let corrected = orders::correct(&*broker, &*store, command, output).await;
    broker.close().await;
    ended(&*store, corrected).await
}

/// Closes the state, however the command ended.
async fn ended(
    store: &dyn Store,
    result: anyhow::Result<ExitStatus>,
) -> anyhow::Result<ExitStatus> {
    store.close().await;
    result
}

fn exit_status(error: &anyhow::Error) -> ExitStatus {
    if error.is::<SettingsError>() {
        return ExitStatus::Usage;
    }
    if let Some(error) = error.downcast_ref::<StartError>() {
        return serve::start_failed(error);
    }
    if let Some(error) = error.downcast_ref::<SimulateError>() {
        return simulate::exit_status(error);
    }
    failure::exit_status(error)
}
