//! The command line: what can be asked for, and how a process ends.
//!
//! This file is the frame: [`Cli`] says which commands there are and what they take; each
//! command's work is in the file of its name. Results go to a writer that is passed in (stdout),
//! logs and errors to stderr.
//!
//! # Invariants
//! - What a command prints with `--format json` is the API's shape, one object a line for lists.
//! - Every way to end has one [`ExitStatus`].

pub mod actor;
mod args;
pub mod audit;
pub mod backup;
pub mod changes;
pub mod completions;
pub mod config;
pub mod dead_letters;
pub mod demo;
pub mod failure;
pub mod health;
pub mod import;
mod input;
pub mod journal;
pub mod letters;
pub mod orders;
pub mod output;
mod pages;
mod parse;
pub mod policy;
mod progress;
pub mod receipts;
pub mod replays;
pub mod run;
pub mod serve;
pub mod simulate;
mod sites;
pub mod stock;
mod table;
pub mod topology;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

pub use args::{
    ConfigCommand, DeadLettersCommand, DeadLettersDiscardArgs, DeadLettersListArgs,
    DeadLettersReplayArgs, DemoArgs, HealthArgs, PolicyCommand, ServeArgs, StockCommand,
    StockCommands,
};
pub use orders::{OrdersCommand, OrdersCommands};

use crate::shutdown;

/// The heading of options that every command takes.
const GLOBAL: &str = "Global options";

/// Keeps stock counts right from Duda eCommerce webhooks.
///
/// Webhooks may come late, twice or in any order: the stock ends the same. Start with
/// `storekeeper demo`, which needs nothing, then read `storekeeper serve --help`.
#[derive(Debug, Parser)]
#[command(name = "storekeeper", version, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 did not hold or not found, 2 usage or configuration, \
    3 a backend is unreachable, 4 the drain deadline passed, 130 second signal."
)]
pub struct Cli {
    /// A TOML file of settings, over the compiled-in defaults.
    ///
    /// Environment variables such as `STOREKEEPER__INGRESS__LISTEN=127.0.0.1:8080` stand over both.
    /// `storekeeper config show` prints what is in force.
    #[arg(long, global = true, env = "STOREKEEPER_CONFIG", value_name = "FILE", help_heading = GLOBAL)]
    pub config: Option<PathBuf>,

    /// How results are printed on stdout.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT", help_heading = GLOBAL)]
    pub format: Format,

    /// What to do.
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

/// What can be asked for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Receives webhooks and keeps the counts: all roles in one process.
    ///
    /// Listens on `ingress.listen` for webhooks, on `console.listen` for the operator API and on
    /// `probes.listen` for health and metrics, and keeps its files in `embedded.path`. SIGTERM and
    /// Ctrl-C stop it after what is in flight is done.
    #[command(after_help = "Examples:\n  storekeeper serve\n  \
        storekeeper serve --config /etc/storekeeper.toml\n  \
        STOREKEEPER__INGRESS__LISTEN=127.0.0.1:0 storekeeper serve --ready-file ready.json")]
    Serve(ServeArgs),

    /// Receives webhooks and queues them; a `worker` on the same files turns them into counts.
    ///
    /// Listens on `ingress.listen` and `probes.listen`. It goes on while no worker runs: what is
    /// answered 200 waits in the queue.
    #[command(after_help = "Example:\n  \
        STOREKEEPER__PROBES__LISTEN=127.0.0.1:8083 storekeeper ingress")]
    Ingress(ServeArgs),

    /// Turns queued webhooks into counts.
    ///
    /// Listens on `probes.listen` only. Of several workers on the same files one consumes; the
    /// others stand by and take over when it ends or dies.
    #[command(after_help = "Example:\n  \
        STOREKEEPER__PROBES__LISTEN=127.0.0.1:8084 storekeeper worker")]
    Worker(ServeArgs),

    /// Serves the operator API.
    ///
    /// Listens on `console.listen` and `probes.listen`.
    #[command(after_help = "Example:\n  \
        STOREKEEPER__PROBES__LISTEN=127.0.0.1:8085 storekeeper console")]
    Console(ServeArgs),

    /// Does what is due now and then: retention, audits, replays, the feed at RabbitMQ.
    ///
    /// Any number may run; one of them leads, and another follows within seconds if that one dies.
    /// Listens on `probes.listen`, where `/readyz` lists the duties.
    #[command(after_help = "Example:\n  \
        STOREKEEPER__PROBES__LISTEN=127.0.0.1:8086 storekeeper leader")]
    Leader(ServeArgs),

    /// Shows it all at work: a fresh server, a shuffled history of orders, and the stock it leads to.
    ///
    /// Runs on a temporary directory and free ports, so it touches nothing of yours. It stays up
    /// for you to look around until Ctrl-C.
    #[command(after_help = "Examples:\n  storekeeper demo\n  \
        storekeeper demo --exit --orders 5000 --seed 7")]
    Demo(DemoArgs),

    /// Posts an invented history of orders to a running ingress, and checks what comes of it.
    ///
    /// The history has everything that makes counting hard: repeats, late and reordered events,
    /// cancellations, refunds, broken bodies. The same seed gives the same history.
    #[command(after_help = "Examples:\n  storekeeper simulate --url http://127.0.0.1:8080\n  \
        storekeeper simulate --url http://127.0.0.1:8080 --console http://127.0.0.1:8081 --check")]
    Simulate(simulate::SimulateArgs),

    /// Shows stock items and who holds them, and counts goods that come in.
    #[command(
        subcommand,
        after_help = "Examples:\n  storekeeper stock list\n  \
        storekeeper stock show my-shop variation:V1\n  \
        storekeeper stock receive my-shop variation:V1 100 --reference PO-1234\n  \
        storekeeper stock adjust my-shop variation:V1 -2 --reference D-7 --reason broken\n  \
        storekeeper stock count my-shop variation:V1 97 --reference stocktaking-2026\n  \
        storekeeper stock void my-shop variation:V1 --reference PO-1234\n  \
        storekeeper stock import goods.csv\n  \
        storekeeper stock export --format json"
    )]
    Stock(StockCommands),

    /// Shows what orders hold and why, and corrects it.
    #[command(
        subcommand,
        after_help = "Examples:\n  storekeeper orders list my-shop --ambiguous\n  \
        storekeeper orders list --status processed --older-than 7d\n  \
        storekeeper orders show my-shop 1234\n  \
        storekeeper orders release my-shop id:1234 --reference T-7 --reason returned\n  \
        storekeeper orders ship my-shop id:1234 --reference T-8 --reason handed-over"
    )]
    Orders(OrdersCommands),

    /// Shows what changed in a site's stock, oldest first, and with `--follow` what comes.
    ///
    /// Exits 1 when changes behind `--after` are no longer kept: then read the stock anew.
    #[command(after_help = "Examples:\n  storekeeper changes my-shop\n  \
        storekeeper changes my-shop --follow --format json")]
    Changes(changes::ChangesArgs),

    /// Shows, edits and replays webhooks that were put aside because they could not be applied.
    #[command(
        subcommand,
        after_help = "Examples:\n  storekeeper dead-letters list\n  \
        storekeeper dead-letters list --reason decode.not_json --older-than 1h\n  \
        storekeeper dead-letters show 0197c7f5-7d3c-7a51-9d0a-2f1f0a6c9c11\n  \
        storekeeper dead-letters edit 0197c7f5-7d3c-7a51-9d0a-2f1f0a6c9c11 --body fixed.json\n  \
        storekeeper dead-letters replay --reason order.no_identity --dry-run\n  \
        storekeeper dead-letters replay --site shop --rate 50 --ramp 1m --abort-after 10"
    )]
    DeadLetters(DeadLettersCommand),

    /// Shows replays of dead letters, or stops one.
    #[command(
        subcommand,
        after_help = "Examples:\n  storekeeper replays list\n  \
        storekeeper replays cancel 0197c7f5-7d3c-7a51-9d0a-2f1f0a6c9c11"
    )]
    Replays(replays::ReplaysCommand),

    /// Shows the settings in force, or checks them.
    #[command(
        subcommand,
        after_help = "Examples:\n  storekeeper config show\n  \
        storekeeper config check --config /etc/storekeeper.toml"
    )]
    Config(ConfigCommand),

    /// Shows the policy that orders are computed with, or puts the configured one in force.
    #[command(
        subcommand,
        after_help = "Examples:\n  storekeeper policy show\n  \
        storekeeper policy apply --dry-run\n  storekeeper policy apply"
    )]
    Policy(PolicyCommand),

    /// Computes every sum again and compares it with what is counted; repairs on request.
    ///
    /// Works in pages beside a running service, checks the embedded backend's files, and writes
    /// nothing without --repair. Exits 1 if something differs, or is left after the repair.
    #[command(after_help = "Examples:\n  storekeeper audit\n  \
        storekeeper audit --site my-shop --format json\n  storekeeper audit --repair --dry-run")]
    Audit(audit::AuditArgs),

    /// Puts the journal of raw webhooks through the workers again.
    #[command(
        subcommand,
        after_help = "Examples:\n  storekeeper journal replay\n  \
        storekeeper journal replay --since 2024-05-31T12:00:00Z"
    )]
    Journal(journal::JournalCommand),

    /// Copies the files of a service to a new directory, also while it runs.
    #[command(after_help = "Example:\n  storekeeper backup /var/backups/storekeeper/monday")]
    Backup(backup::BackupArgs),

    /// Makes what the backend "distributed" needs of RabbitMQ: exchanges, queues, bindings.
    #[command(
        subcommand,
        after_help = "Example:\n  \
        storekeeper topology declare --config /etc/storekeeper.toml"
    )]
    Topology(topology::TopologyCommand),

    /// Asks a running process whether it is ready.
    ///
    /// Exits 0 if it is, 1 if it says that it is not, 3 if it cannot be reached.
    #[command(after_help = "Example:\n  storekeeper health --url http://127.0.0.1:8082")]
    Health(HealthArgs),

    /// Prints what makes a shell complete the commands and options of this one.
    ///
    /// Write it to a file that the shell reads at its start: for bash
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

/// How a process ends; the numbers are public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// It did what was asked; also after SIGTERM or SIGINT.
    Done = 0,
    /// What was asked for does not hold, or was not found.
    NotHeld = 1,
    /// The command or the configuration is wrong, a port is in use, or the data is of a newer
    /// release: trying again does not help. Also clap's code for a command that it cannot read.
    Usage = 2,
    /// A backend, or the server that was asked, cannot be reached: trying again may help.
    Unreachable = 3,
    /// What was in flight was not done by `worker.drain_timeout`; it is delivered again.
    DrainDeadline = 4,
    /// A second signal came while the process was stopping.
    SecondSignal = shutdown::SECOND_SIGNAL_CODE,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;
    use crate::clock::PastTime;
    use crate::domain::{Code, Site};

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn verify_cli() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_explains_itself_and_most_give_an_example() {
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "`{name}` has no help text");
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(examples.contains(&format!("storekeeper {name}")), "`{name}` has no example");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "`{name} {}`", argument.get_id());
            }
        }
    }

    #[test]
    fn the_examples_of_the_help_texts_are_read() {
        let mut read = 0;
        for command in Cli::command().get_subcommands() {
            let Some(help) = command.get_after_help() else { continue };
            for line in help.to_string().lines() {
                let Some(start) = line.find("storekeeper ") else { continue };
                let example = line.get(start..).unwrap();
                parse(example).unwrap_or_else(|error| panic!("{example}: {error}"));
                read += 1;
            }
        }
        assert!(read >= 10, "only {read} examples");
    }

    #[test]
    fn global_options_stand_before_or_behind_the_command() {
        for line in [
            "storekeeper --config a.toml --format json stock list",
            "storekeeper stock list --config a.toml --format json",
        ] {
            let cli = parse(line).unwrap();
            assert_eq!(cli.config, Some(PathBuf::from("a.toml")));
            assert_eq!(cli.format, Format::Json);
        }
        assert_eq!(parse("storekeeper serve").unwrap().format, Format::Table);
    }

    #[test]
    fn names_from_outside_are_checked_as_usage() {
        for line in [
            "storekeeper stock adjust shop sku:S many --reference R --reason T",
            "storekeeper orders list --older-than yesterday",
            "storekeeper orders hold shop id:1 --reference R --reason T --shown something",
            "storekeeper dead-letters list --reason decode.nothing",
            "storekeeper dead-letters list --older-than yesterday",
            "storekeeper dead-letters show 1234",
            "storekeeper health --url localhost",
            "storekeeper demo --orders 0",
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ValueValidation, "{line}: {error}");
            assert_eq!(error.exit_code(), i32::from(ExitStatus::Usage as u8), "{line}");
        }
    }

    #[test]
    fn a_refused_argument_says_what_is_wrong_with_it() {
        for (line, reason) in [
            ("storekeeper stock receive shop sku:S -1 --reference R", "is negative"),
            ("storekeeper stock count shop sku:S -0.5 --reference R", "is negative"),
            (
                "storekeeper stock adjust shop sku:S many --reference R --reason T",
                "is not a number",
            ),
            (
                "storekeeper orders ship shop 1 --reference R --reason T --shown x",
                "is not what showing",
            ),
            ("storekeeper dead-letters list --reason nope", "`storekeeper dead-letters groups` pr"),
            ("storekeeper dead-letters show abc", "is no message id; `storekeeper dead-letters"),
            ("storekeeper health --url foo", "is no address such as http://HOST:PORT"),
            ("storekeeper health --url 127.0.0.1:8082", "is no address such as http://"),
            ("storekeeper health --url localhost:8082", "is no address such as http://"),
            ("storekeeper health --url https://shop.example", "speaks plain HTTP only"),
            ("storekeeper simulate --url foo", "is no address such as http://HOST:PORT"),
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ValueValidation, "{line}: {error}");
            assert!(error.to_string().contains(reason), "{line}: {error}");
        }
    }

    #[test]
    fn an_order_is_looked_for_in_one_list_at_most() {
        let line = "storekeeper orders list shop --waiting --corrected";
        assert_eq!(parse(line).unwrap_err().kind(), ErrorKind::ArgumentConflict);
        assert!(parse("storekeeper orders list shop --waiting --query 1").is_ok());
    }

    #[test]
    fn many_dead_letters_are_named_or_all_of_them_are_meant() {
        let id = "0197c7f5-7d3c-7a51-9d0a-2f1f0a6c9c11";
        for command in ["replay", "discard"] {
            let parsed = |rest: &str| parse(&format!("storekeeper dead-letters {command} {rest}"));
            assert_eq!(parsed("").unwrap_err().kind(), ErrorKind::MissingRequiredArgument);
            let both = parsed("--all --site shop").unwrap_err().kind();
            assert_eq!(both, ErrorKind::ArgumentConflict);
            for rest in ["--all", "--site shop", "--older-than 2h", &format!("--id {id}")] {
                assert!(parsed(rest).is_ok(), "{command} {rest}");
            }
        }
        assert!(parse(&format!("storekeeper dead-letters discard {id}")).is_ok());
        let both = parse(&format!("storekeeper dead-letters discard {id} --all"));
        assert_eq!(both.unwrap_err().kind(), ErrorKind::ArgumentConflict);
    }

    #[test]
    fn filters_are_read_into_domain_words() {
        let cli = parse(
            "storekeeper dead-letters list --reason order.no_identity --site shop --older-than 2h \
             --id 0197c7f5-7d3c-7a51-9d0a-2f1f0a6c9c11 --id 0197c7f5-7d3c-7a51-9d0a-2f1f0a6c9c12",
        );
        let Command::DeadLetters(DeadLettersCommand::List(list)) = cli.unwrap().command else {
            panic!("another command was read");
        };
        assert_eq!(list.reason, Some(Code::NoIdentity));
        assert_eq!(list.site, Some(Site::parse("shop").unwrap()));
        assert_eq!(list.older_than, Some(PastTime::Ago(Duration::from_hours(2))));
        assert_eq!(list.id.len(), 2);
    }
}
