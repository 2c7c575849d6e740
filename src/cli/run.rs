//! Runs the command of a parsed command line, and turns its result into an exit status.

use std::ffi::OsString;
use std::io::Write;

use clap::Parser;

use super::audit::AuditArgs;
use super::journal::JournalCommand;
use super::output::Output;
use super::queues::QueuesCommand;
use super::{
    Cli, Command, ConfigCommand, ExitStatus, OrdersCommands, StockCommand, StockCommands, audit,
    backup, catalogue, changes, completions, config, dead_letters, demo, failure, health, journal,
    man, orders, policy, queues, receipts, replays, serve, simulate, sites, status, stock,
    topology,
};
use crate::app::{
    Role, Roles, StartError, damaged_files, open_broker, open_or_create_store, open_store,
};
use crate::broker::Broker;
use crate::clock;
use crate::config::{Settings, SettingsError};
use crate::domain::{causes, printable};
use crate::simulate::SimulateError;
use crate::store::{Store, StoreError};

/// Reads a command line. Nothing that was typed steers the terminal on which an error quotes it.
pub fn parse(line: Vec<OsString>) -> Result<Cli, clap::Error> {
    let is_printable = |part: &OsString| {
        let text = part.to_string_lossy();
        printable(&text, false) == text
    };
    let is_clean = line.iter().all(is_printable);
    Cli::try_parse_from(line).map_err(|error| {
        if is_clean || !error.use_stderr() {
            return error;
        }
        let text = printable(&error.to_string(), true);
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        clap::Error::raw(error.kind(), format!("{}\n", text.trim_end()))
    })
}

/// Runs the command. Results go to `out`, messages for a person to `err`.
pub async fn run(cli: Cli, out: &mut dyn Write, err: &mut dyn Write) -> ExitStatus {
    let mut output = Output::new(out, err, cli.format);
    // Boxed: the future of every command together is large.
    match Box::pin(dispatch(cli, &mut output)).await {
        Ok(status) => status,
        Err(error) => {
            let status = exit_status(&error);
            if status != ExitStatus::Done {
                // If stderr is closed too, nobody can read the error.
                output.problem(&failure::problem(&error), "error: ").ok();
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
        Command::Demo(args) => Box::pin(demo::run(&args, cli.config.as_deref(), output)).await,
        Command::Man { directory } => man::run(&directory, output),
        Command::Simulate(args) => simulate::run(args, output).await,
        Command::Health(args) => {
            let configured = || health::configured(settings()?.probes.listen);
            health::run(args.url.map_or_else(configured, Ok)?, output).await
        }
        Command::Completions { shell } => Ok(completions::run(shell, output.out)?),
        Command::Config(ConfigCommand::Show) => {
            Ok(config::show(&settings()?, output.format, output.out)?)
        }
        Command::Config(ConfigCommand::Check) => {
            Ok(config::check(&settings()?, output.format, output.out)?)
        }
        Command::Sites => {
            with_store(&settings()?, async |store| sites::run(store, output).await).await
        }
        Command::Catalogue(args) => {
            with_store(&settings()?, async |store| catalogue::run(store, &args, output).await).await
        }
        Command::Stock(StockCommands::Read(command)) => {
            read_stock(&settings()?, &command, output).await
        }
        Command::Stock(StockCommands::Change(command)) => {
            let run =
                async |broker: &_, store: &_| receipts::run(broker, store, &command, output).await;
            with_backends(&settings()?, run).await
        }
        Command::Orders(command) => orders_of(&settings()?, command, output).await,
        Command::Changes(args) => {
            let run = async |store: &_| changes::run(store, &args, clock::now(), output).await;
            with_store(&settings()?, run).await
        }
        Command::DeadLetters(command) => {
            let settings = settings()?;
            let (sources, now) = (settings.source_rules(), clock::now());
            let broker = async || open_broker(&settings).await;
            let run = async |store: &_| {
                dead_letters::run(store, &sources, broker, &command, now, output).await
            };
            with_store(&settings, run).await
        }
        Command::Replays(command) => {
            with_store(&settings()?, async |store| replays::run(store, command, output).await).await
        }
        Command::Status => show_status(&settings()?, output).await,
        Command::Queues(args) => queues_of(&settings()?, args.command, output).await,
        Command::Policy(command) => {
            let settings = settings()?;
            let proposed = settings.policy();
            let run = async |store: &_| policy::run(store, &command, &proposed, output).await;
            with_store(&settings, run).await
        }
        Command::Journal(command) => journal(&settings()?, command, output).await,
        Command::Topology(command) => topology::run(&settings()?, &command, output).await,
        Command::Backup(args) => backup::run(&settings()?, &args, output).await,
        Command::Audit(args) => audit_counts(&settings()?, &args, output).await,
    }
}

async fn orders_of(
    settings: &Settings,
    command: OrdersCommands,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    match command {
        OrdersCommands::Read(command) => {
            let run = async |store: &_| orders::run(store, &command, clock::now(), output).await;
            with_store(settings, run).await
        }
        OrdersCommands::Change(command) => {
            let run = async |broker: &_, store: &_| {
                orders::correct(broker, store, &command, output).await
            };
            with_backends(settings, run).await
        }
    }
}

async fn queues_of(
    settings: &Settings,
    command: Option<QueuesCommand>,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    match command {
        None | Some(QueuesCommand::Show) => {
            let run = async |broker: &_, store: &_| queues::show(broker, store, output).await;
            with_backends(settings, run).await
        }
        Some(command) => {
            let run = async |store: &_| queues::change(store, &command, output).await;
            with_store(settings, run).await
        }
    }
}

/// A queue that cannot be reached is a part of the status.
async fn show_status(settings: &Settings, output: &mut Output<'_>) -> anyhow::Result<ExitStatus> {
    let depth = async {
        let broker = open_broker(settings).await?;
        let depth = broker.depth().await;
        broker.close().await;
        depth
    };
    let depth = match depth.await {
        Ok(depth) => Some(depth),
        Err(error) if error.is_transient() => {
            output.say(format_args!("cannot read the queue: {}", causes(&error)))?;
            None
        }
        Err(error) => return Err(error.into()),
    };
    with_store(settings, async |store| status::run(store, depth.as_ref(), output).await).await
}

async fn read_stock(
    settings: &Settings,
    command: &StockCommand,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let broker = async || open_broker(settings).await;
    with_store(settings, async |store| stock::run(store, broker, command, output).await).await
}

async fn journal(
    settings: &Settings,
    command: JournalCommand,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let broker = open_broker(settings).await;
    // If the files are those of an older release, the Store's error says what to do.
    if broker.is_err()
        && let Err(error @ StoreError::Older { .. }) = open_store(settings).await
    {
        return Err(error.into());
    }
    let (broker, store) = (broker?, open_or_create_store(settings).await?);
    let (overlap, now) = (settings.journal.overlap, clock::now());
    let done = journal::run(&*broker, &*store, command, overlap, now, output).await;
    broker.close().await;
    store.close().await;
    done
}

async fn audit_counts(
    settings: &Settings,
    args: &AuditArgs,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let is_undamaged = audit::report_damage(&damaged_files(settings)?, output)?;
    let audited = with_store(settings, async |store| audit::run(store, args, output).await).await?;
    Ok(if is_undamaged { audited } else { ExitStatus::NotHeld })
}

/// Runs a command on the Store, and closes the Store however the command ended.
async fn with_store(
    settings: &Settings,
    command: impl AsyncFnOnce(&dyn Store) -> anyhow::Result<ExitStatus>,
) -> anyhow::Result<ExitStatus> {
    let store = open_store(settings).await?;
    let done = command(&*store).await;
    store.close().await;
    done
}

/// Runs a command on Broker and Store, and closes both however the command ended.
async fn with_backends(
    settings: &Settings,
    command: impl AsyncFnOnce(&dyn Broker, &dyn Store) -> anyhow::Result<ExitStatus>,
) -> anyhow::Result<ExitStatus> {
    let store = open_store(settings).await?;
    let broker = open_broker(settings).await?;
    let done = command(&*broker, &*store).await;
    broker.close().await;
    store.close().await;
    done
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_does_not_steer_the_terminal() {
        for typed in ["\u{1b}]0;own\u{7}", "a\u{9b}2J", "--no\u{202e}such", "a\u{200b}\nb"] {
            let line = ["storekeeper", "stock", "list", typed, "--since"].map(OsString::from);
            let error = parse(line.to_vec()).unwrap_err();
            let text = error.to_string();
            assert!(text.starts_with("error: ") && text.ends_with('\n'), "{text:?}");
            assert_eq!(printable(&text, true), text, "{typed:?}");
            assert_eq!(error.exit_code(), 2);
        }
        let line = ["storekeeper", "stock", "lisst"].map(OsString::from);
        assert!(parse(line.to_vec()).unwrap_err().to_string().contains("similar"), "as before");
    }
}
