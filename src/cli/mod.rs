//! The command line: the commands, and the exit status of the process.
//!
//! [`Cli`] declares all commands; the file of each command's name implements it. Results go to a
//! writer that is passed in (stdout), logs and errors to stderr.
//!
//! # Invariants
//! - What a command prints with `--format json` is the API's shape, one object a line for lists.
//! - Every process ends with an [`ExitStatus`].

pub mod actor;
mod args;
pub mod audit;
pub mod backup;
pub mod catalogue;
pub mod changes;
pub mod completions;
pub mod config;
pub mod dead_letter_commands;
mod dead_letter_edit;
pub mod dead_letters;
pub mod demo;
mod editor;
pub mod failure;
mod fit;
mod forecast;
mod formula;
pub mod health;
pub mod import;
mod input;
pub mod journal;
pub mod man;
pub mod orders;
pub mod output;
mod pages;
mod parse;
mod plural;
pub mod policy;
mod progress;
pub mod queues;
pub mod receipts;
pub mod replays;
pub mod run;
pub mod serve;
pub mod simulate;
pub mod sites;
mod status;
pub mod stock;
mod table;
#[cfg(test)]
mod tests;
pub mod topology;
pub mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

pub use args::{
    CatalogueArgs, ConfigCommand, DeadLettersCommand, DeadLettersDiscardArgs, DeadLettersEditArgs,
    DeadLettersListArgs, DeadLettersReplayArgs, DemoArgs, HealthArgs, PolicyCommand, ServeArgs,
    StockCommand, StockCommands, StockListArgs,
};
pub use orders::{OrdersCommand, OrdersCommands};

use crate::app::signals;

/// The heading of the options of every command.
const GLOBAL: &str = "Global options";

/// Keeps stock counts right from Duda eCommerce webhooks.
///
/// Webhooks may arrive late, twice or in any order: the stock ends up the same. Start with
/// `storekeeper demo`, which needs no setup, then read `storekeeper serve --help`.
#[derive(Debug, Parser)]
#[command(name = "storekeeper", version, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 did not hold or not found, 2 usage or configuration, \
    3 a backend is unreachable, 4 the drain deadline passed, 130 second signal."
)]
pub struct Cli {
    /// A TOML file of settings, over the compiled-in defaults.
    ///
    /// Environment variables such as `STOREKEEPER__INGRESS__LISTEN=127.0.0.1:8080` override both.
    /// `storekeeper config show` prints the effective configuration.
    #[arg(long, global = true, env = "STOREKEEPER_CONFIG", value_name = "FILE", help_heading = GLOBAL)]
    pub config: Option<PathBuf>,

    /// How results are printed on stdout.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT", help_heading = GLOBAL)]
    pub format: Format,

    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: tables and sentences.
    #[default]
    Table,
    /// For programs: the API's JSON shapes, one object a line for lists.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run all roles in one process: receive webhooks and keep the counts.
    ///
    /// Listens on `ingress.listen` for webhooks, on `console.listen` for the operator API and on
    /// `probes.listen` for health and metrics, and keeps its files in `embedded.path`. SIGTERM and
    /// Ctrl-C stop it once the work in flight is done.
    #[command(after_help = "Examples:\n  storekeeper serve\n  \
        storekeeper serve --config /etc/storekeeper.toml\n  \
        STOREKEEPER__INGRESS__LISTEN=127.0.0.1:0 storekeeper serve --ready-file ready.json")]
    Serve(ServeArgs),

    /// Run the ingress: receive webhooks and queue them for a `worker`.
    ///
    /// Listens on `ingress.listen` and `probes.listen`. It needs no running worker: webhooks that
    /// were answered with 200 wait in the queue.
    #[command(after_help = "Example:\n  \
        STOREKEEPER__PROBES__LISTEN=127.0.0.1:8083 storekeeper ingress")]
    Ingress(ServeArgs),

    /// Run a worker: turn queued webhooks into counts.
    ///
    /// Listens on `probes.listen` only. Of several workers on the same files, one consumes; the
    /// others stand by and take over when it stops or dies.
    #[command(after_help = "Example:\n  \
        STOREKEEPER__PROBES__LISTEN=127.0.0.1:8084 storekeeper worker")]
    Worker(ServeArgs),

    /// Run the console: serve the operator API.
    ///
    /// Listens on `console.listen` and `probes.listen`.
    #[command(after_help = "Example:\n  \
        STOREKEEPER__PROBES__LISTEN=127.0.0.1:8085 storekeeper console")]
    Console(ServeArgs),

    /// Run a leader: periodic duties such as retention, audits, replays and the feed at RabbitMQ.
    ///
    /// Any number may run; one of them leads, and another takes over within seconds if it dies.
    /// Listens on `probes.listen`, where `/readyz` lists the duties.
    #[command(after_help = "Example:\n  \
        STOREKEEPER__PROBES__LISTEN=127.0.0.1:8086 storekeeper leader")]
    Leader(ServeArgs),

    /// Show everything at work: a fresh server, a shuffled history of orders, and the final stock.
    ///
    /// Uses a temporary directory and free ports, so it touches none of your data. It stays up for
    /// you to look around until Ctrl-C.
    #[command(after_help = "Examples:\n  storekeeper demo\n  \
        storekeeper demo --exit --orders 5000 --seed 7")]
    Demo(DemoArgs),

    /// Post a generated history of orders to a running ingress, and check the result.
    ///
    /// The history has everything that makes counting hard: duplicates, late and reordered events,
    /// cancellations, refunds, broken bodies. The same seed gives the same history.
    #[command(after_help = "Examples:\n  storekeeper simulate --url http://127.0.0.1:8080\n  \
        storekeeper simulate --url http://127.0.0.1:8080 --console http://127.0.0.1:8081 --check")]
    Simulate(simulate::SimulateArgs),

    /// Show how the service stands: is the stock right, is it fresh, is anything stuck.
    ///
    /// Exits 1 if something needs a person.
    #[command(after_help = "Examples:\n  storekeeper status\n  storekeeper status --format json")]
    Status,

    /// List the sites: a site is known from its first webhook or receipt on.
    #[command(after_help = "Example:\n  storekeeper sites")]
    Sites,

    /// List the products and categories of a site, and the stock items that they name.
    #[command(after_help = "Examples:\n  storekeeper catalogue my-shop\n  \
        storekeeper catalogue my-shop --query mug")]
    Catalogue(CatalogueArgs),

    /// Show stock items and which orders hold them, and count received goods.
    #[command(
        subcommand,
        after_help = "Examples:\n  storekeeper stock list\n  \
        storekeeper stock list my-shop --oversold\n  \
        storekeeper stock show my-shop variation:V1\n  \
        storekeeper stock receive my-shop variation:V1 100 --reference PO-1234\n  \
        storekeeper stock adjust my-shop variation:V1 -2 --reference D-7 --reason broken\n  \
        storekeeper stock count my-shop variation:V1 97 --reference stocktaking-2026\n  \
        storekeeper stock void my-shop variation:V1 --reference PO-1234\n  \
        storekeeper stock import goods.csv\n  \
        storekeeper stock export --format json"
    )]
    Stock(StockCommands),

    /// Show what orders hold and why, and correct it.
    #[command(
        subcommand,
        after_help = "Examples:\n  storekeeper orders list my-shop --ambiguous\n  \
        storekeeper orders list --status processed --older-than 7d\n  \
        storekeeper orders show my-shop 1234\n  \
        storekeeper orders release my-shop id:1234 --reference T-7 --reason returned\n  \
        storekeeper orders ship my-shop id:1234 --reference T-8 --reason handed-over"
    )]
    Orders(OrdersCommands),

    /// Show the changes of stock, oldest first; with `--follow`, new ones too.
    ///
    /// The first counts are what a change added, the last two are the counts after it.
    ///
    /// Exits 1 if changes after `--after` are no longer kept: then read the stock again.
    #[command(after_help = "Examples:\n  storekeeper changes my-shop\n  \
        storekeeper changes my-shop --key variation:V1 --since 24h\n  \
        storekeeper changes --last 20\n  \
        storekeeper changes my-shop --follow --format json")]
    Changes(changes::ChangesArgs),

    /// Show, edit, replay and discard dead letters: webhooks that could not be applied.
    #[command(
        subcommand,
        after_help = "Examples:\n  storekeeper dead-letters list\n  \
        storekeeper dead-letters list --reason decode.not_json --older-than 1h\n  \
        storekeeper dead-letters show 0197c7f5-7d3c-7a51-9d0a-2f1f0a6c9c11\n  \
        storekeeper dead-letters edit 0197c7f5-7d3c-7a51-9d0a-2f1f0a6c9c11 --body fixed.json\n  \
        storekeeper dead-letters edit 0197c7f5-7d3c-7a51-9d0a-2f1f0a6c9c11 --revert\n  \
        storekeeper dead-letters replay --reason order.no_identity --dry-run\n  \
        storekeeper dead-letters replay --site shop --rate 50 --ramp 1m --abort-after 10"
    )]
    DeadLetters(DeadLettersCommand),

    /// Show replays of dead letters, or cancel one.
    #[command(
        subcommand,
        after_help = "Examples:\n  storekeeper replays list\n  \
        storekeeper replays cancel 0197c7f5-7d3c-7a51-9d0a-2f1f0a6c9c11"
    )]
    Replays(replays::ReplaysCommand),

    /// Show the queues, and pause or resume the work queue.
    #[command(after_help = "Examples:\n  storekeeper queues\n  \
        storekeeper queues pause --reason deploy\n  storekeeper queues resume")]
    Queues(queues::QueuesArgs),

    /// Show the effective configuration, or check it.
    #[command(
        subcommand,
        after_help = "Examples:\n  storekeeper config show\n  \
        storekeeper config check --config /etc/storekeeper.toml"
    )]
    Config(ConfigCommand),

    /// Show the policy by which orders are computed, or put the configured one in force.
    #[command(
        subcommand,
        after_help = "Examples:\n  storekeeper policy show\n  \
        storekeeper policy apply --dry-run\n  storekeeper policy apply"
    )]
    Policy(PolicyCommand),

    /// Recompute every sum, compare it with the counts, and repair them on request.
    ///
    /// Runs beside a running service, checks the files of the embedded backend, and changes nothing
    /// without --repair. Exits 1 if something differs, or still differs after the repair.
    #[command(after_help = "Examples:\n  storekeeper audit\n  \
        storekeeper audit --site my-shop --format json\n  storekeeper audit --repair --dry-run")]
    Audit(audit::AuditArgs),

    /// Replay the journal of raw webhooks through the workers.
    #[command(
        subcommand,
        after_help = "Examples:\n  storekeeper journal replay\n  \
        storekeeper journal replay --since 2024-05-31T12:00:00Z"
    )]
    Journal(journal::JournalCommand),

    /// Copy the files of a service to a new directory, even while it runs.
    #[command(after_help = "Example:\n  storekeeper backup /var/backups/storekeeper/monday")]
    Backup(backup::BackupArgs),

    /// Declare what the distributed backend needs at RabbitMQ, or delete it.
    #[command(
        subcommand,
        after_help = "Examples:\n  \
        storekeeper topology declare --config /etc/storekeeper.toml\n  \
        storekeeper topology delete --config /etc/storekeeper.toml"
    )]
    Topology(topology::TopologyCommand),

    /// Check whether a running process is ready.
    ///
    /// Exits 0 if it is ready, 1 if it is not, 3 if it cannot be reached.
    #[command(after_help = "Examples:\n  storekeeper health\n  \
        storekeeper health --url http://127.0.0.1:8082")]
    Health(HealthArgs),

    /// Write the manual pages to a directory.
    #[command(after_help = "Example:\n  storekeeper man ~/.local/share/man/man1")]
    Man {
        /// The directory; it is created if it does not exist.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },

    /// Print a completion script for a shell.
    ///
    /// Write it to a file that the shell reads when it starts: for bash
    /// `~/.local/share/bash-completion/completions/storekeeper`, for fish
    /// `~/.config/fish/completions/storekeeper.fish`, for zsh `_storekeeper` in a folder of `$fpath`.
    #[command(after_help = "Examples:\n  storekeeper completions bash\n  \
        storekeeper completions zsh")]
    Completions {
        /// The shell.
        #[arg(value_name = "SHELL", value_enum)]
        shell: clap_complete::Shell,
    },
}

/// The exit status of the process; the numbers are public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// The command succeeded, or SIGTERM or SIGINT stopped the process.
    Done = 0,
    /// The result is negative, or something was not found.
    NotHeld = 1,
    /// The command or the configuration is wrong, a port is in use, or the data is of a newer
    /// release: a retry does not help. Also clap's code for a command line that it cannot parse.
    Usage = 2,
    /// A backend or a server cannot be reached: a retry may help.
    Unreachable = 3,
    /// The work in flight was not done within `worker.drain_timeout`; it is delivered again.
    DrainDeadline = 4,
    /// A second signal arrived while the process was stopping.
    SecondSignal = signals::SECOND_SIGNAL_CODE,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}
