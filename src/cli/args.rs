//! The options and arguments of the commands, with their help texts.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::Url;

use super::actor::ActorArgs;
use super::receipts;
use crate::clock::PastTime;
use crate::domain::{Code, MessageId, Site};

/// The options of `serve` and of the single roles.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Write the listening addresses to this file, as JSON, once everything is ready.
    ///
    /// If a port is 0 in the settings, the file tells which port was chosen.
    #[arg(long, value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
}

/// The options of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Exit after the verdict instead of staying up.
    #[arg(long)]
    pub exit: bool,

    /// How many orders to generate; each leads to several webhooks.
    #[arg(long, value_name = "N", default_value_t = 2000,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub orders: u32,

    /// The seed of the history; without it, every run has a new history.
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
}

/// The commands of `stock`.
#[derive(Debug, Subcommand)]
pub enum StockCommands {
    /// Those that only read.
    #[command(flatten)]
    Read(StockCommand),
    /// Those that change stock.
    #[command(flatten)]
    Change(receipts::ReceiptCommand),
}

/// The commands of `stock` that only read.
#[derive(Debug, Subcommand)]
pub enum StockCommand {
    /// Export the counts of every stock item as CSV, or as NDJSON with `--format json`.
    ///
    /// In CSV, a text that a spreadsheet would take for a formula has an apostrophe before it;
    /// `stock import` reads it without.
    Export,
    /// List the counts of every stock item.
    List {
        /// Only the items of this site.
        #[arg(value_name = "SITE", value_parser = Site::parse)]
        site: Option<Site>,
    },
    /// Show one stock item and the orders that hold it.
    Show {
        /// The shop, as Duda names it in `site_name`.
        #[arg(value_name = "SITE", value_parser = Site::parse)]
        site: Site,
        /// The item, by any of its names: `variation:V1`, `sku:S1`, or just `S1`.
        #[arg(value_name = "KEY")]
        key: String,
    },
}

/// The commands of `dead-letters`.
#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// List dead letters, oldest failure first.
    List(DeadLettersListArgs),
    /// Count dead letters by reason, site and event, the largest group first.
    Groups,
    /// Show one dead letter with its body.
    ///
    /// The body is what Duda sent; it contains personal data of the buyer.
    Show {
        /// The message id, as `dead-letters list` prints it.
        #[arg(value_name = "ID", value_parser = parse_message_id)]
        id: MessageId,
    },
    /// Replay dead letters: send them through the worker again. Each takes effect at most once.
    ///
    /// Acts on the dead letters that match now. The leader runs the replay, even after this command
    /// has ended. A dead letter that fails again stays in the list, with its replay count; then the
    /// command exits 1.
    Replay(DeadLettersReplayArgs),
    /// Edit the body of a dead letter; the original body is kept.
    Edit {
        /// The message id, as `dead-letters list` prints it.
        #[arg(value_name = "ID", value_parser = parse_message_id)]
        id: MessageId,
        /// The file with the new body; `-` is stdin.
        #[arg(long, value_name = "FILE")]
        body: PathBuf,
    },
    /// Discard dead letters for good: one, or all that match.
    ///
    /// Skips those in a running replay, and exits 1 if there are any.
    Discard(DeadLettersDiscardArgs),
    /// Export dead letters with their bodies, which hold personal data, one JSON object per line.
    Export(DeadLettersListArgs),
    /// Import the dead letters of an export.
    ///
    /// One that is parked already, or that was replayed or discarded here, is not changed.
    Import {
        /// The export; `-` is stdin.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// The options of `dead-letters replay`.
#[derive(Debug, Args)]
pub struct DeadLettersReplayArgs {
    /// Which dead letters.
    #[command(flatten)]
    pub selection: DeadLettersListArgs,

    /// Every dead letter.
    #[arg(
        long,
        required_unless_present = "DeadLettersListArgs",
        conflicts_with = "DeadLettersListArgs"
    )]
    pub all: bool,

    /// Only show the outcome of each dead letter, and what it would add to the stock.
    #[arg(long)]
    pub dry_run: bool,

    /// Dead letters per second; by default, as fast as the worker applies them.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: Option<u32>,

    /// How long to ramp the rate up from zero.
    #[arg(long, value_name = "D", requires = "rate", value_parser = humantime::parse_duration)]
    pub ramp: Option<Duration>,

    /// Stop after this many dead letters have failed again.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub abort_after: Option<u32>,
}

/// The options of `dead-letters discard`.
#[derive(Debug, Args)]
pub struct DeadLettersDiscardArgs {
    /// The message id, as `dead-letters list` prints it.
    #[arg(
        value_name = "ID",
        value_parser = parse_message_id,
        conflicts_with_all = ["DeadLettersListArgs", "all"]
    )]
    pub message: Option<MessageId>,

    /// Which dead letters.
    #[command(flatten)]
    pub selection: DeadLettersListArgs,

    /// Every dead letter.
    #[arg(
        long,
        required_unless_present_any = ["message", "DeadLettersListArgs"],
        conflicts_with = "DeadLettersListArgs"
    )]
    pub all: bool,
}

/// Filters of dead letters; all that are given must match.
#[derive(Debug, Args)]
pub struct DeadLettersListArgs {
    /// Only dead letters with this reason, such as `decode.not_json`.
    #[arg(long, value_name = "CODE", value_parser = parse_code)]
    pub reason: Option<Code>,

    /// Only dead letters of this site.
    #[arg(long, value_name = "SITE", value_parser = Site::parse)]
    pub site: Option<Site>,

    /// Only dead letters that first failed before this: a time in RFC 3339, or an age such as `2h`.
    #[arg(long, value_name = "T", value_parser = PastTime::parse)]
    pub older_than: Option<PastTime>,

    /// Only the dead letter with this message id; may be given several times.
    #[arg(long, value_name = "ID", value_parser = parse_message_id)]
    pub id: Vec<MessageId>,
}

/// The commands of `config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Show the effective configuration and where each value comes from; secrets are redacted.
    Show,
    /// Check the settings without starting anything.
    Check,
}

/// The commands of `policy`.
#[derive(Debug, Clone, Subcommand)]
pub enum PolicyCommand {
    /// Show the policy that is in force in the Store.
    Show,
    /// Put the configured policy in force and recompute every order.
    ///
    /// Workers with another configured policy stop consuming. After a failure, run it again: it
    /// continues where it stopped.
    Apply {
        /// Only show what would change in stock.
        #[arg(long)]
        dry_run: bool,
        /// Who applies it.
        #[command(flatten)]
        by: ActorArgs,
    },
}

/// The options of `health`.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// The address of the probes; without a path, `/readyz` is requested. By default,
    /// `probes.listen` of the settings.
    #[arg(long, value_name = "U", value_parser = parse_address)]
    pub url: Option<Url>,
}

fn parse_code(text: &str) -> Result<Code, &'static str> {
    let code = Code::try_from(text.to_owned());
    code.map_err(|_| "is not a reason; `storekeeper dead-letters groups` prints the reasons in use")
}

fn parse_message_id(text: &str) -> Result<MessageId, &'static str> {
    let id = text.parse().map(MessageId);
    id.map_err(|_| "is not a message id; `storekeeper dead-letters list` prints them")
}

/// Parses an address that is reached by plain HTTP.
pub(super) fn parse_address(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).ok();
    match url {
        Some(url) if url.scheme() == "http" && url.has_host() => Ok(url),
        Some(url) if url.scheme() == "https" => {
            Err("must be http://, not https://: give the address behind the TLS proxy")
        }
        Some(_) | None => Err("is not an address such as http://HOST:PORT"),
    }
}
